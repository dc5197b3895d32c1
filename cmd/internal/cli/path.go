package cli

import (
	"errors"
	"io/fs"
	"os"
)

// NeedPath is a UsageError where there is nothing at path, which what ("--config",
// "policies") names: a file that is not there is a slip of the command line, one
// that is wrong is not.
func NeedPath(what, path string) error {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return Usagef("%s %s: no such file or directory", what, path)
	}
	return nil
}
