//go:build !unix

package store

import (
	"errors"
	"os"
)

// ErrInUse: a process has the store open. It is not noticed on this system.
var ErrInUse = errors.New("a process has the store open")

func holdShared(path string) (*os.File, error) {
	return os.OpenFile(path+".lock", os.O_CREATE|os.O_RDWR, 0o600) // #nosec G304 -- beside the path that the configuration names
}

func holdAlone(path string) (*os.File, error) { return holdShared(path) }
