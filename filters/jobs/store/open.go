package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/pressly/goose/v3"
	_ "modernc.org/sqlite" // the driver "sqlite"
)

//go:embed migrations/*.sql
var embedded embed.FS

// readers is how many reads run at once.
const readers = 4

// Store is an open file. It is safe for concurrent use.
type Store struct {
	path   string
	reads  *sql.DB
	writer *writer
	lock   *os.File
	once   sync.Once
}

// Open opens the file at path, or makes it with its folder, and brings its tables up to
// date. Several processes may have it open.
func Open(ctx context.Context, path string) (s *Store, err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("jobs store: %w", err)
	}
	lock, err := holdShared(path)
	if err != nil {
		return nil, fmt.Errorf("jobs store: %w", err)
	}
	s = &Store{path: path, lock: lock}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("jobs store %s: %w", path, err), s.Close())
			s = nil
		}
	}()
	if err := private(path); err != nil {
		return s, err
	}
	writes, err := connect(path, "rwc", 1)
	if err != nil {
		return s, err
	}
	if s.writer, err = newWriter(ctx, writes); err != nil {
		return s, errors.Join(err, writes.Close())
	}
	if s.reads, err = connect(path, "rw", readers); err != nil {
		return s, err
	}
	return s, s.reads.PingContext(ctx)
}

// private makes the file for this user alone: what callers send stands in it.
func private(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600) // #nosec G304 -- the path that the configuration names
	if err != nil {
		return err
	}
	return f.Close()
}

// connect has up to n connections to the file. synchronous=FULL: a commit is on the disk
// when it returns.
func connect(path, mode string, n int) (*sql.DB, error) {
	q := url.Values{
		"mode": {mode},
		"_pragma": {
			"busy_timeout(10000)", "journal_mode(WAL)", "synchronous(FULL)",
			"cache_size(-8192)", "temp_store(MEMORY)", "wal_autocheckpoint(4000)",
		},
	}
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: q.Encode()}).String())
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(n)
	db.SetMaxIdleConns(n)
	return db, nil
}

// migrations brings the tables of db up to date, or takes the last step back.
func migrations(db *sql.DB) (*goose.Provider, error) {
	files, err := fs.Sub(embedded, "migrations")
	if err != nil {
		return nil, err
	}
	return goose.NewProvider(goose.DialectSQLite3, db, files)
}

func migrate(ctx context.Context, db *sql.DB) error {
	steps, err := migrations(db)
	if err != nil {
		return err
	}
	newest := steps.ListSources()[len(steps.ListSources())-1].Version
	switch has, err := steps.GetDBVersion(ctx); {
	case err != nil:
		return err
	case has > newest:
		return errors.New("written by a later version of Friday: its tables are at " + strconv.FormatInt(has, 10) + ", this one knows " + strconv.FormatInt(newest, 10))
	case has == newest:
		return nil
	}
	_, err = steps.Up(ctx)
	return err
}

// Path is the file's.
func (s *Store) Path() string { return s.path }

// Close waits for what is being written. It may be called more than once.
func (s *Store) Close() error {
	var err error
	s.once.Do(func() { err = s.close() })
	return err
}

func (s *Store) close() error {
	var errs []error
	if s.writer != nil {
		errs = append(errs, s.writer.close())
	}
	if s.reads != nil {
		errs = append(errs, s.reads.Close())
	}
	return errors.Join(append(errs, s.lock.Close())...)
}

// millis is a time as the tables have it; 0: none.
func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// moment is what millis was of.
func moment(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}
