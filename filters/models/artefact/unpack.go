package artefact

import (
	"archive/tar"
	"archive/zip"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// maxFiles bounds an archive.
const maxFiles = 100_000

// unpack puts the file into the folder to: what is in it where its name is an archive's,
// else itself.
func unpack(ctx context.Context, file, name, to string) error {
	if err := os.MkdirAll(to, 0o755); err != nil { // #nosec G301 -- the server reads it, by whatever user it is run
		return fmt.Errorf("repository: %w", err)
	}
	var err error
	switch lower := strings.ToLower(name); {
	case strings.HasSuffix(lower, ".tar"):
		err = withFile(file, func(f *os.File) error { return untar(ctx, f, to) })
	case strings.HasSuffix(lower, ".tar.gz"), strings.HasSuffix(lower, ".tgz"):
		err = withFile(file, func(f *os.File) error {
			z, err := gzip.NewReader(f)
			if err != nil {
				return err
			}
			if err := untar(ctx, z, to); err != nil {
				return err
			}
			_, err = io.Copy(io.Discard, z) // #nosec G110 -- nothing of it is kept; its sum is checked at the end
			return err
		})
	case strings.HasSuffix(lower, ".zip"):
		err = unzip(ctx, file, to)
	default:
		if err = os.Chmod(file, 0o644); err == nil { // #nosec G302 -- the server reads it, by whatever user it is run
			err = os.Rename(file, filepath.Join(to, name))
		}
	}
	if err != nil {
		return fmt.Errorf("unpacking %s: %w", name, err)
	}
	return nil
}

func withFile(path string, do func(*os.File) error) (err error) {
	f, err := os.Open(path) // #nosec G304 -- in the repository
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return do(f)
}

// untar unpacks files and folders; links and devices are of no use to a model.
func untar(ctx context.Context, r io.Reader, to string) error {
	root, err := os.OpenRoot(to) // nothing outside of it can be written
	if err != nil {
		return err
	}
	defer root.Close() //nolint:errcheck // a folder
	t := tar.NewReader(r)
	for n := 0; ; n++ {
		h, err := t.Next()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case n == maxFiles:
			return fmt.Errorf("more than %d files", maxFiles)
		}
		switch h.Typeflag {
		case tar.TypeDir:
			err = root.MkdirAll(clean(h.Name), 0o755)
		case tar.TypeReg:
			err = place(ctx, root, h.Name, t)
		case tar.TypeXGlobalHeader:
		default:
			err = fmt.Errorf("%q is neither a file nor a folder", h.Name)
		}
		if err != nil {
			return err
		}
	}
}

func unzip(ctx context.Context, file, to string) (err error) {
	root, err := os.OpenRoot(to)
	if err != nil {
		return err
	}
	defer root.Close() //nolint:errcheck // a folder
	z, err := zip.OpenReader(file)
	if err != nil {
		return err
	}
	defer z.Close() //nolint:errcheck // read only
	if len(z.File) > maxFiles {
		return fmt.Errorf("more than %d files", maxFiles)
	}
	for _, f := range z.File {
		switch {
		case strings.HasSuffix(f.Name, "/"):
			err = root.MkdirAll(clean(f.Name), 0o755)
		case f.Mode().IsRegular():
			err = unzipOne(ctx, root, f)
		default:
			err = fmt.Errorf("%q is neither a file nor a folder", f.Name)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func unzipOne(ctx context.Context, root *os.Root, f *zip.File) error {
	r, err := f.Open()
	if err != nil {
		return err
	}
	return errors.Join(place(ctx, root, f.Name, r), r.Close())
}

// place writes a file, and the folders that it is in.
func place(ctx context.Context, root *os.Root, name string, r io.Reader) (err error) {
	name = clean(name)
	if err := root.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	f, err := root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	_, err = io.Copy(f, &counted{ctx: ctx, r: r, p: new(Progress)})
	return err
}

func clean(name string) string { return filepath.Clean(filepath.FromSlash(name)) }
