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
	"sync"
	"sync/atomic"
	"time"

	"github.com/pressly/goose/v3"
	_ "modernc.org/sqlite" // the driver "sqlite"
)

//go:embed migrations/*.sql migrations/postgres/*.sql
var embedded embed.FS

// readers is how many reads run at once.
const readers = 4

// Store is an open store. It is safe for concurrent use.
type Store struct {
	// path is the file's, or of the file that says where PostgreSQL is.
	path   string
	engine engine
	once   sync.Once
	notify atomic.Pointer[[]string] // origins of jobs whose ends become notices
}

// file is the engine on a SQLite file.
type file struct {
	words  *dialect
	reads  *sql.DB
	writer *writer
	lock   *os.File
}

var _ engine = (*file)(nil)

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
	f := &file{words: sqlite(), lock: lock}
	if err := f.open(ctx, path); err != nil {
		return nil, errors.Join(fmt.Errorf("jobs store %s: %w", path, err), f.close())
	}
	return &Store{path: path, engine: f}, nil
}

func (f *file) open(ctx context.Context, path string) error {
	if err := private(path); err != nil {
		return err
	}
	writes, err := connect(path, "rwc", 1)
	if err != nil {
		return err
	}
	if f.writer, err = newWriter(ctx, writes); err != nil {
		return errors.Join(err, writes.Close())
	}
	if f.reads, err = connect(path, "rw", readers); err != nil {
		return err
	}
	return f.reads.PingContext(ctx)
}

func (f *file) write(ctx context.Context, _ actor, do func(*tx) error) error {
	return f.writer.write(ctx, do)
}

func (f *file) read(ctx context.Context, _ actor, do func(*tx) error) error {
	return do(&tx{dialect: f.words, on: f.reads, ctx: ctx})
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

// migrations brings the tables of a SQLite file up to date, or takes the last step back.
func migrations(db *sql.DB) (*goose.Provider, error) {
	return steps(goose.DialectSQLite3, db, "migrations")
}

// steps are the migrations in a folder.
func steps(dialect goose.Dialect, db *sql.DB, folder string) (*goose.Provider, error) {
	files, err := fs.Sub(embedded, folder)
	if err != nil {
		return nil, err
	}
	return goose.NewProvider(dialect, db, files)
}

func migrate(ctx context.Context, db *sql.DB) error {
	steps, err := migrations(db)
	if err != nil {
		return err
	}
	return upgrade(ctx, steps)
}

// upgrade takes the steps that are missing. Tables of a later version are not touched.
func upgrade(ctx context.Context, steps *goose.Provider) error {
	has, err := steps.GetDBVersion(ctx)
	if err != nil {
		return err
	}
	switch newest := newestOf(steps); {
	case has > newest:
		return tooNew(has, newest)
	case has == newest:
		return nil
	}
	_, err = steps.Up(ctx)
	return err
}

func newestOf(steps *goose.Provider) int64 {
	all := steps.ListSources()
	return all[len(all)-1].Version
}

func tooNew(has, newest int64) error {
	return fmt.Errorf("written by a later version of Friday: its tables are at %d, this one knows %d", has, newest)
}

// Path is the file's; with PostgreSQL that of the file with its connection string.
func (s *Store) Path() string { return s.path }

// Close waits for what is being written. It may be called more than once.
func (s *Store) Close() error {
	var err error
	s.once.Do(func() { err = s.engine.close() })
	return err
}

func (f *file) close() error {
	var errs []error
	if f.writer != nil {
		errs = append(errs, f.writer.close())
	}
	if f.reads != nil {
		errs = append(errs, f.reads.Close())
	}
	return errors.Join(append(errs, f.lock.Close())...)
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
