//go:build unix

package store

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// ErrInUse: a process has the store open.
var ErrInUse = errors.New("a process has the store open")

// holdShared says that the store at path is open, until the file is closed.
func holdShared(path string) (*os.File, error) { return hold(path, syscall.LOCK_SH) }

// holdAlone is holdShared for who bears nobody else.
func holdAlone(path string) (*os.File, error) { return hold(path, syscall.LOCK_EX) }

func hold(path string, how int) (*os.File, error) {
	f, err := os.OpenFile(path+".lock", os.O_CREATE|os.O_RDWR, 0o600) // #nosec G304 -- beside the path that the configuration names
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), how|syscall.LOCK_NB); err != nil { // #nosec G115 -- a descriptor is small
		if errors.Is(err, syscall.EWOULDBLOCK) {
			err = fmt.Errorf("%s: %w", path, ErrInUse)
		}
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}
