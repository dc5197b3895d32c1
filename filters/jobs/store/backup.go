package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
)

// open opens a file that must be there, to read.
func open(path string) (*sql.DB, error) {
	if _, err := os.Stat(path); err != nil {
		return nil, err
	}
	return connect(path, "rw", 1)
}

// view reads from a file that must be there.
func view(ctx context.Context, path string, do func(*tx) error) (err error) {
	db, err := open(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	return do(&tx{dialect: sqlite(), on: db, ctx: ctx})
}

// List is all jobs of the file at path, the newest first. Its tables must be those of this
// version.
func List(ctx context.Context, path string, limit int) (jobs []Job, err error) {
	err = view(ctx, path, func(tx *tx) error {
		has, newest, err := tx.versions()
		switch {
		case err != nil:
			return err
		case has > newest:
			return tooNew(has, newest)
		case has < newest:
			return fmt.Errorf("written by an earlier version of Friday: its tables are at %d, this one reads those at %d, to which a sidecar of this version brings them", has, newest)
		}
		jobs, err = tx.allJobs(limit)
		return err
	})
	return jobs, err
}

func (t *tx) allJobs(limit int) (jobs []Job, err error) {
	err = t.each("SELECT "+jobColumns+" FROM jobs ORDER BY seq DESC LIMIT ?", []any{limit}, func(scan scan) error {
		j, err := scanJob(scan)
		jobs = append(jobs, j)
		return err
	})
	return jobs, err
}

// Backup writes a copy of the file at path, as it is at one moment, to another that must
// not be there yet. Sidecars may go on with theirs.
func Backup(ctx context.Context, path, to string) (err error) {
	db, err := open(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if err := private(to); err != nil { // VACUUM INTO takes an empty file
		return err
	}
	if st, err := os.Stat(to); err != nil || st.Size() > 0 {
		return errors.Join(err, fmt.Errorf("%s is there already", to))
	}
	if _, err := db.ExecContext(ctx, "VACUUM INTO ?", to); err != nil {
		return errors.Join(err, os.Remove(to))
	}
	return Check(ctx, to)
}

// Check says what is wrong with the file at path.
func Check(ctx context.Context, path string) (err error) {
	db, err := open(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	var found string
	if err := db.QueryRowContext(ctx, "PRAGMA integrity_check(1)").Scan(&found); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if found != "ok" {
		return fmt.Errorf("%s: %s", path, found)
	}
	if _, _, err := (&tx{dialect: sqlite(), on: db, ctx: ctx}).versions(); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// versions are what the tables of a file are at, and what those of this version are.
func (t *tx) versions() (has, newest int64, err error) {
	if err := t.row("SELECT max(version_id) FROM goose_db_version", nil, &has); err != nil {
		return 0, 0, fmt.Errorf("not a jobs store: %w", err)
	}
	newest, err = newestIn("migrations")
	return has, newest, err
}

// current is a copy with the tables of this version: from itself where they are, else a
// file beside it, which goes with done.
func current(ctx context.Context, from string) (path string, done func() error, err error) {
	var has, newest int64
	err = view(ctx, from, func(tx *tx) error { has, newest, err = tx.versions(); return err })
	nothing := func() error { return nil }
	if err != nil || has == newest {
		return from, nothing, err
	}
	path = from + ".migrated"
	done = func() error { return os.Remove(path) }
	if err := copyFile(path, from); err != nil {
		return "", nothing, err
	}
	db, err := connect(path, "rw", 1)
	if err == nil {
		err = errors.Join(migrate(ctx, db), db.Close())
	}
	if err != nil {
		return "", nothing, errors.Join(err, done())
	}
	return path, done, nil
}

// Restore puts a copy that [Backup] has made in the place of the file at path, which no
// process may have open.
func Restore(ctx context.Context, path, from string) (err error) {
	if err := Check(ctx, from); err != nil {
		return err
	}
	lock, err := holdAlone(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	next := path + ".restored"
	if err := copyFile(next, from); err != nil {
		return err
	}
	// What is left of a log belongs to the file that goes.
	for _, end := range []string{"-wal", "-shm"} {
		if err := os.Remove(path + end); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	if err := os.Rename(next, path); err != nil {
		return err
	}
	return Check(ctx, path)
}

func copyFile(to, from string) (err error) {
	in, err := os.Open(from) // #nosec G304 -- the file that a person names
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600) // #nosec G304 -- as above
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Sync(), out.Close())
}
