package cache

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"go.uber.org/zap"
)

// disk is where a state is kept across restarts. The file has what it is, then for each
// entry its key, the length of its record (4 bytes) and the record.
type disk struct {
	path string
	stop chan struct{}
	done sync.WaitGroup
	// mu is held while the file is read or written, and while it is removed because
	// something was purged: what was purged must not come back.
	mu sync.Mutex
}

const (
	diskForm = "friday cache 1\n"
	// saveEvery is how much is lost where the process is killed.
	saveEvery = 5 * time.Minute
)

// persist begins to keep the state in a folder, and to read what is there.
func (s *state) persist(dir string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.disk != nil {
		return
	}
	d := &disk{path: filepath.Join(dir, fmt.Sprintf("cache-%d.bin", s.store.most)), stop: make(chan struct{})}
	s.disk = d
	d.mu.Lock() // until it is read
	d.done.Go(func() {
		whole := s.load(d)
		d.mu.Unlock()
		if !whole {
			return
		}
		tick := time.NewTicker(saveEvery)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				s.save(d)
			case <-d.stop:
				s.save(d)
				return
			}
		}
	})
}

// close writes the file for the last time.
func (d *disk) close() {
	close(d.stop)
	d.done.Wait()
}

// forget removes the file: something of it was purged. It is written anew in time.
func (d *disk) forget(log *zap.Logger) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := os.Remove(d.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		log.Error("what was purged is still on disk", zap.Error(err))
	}
}

// load is false where it was stopped before the end.
func (s *state) load(d *disk) bool {
	f, err := os.Open(d.path)
	if errors.Is(err, fs.ErrNotExist) {
		return true
	}
	n, whole := 0, true
	if err == nil {
		now := time.Now()
		err = readEntries(bufio.NewReaderSize(f, 256<<10), func(k key, e *entry) bool {
			if now.Sub(e.stored) < e.fresh && s.store.get(k) == nil {
				e.head, e.headBytes = s.intern(e.head)
				s.store.set(k, e)
				n++
			}
			select {
			case <-d.stop:
				whole = false
			default:
			}
			return whole
		})
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		s.log.Warn("what was cached before the restart cannot be read in whole", zap.String("file", d.path), zap.Int("answers", n), zap.Error(err))
		return whole
	}
	s.log.Info("what was cached before the restart is there", zap.String("file", d.path), zap.Int("answers", n))
	return whole
}

// readEntries reads a file; each returns false for enough.
func readEntries(r io.Reader, each func(key, *entry) bool) error {
	form := make([]byte, len(diskForm))
	if _, err := io.ReadFull(r, form); err != nil || string(form) != diskForm {
		return errRecord
	}
	for {
		var k key
		switch _, err := io.ReadFull(r, k[:]); {
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		}
		var length [4]byte
		if _, err := io.ReadFull(r, length[:]); err != nil {
			return err
		}
		n := int64(binary.BigEndian.Uint32(length[:]))
		if n > maxRecord {
			return errRecord
		}
		record, err := io.ReadAll(io.LimitReader(r, n))
		if err != nil {
			return err
		}
		e, err := parseRecord(record)
		if err != nil {
			return err
		}
		if !each(k, e) {
			return nil
		}
	}
}

func (s *state) save(d *disk) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := s.write(d.path); err != nil {
		s.log.Warn("the cache cannot be kept on disk", zap.String("file", d.path), zap.Error(err))
	}
}

// write puts a whole file in the place of the old one.
func (s *state) write(path string) (err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	w := bufio.NewWriterSize(f, 256<<10)
	_, _ = w.WriteString(diskForm) // Flush tells
	now := time.Now()
	var record []byte
	for k, e := range s.store.entries.All() {
		if now.Sub(e.stored) >= e.fresh {
			continue
		}
		record = appendRecord(record[:0], e)
		_, _ = w.Write(k[:])
		_, _ = w.Write(binary.BigEndian.AppendUint32(nil, uint32(len(record)))) // #nosec G115 -- an answer has 64 MiB at the most
		_, _ = w.Write(record)
	}
	if err := errors.Join(w.Flush(), f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
