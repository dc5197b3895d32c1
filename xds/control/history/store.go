package history

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

const (
	// Most is how many versions are kept; the oldest go first.
	Most = 100

	stateFile = "state.json"
	lockFile  = "lock"
)

// Store keeps versions. Safe for concurrent use; what it returns is not to be
// changed.
type Store struct {
	dir  string // empty: in memory
	lock *os.File

	mu       sync.Mutex
	versions []*Version // by number
	last     int        // the highest number that was ever given
}

// Open reads the versions of a folder, which is made where it is missing; of an
// empty name, nothing is kept on disk. A file that cannot be read is left aside
// and named in skipped: the others are worth having. One process at a time has a
// folder.
func Open(dir string) (s *Store, skipped []error, err error) {
	s = &Store{dir: dir}
	if dir == "" {
		return s, nil, nil
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, nil, fmt.Errorf("history: %w", err)
	}
	if s.lock, err = os.OpenFile(filepath.Join(dir, lockFile), os.O_RDWR|os.O_CREATE, 0o600); err != nil { // #nosec G304 -- the folder that was asked for
		return nil, nil, fmt.Errorf("history: %w", err)
	}
	if err := syscall.Flock(int(s.lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("history: %s: another process has it: %w", dir, err), s.lock.Close())
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("history: %w", err), s.Close())
	}
	for _, e := range entries {
		number, ok := numberOf(e.Name())
		if !ok {
			continue
		}
		s.last = max(s.last, number)
		v := &Version{}
		if err := s.read(e.Name(), v); err != nil {
			skipped = append(skipped, err)
			continue
		}
		if v.Number != number {
			skipped = append(skipped, fmt.Errorf("history: %s: holds version %d", e.Name(), v.Number))
			continue
		}
		s.versions = append(s.versions, v)
	}
	slices.SortFunc(s.versions, func(a, b *Version) int { return cmp.Compare(a.Number, b.Number) })
	return s, skipped, nil
}

// Close lets go of the folder.
func (s *Store) Close() error {
	if s.lock == nil {
		return nil
	}
	return s.lock.Close() // which ends the lock
}

// OnDisk is the folder; empty: in memory.
func (s *Store) OnDisk() string { return s.dir }

// Versions are all that are kept, by number.
func (s *Store) Versions() []*Version {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.versions)
}

// Find is the version of that number; nil: it is not kept.
func (s *Store) Find(number int) *Version {
	s.mu.Lock()
	defer s.mu.Unlock()
	i, ok := slices.BinarySearchFunc(s.versions, number, func(v *Version, n int) int { return cmp.Compare(v.Number, n) })
	if !ok {
		return nil
	}
	return s.versions[i]
}

// Latest is the newest version; nil: there is none.
func (s *Store) Latest() *Version {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.versions) == 0 {
		return nil
	}
	return s.versions[len(s.versions)-1]
}

// Add gives v its number and keeps it. Where it could not be written it is kept
// in memory, and the error says so.
func (s *Store) Add(v *Version) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last++
	v.Number = s.last
	s.versions = append(s.versions, v)
	var errs []error
	if s.dir != "" {
		errs = append(errs, s.write(fileOf(v.Number), v))
	}
	for len(s.versions) > Most {
		if s.dir != "" {
			if err := os.Remove(filepath.Join(s.dir, fileOf(s.versions[0].Number))); !errors.Is(err, fs.ErrNotExist) {
				errs = append(errs, err)
			}
		}
		s.versions = s.versions[1:]
	}
	return errors.Join(errs...)
}

// LoadState reads the state into value; false: there is none.
func (s *Store) LoadState(value any) (bool, error) {
	if s.dir == "" {
		return false, nil
	}
	err := s.read(stateFile, value)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// SaveState keeps the state.
func (s *Store) SaveState(value any) error {
	if s.dir == "" {
		return nil
	}
	return s.write(stateFile, value)
}

func (s *Store) read(name string, value any) error {
	data, err := os.ReadFile(filepath.Join(s.dir, name)) // #nosec G304 -- of the folder that was asked for
	if err != nil {
		return fmt.Errorf("history: %w", err)
	}
	if err := json.Unmarshal(data, value); err != nil {
		return fmt.Errorf("history: %s: %w", name, err)
	}
	return nil
}

// write replaces a file at once: a crash leaves the old one or the new one.
func (s *Store) write(name string, value any) error {
	data, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return fmt.Errorf("history: %s: %w", name, err)
	}
	f, err := os.CreateTemp(s.dir, "."+name+"-*")
	if err != nil {
		return fmt.Errorf("history: %w", err)
	}
	_, err = f.Write(append(data, '\n'))
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), filepath.Join(s.dir, name))
	}
	if err != nil {
		return fmt.Errorf("history: %w", errors.Join(err, os.Remove(f.Name())))
	}
	return nil
}

// fileOf sorts by name as by number, for whoever looks into the folder.
func fileOf(number int) string { return fmt.Sprintf("%06d.json", number) }

func numberOf(name string) (int, bool) {
	digits, ok := strings.CutSuffix(name, ".json")
	n, err := strconv.Atoi(digits)
	return n, ok && err == nil && n > 0 && fileOf(n) == name
}
