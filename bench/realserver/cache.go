package realserver

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// CacheEnv names the cache directory; without it the user's own is taken.
const CacheEnv = "FRIDAY_CACHE"

// ErrUnavailable is why there can be no real server here: no fitting Python, or
// no way to its packages.
var ErrUnavailable = errors.New("no real model server can be had here")

// CacheDir is where environments and models are kept.
func CacheDir() (string, error) {
	if dir := os.Getenv(CacheEnv); dir != "" {
		dir, err := filepath.Abs(dir)
		if err != nil {
			return "", fmt.Errorf("%s: %w", CacheEnv, err)
		}
		return dir, nil
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("cache directory: %w; set %s", err, CacheEnv)
	}
	return filepath.Join(dir, "friday"), nil
}

// Key names what is made of the given parts; the order of lines in a part does
// not matter, nor do empty lines.
func Key(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		lines := slices.DeleteFunc(strings.Split(p, "\n"), func(l string) bool { return strings.TrimSpace(l) == "" })
		slices.Sort(lines)
		for _, l := range lines {
			_, _ = fmt.Fprintf(h, "%q\n", strings.TrimSpace(l))
		}
		_, _ = h.Write([]byte{0})
	}
	return hex.EncodeToString(h.Sum(nil))[:12]
}

// marker is the file that says that a directory was finished.
const marker = ".complete"

// once sees to it that the directory dir is there, made by build where it is not there or was not
// finished. Others who want the same wait for the one who makes it.
func once(ctx context.Context, dir string, progress func(string), build func(context.Context) error) error {
	if complete(dir) {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o750); err != nil {
		return fmt.Errorf("cache directory: %w", err)
	}
	unlock, err := lock(ctx, dir+".lock", progress)
	if err != nil {
		return err
	}
	defer unlock()
	if complete(dir) { // by the one who was waited for
		return nil
	}
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("half-made %s: %w", dir, err)
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return fmt.Errorf("cache directory: %w", err)
	}
	if err := build(ctx); err != nil {
		_ = os.RemoveAll(dir)
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, marker), nil, 0o600); err != nil {
		return fmt.Errorf("cache directory: %w", err)
	}
	return nil
}

func complete(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, marker))
	return err == nil
}

// lock holds a file's lock against other processes; the kernel lets go of it when
// the holder ends, however it ends.
func lock(ctx context.Context, path string, progress func(string)) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600) // #nosec G304 -- our own cache
	if err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for told := false; ; told = true {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) // #nosec G115 -- a descriptor is small
		if err == nil {
			return func() { _ = f.Close() }, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			_ = f.Close()
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		if !told {
			progress("waiting for another run that prepares the same")
		}
		select {
		case <-ctx.Done():
			_ = f.Close()
			return nil, context.Cause(ctx)
		case <-tick.C:
		}
	}
}
