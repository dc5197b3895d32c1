package artefact

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// copyFile copies a file to be unpacked.
func (s *Source) copyFile(ctx context.Context, from string, size int64, w *workshop, p *Progress) error {
	if err := room(w.dir, 2*size); err != nil {
		return err
	}
	p.Size.Store(size)
	p.Done.Store(0)
	return copyOne(ctx, from, w.path("part"), 0o600, p)
}

// copyTree copies a folder.
func copyTree(ctx context.Context, from, to string, p *Progress) error {
	var size int64
	walk := func(visit func(path string, d fs.DirEntry) error) error {
		return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			return visit(path, d)
		})
	}
	err := walk(func(path string, d fs.DirEntry) error {
		info, err := d.Info()
		if err == nil && d.Type().IsRegular() {
			size += info.Size()
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("source: %w", err)
	}
	if err := room(filepath.Dir(to), size); err != nil {
		return err
	}
	p.Size.Store(size)
	p.Done.Store(0)
	return walk(func(path string, d fs.DirEntry) error {
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, rel)
		switch {
		case d.IsDir():
			return os.MkdirAll(target, 0o755) // #nosec G301 -- the server reads it, by whatever user it is run
		case d.Type().IsRegular():
			return copyOne(ctx, path, target, 0o644, p)
		}
		return fmt.Errorf("source: %s is neither a file nor a folder", path)
	})
}

func copyOne(ctx context.Context, from, to string, mode fs.FileMode, p *Progress) (err error) {
	in, err := os.Open(from) // #nosec G304 -- the configuration names it
	if err != nil {
		return fmt.Errorf("source: %w", err)
	}
	defer in.Close()                                                      //nolint:errcheck // read only
	out, err := os.OpenFile(to, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, mode) // #nosec G304 -- in the repository
	if err != nil {
		return fmt.Errorf("repository: %w", err)
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	_, err = io.Copy(out, &counted{ctx: ctx, r: in, p: p})
	return err
}

// counted counts what is read, until ctx is done.
type counted struct {
	ctx context.Context //nolint:containedctx // that of the copying
	r   io.Reader
	p   *Progress
}

func (c *counted) Read(b []byte) (int, error) {
	if c.ctx.Err() != nil {
		return 0, context.Cause(c.ctx)
	}
	n, err := c.r.Read(b)
	c.p.Done.Add(int64(n))
	return n, err
}

func sumOf(path string) (string, error) {
	f, err := os.Open(path) // #nosec G304 -- in the repository
	if err != nil {
		return "", err
	}
	defer f.Close() //nolint:errcheck // read only
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
