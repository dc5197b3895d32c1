package artefact

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
)

const (
	schemeS3  = "s3"
	schemeOCI = "oci"
)

// Source is where an artefact comes from.
type Source struct {
	url *url.URL
	sum string // in lower case; empty: not checked
	key string
}

// Parse reads a source and, where it is not empty, the SHA-256 of its file in hexadecimal
// letters.
func Parse(source, sum string) (*Source, error) {
	u, err := url.Parse(source)
	if err != nil {
		return nil, fmt.Errorf("source: %q: %w", source, errors.Unwrap(err))
	}
	switch {
	case u.User != nil:
		return nil, errors.New("source: credentials in an address are shown to whoever sees the configuration: leave them out")
	case u.Scheme == "file":
		if (u.Host != "" && u.Host != "localhost") || !filepath.IsAbs(u.Path) {
			return nil, fmt.Errorf("source: %q: must be file:///PATH", source)
		}
	case u.Scheme == "http" || u.Scheme == "https":
		if u.Host == "" {
			return nil, fmt.Errorf("source: %q: names no host", source)
		}
		if name := filepath.Base(filepath.FromSlash(u.Path)); name == "." || name == string(filepath.Separator) {
			return nil, fmt.Errorf("source: %q: names no file", source)
		}
	case u.Scheme == schemeS3:
		if u.Host == "" || strings.Trim(u.Path, "/") == "" || strings.HasSuffix(u.Path, "/") || u.RawQuery != "" {
			return nil, fmt.Errorf("source: %q: must be s3://BUCKET/OBJECT", source)
		}
	case u.Scheme == schemeOCI:
		_, err := reference(u.Host, u.Path)
		if err == nil && u.RawQuery != "" {
			err = errors.New("has a query")
		}
		if err != nil {
			return nil, fmt.Errorf("source: %q: must be oci://REGISTRY/REPOSITORY:TAG or @DIGEST: %w", source, err)
		}
		if sum != "" {
			return nil, fmt.Errorf("sha256: %q: of an artefact in a registry the digest says what it is: oci://REGISTRY/REPOSITORY@DIGEST", sum)
		}
	default:
		return nil, fmt.Errorf("source: %q: must begin with file://, http://, https://, s3:// or oci://", source)
	}
	sum = strings.ToLower(sum)
	if b, err := hex.DecodeString(sum); sum != "" && (err != nil || len(b) != sha256.Size) {
		return nil, fmt.Errorf("sha256: %q: must be %d hexadecimal letters", sum, 2*sha256.Size)
	}
	h := sha256.Sum256([]byte(u.String() + "\n" + sum))
	return &Source{url: u, sum: sum, key: hex.EncodeToString(h[:])[:16]}, nil
}

// String is the address, without what a query may hold of secrets.
func (s *Source) String() string {
	u := *s.url
	u.RawQuery, u.Fragment = "", ""
	return u.String()
}

// Local is the path of a file: source; empty where it is another.
func (s *Source) Local() string {
	if s.url.Scheme == "file" {
		return s.url.Path
	}
	return ""
}

// Progress tells how far a fetch is. It is safe for concurrent use.
type Progress struct {
	// Done and Size are in bytes; Size is 0 while it is not known.
	Done, Size atomic.Int64
}

// Fetch sees to it that the artefact lies in the folder to, within the repository, and
// says how large its files are. An archive (.tar, .tar.gz, .tgz, .zip) lies there
// unpacked, another file under its own name, a folder with all that is in it. It may be
// called again after an error, and then goes on where it was. One call at a time for each
// folder.
func (s *Source) Fetch(ctx context.Context, repository, to string, p *Progress) (bytes int64, err error) {
	w := &workshop{dir: filepath.Join(repository, ".friday"), key: s.key}
	if bytes, ok := w.finished(to); ok {
		p.Done.Store(bytes)
		p.Size.Store(bytes)
		return bytes, nil
	}
	if err := os.MkdirAll(w.dir, 0o750); err != nil {
		return 0, fmt.Errorf("repository: %w", err)
	}
	if err := os.RemoveAll(w.path("new")); err != nil {
		return 0, fmt.Errorf("repository: %w", err)
	}
	if err := s.make(ctx, w, p); err != nil {
		return 0, err
	}
	if err := w.install(to); err != nil {
		return 0, fmt.Errorf("repository: %w", err)
	}
	bytes, _ = w.finished(to)
	return bytes, nil
}

// make makes the folder to be installed.
func (s *Source) make(ctx context.Context, w *workshop, p *Progress) error {
	if s.url.Scheme == schemeOCI {
		return s.pull(ctx, w, p)
	}
	if from := s.Local(); from != "" {
		info, err := os.Stat(from)
		if err != nil {
			return fmt.Errorf("source: %w", err)
		}
		if info.IsDir() {
			if s.sum != "" {
				return fmt.Errorf("source: %s is a folder: sha256 is of a file", from)
			}
			return copyTree(ctx, from, w.path("new"), p)
		}
		if err := s.copyFile(ctx, from, info.Size(), w, p); err != nil {
			return err
		}
	} else if err := s.download(ctx, w, p); err != nil {
		return err
	}
	if err := s.check(w); err != nil {
		return err
	}
	err := unpack(ctx, w.path("part"), filepath.Base(filepath.FromSlash(s.url.Path)), w.path("new"))
	if err != nil && ctx.Err() == nil {
		w.discard() // it would be no better the next time
	}
	return err
}

// check compares the file with its sum. A file that is another is of no use.
func (s *Source) check(w *workshop) error {
	if s.sum == "" {
		return nil
	}
	got, err := sumOf(w.path("part"))
	if err != nil {
		return fmt.Errorf("repository: %w", err)
	}
	if got != s.sum {
		w.discard()
		return fmt.Errorf("source: %s: its sha256 is %s, not %s", s, got, s.sum)
	}
	return nil
}

// workshop is where the artefact of one source is made.
type workshop struct{ dir, key string }

func (w *workshop) path(what string) string { return filepath.Join(w.dir, w.key+"."+what) }

// discard drops what has been fetched.
func (w *workshop) discard() {
	_ = os.Remove(w.path("part"))
	_ = os.Remove(w.path("json"))
}

// mark is where it is noted that an artefact was installed at to.
func (w *workshop) mark(to string) string {
	h := sha256.Sum256([]byte(filepath.Clean(to)))
	return filepath.Join(w.dir, hex.EncodeToString(h[:])[:16]+".is")
}

// finished says whether to holds the artefact.
func (w *workshop) finished(to string) (bytes int64, ok bool) {
	is, err := os.ReadFile(w.mark(to))
	if err != nil || string(is) != w.key {
		return 0, false
	}
	if _, err := os.Stat(to); err != nil {
		return 0, false
	}
	err = filepath.WalkDir(to, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			bytes += info.Size()
		}
		return err
	})
	return bytes, err == nil
}

// install renames what was made to where it belongs; what lies there goes.
func (w *workshop) install(to string) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil { // #nosec G301 -- the server reads it, by whatever user it is run
		return err
	}
	if err := os.Remove(w.mark(to)); err != nil && !os.IsNotExist(err) {
		return err
	}
	old := w.path("old")
	if err := os.RemoveAll(old); err != nil {
		return err
	}
	if err := os.Rename(to, old); err != nil && !os.IsNotExist(err) {
		return err
	}
	if err := os.Rename(w.path("new"), to); err != nil {
		return err
	}
	if err := os.WriteFile(w.mark(to), []byte(w.key), 0o600); err != nil {
		return err
	}
	w.discard()
	return os.RemoveAll(old)
}
