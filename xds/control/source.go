package control

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/fridaymesh/friday/xds/control/policy"
)

// source is a file as it is just now.
type source struct {
	path string
	data []byte
	err  error // reading failed
}

// sources reads the policy files of a folder, sorted by name. Hidden files are
// none: editors and Kubernetes keep theirs there.
func sources(dir string) ([]source, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("read policies: %w", err)
	}
	var list []source
	for _, e := range entries {
		if name := e.Name(); !strings.HasPrefix(name, ".") && isPolicyFile(name) {
			s := read(filepath.Join(dir, name))
			if errors.Is(s.err, fs.ErrNotExist) {
				continue // gone in the meantime
			}
			list = append(list, s)
		}
	}
	return list, nil
}

func isPolicyFile(name string) bool {
	return slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(name))
}

// read reads one file, following links. Only regular files are opened: a pipe
// would never end.
func read(path string) source {
	s := source{path: path}
	info, err := os.Stat(path)
	if err != nil {
		s.err = err
		return s
	}
	if !info.Mode().IsRegular() {
		s.err = errors.New("is not a file")
		return s
	}
	f, err := os.Open(path) // #nosec G304 -- a file of the folder that was asked for
	if err != nil {
		s.err = err
		return s
	}
	defer f.Close() //nolint:errcheck // it was read only
	// One byte more than allowed is enough to be refused.
	s.data, s.err = io.ReadAll(io.LimitReader(f, policy.MaxFileBytes+1))
	return s
}

// Check reads files and folders as one set, as a control plane would at its
// start, and is stricter in one thing: whoever asks means policies, so a file
// without one is at fault, and so is a folder without a policy file. The error is
// [policy.Problems] where a file or a folder is at fault.
func Check(c *Compiler, paths ...string) ([]*Compiled, error) {
	var (
		list  []source
		empty policy.Problems
	)
	for _, path := range paths {
		path = filepath.Clean(path)
		info, err := os.Stat(path)
		if err != nil {
			return nil, fmt.Errorf("read policies: %w", err)
		}
		if !info.IsDir() {
			list = append(list, read(path))
			continue
		}
		inside, err := sources(path)
		if err != nil {
			return nil, err
		}
		if len(inside) == 0 {
			empty = append(empty, &policy.Problem{File: path, Text: "no policy file in it: their names end in .yaml, .yml or .json"})
		}
		list = append(list, inside...)
	}
	set, _ := fileSet(nil).next(list, c)
	for _, path := range slices.Sorted(maps.Keys(set)) {
		if f := set[path]; len(f.wanted) == 0 && len(f.problems()) == 0 {
			empty = append(empty, &policy.Problem{File: path, Text: "no policy in it"})
		}
	}
	if problems := slices.Concat(set.problems(), empty); len(problems) > 0 {
		return nil, problems
	}
	return set.inForce(), nil
}
