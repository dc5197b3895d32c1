package artefact

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// room says where a folder's file system has not so many bytes left.
func room(dir string, bytes int64) error {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return fmt.Errorf("repository: %w", err)
	}
	free := s.Bavail * uint64(s.Bsize)     // #nosec G115 -- a block's size is positive
	if bytes > 0 && uint64(bytes) > free { // #nosec G115 -- positive
		return fmt.Errorf("repository: %d bytes are needed to fetch and unpack, and %d are free", bytes, free)
	}
	return nil
}
