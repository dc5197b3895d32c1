package store

import (
	"context"
	"database/sql"
	"errors"
)

// There is one set of statements and there are two databases. Where they differ a [dialect]
// has the words of each; who acts, and on what connection, is an [engine]'s.

// actor is in whose name a change is made or something is read. PostgreSQL sees to it that
// nothing else comes of it, by row-level security and by rights on columns; SQLite has one
// user, and relies on what the statements say.
type actor struct {
	// tenant is whose rows there are; empty: nobody's.
	tenant string
	// worker is the view of all tenants, and of nothing that callers have sent.
	worker bool
}

// of is a tenant's view, and worker the other one.
func of(tenant string) actor { return actor{tenant: tenant} }
func worker() actor          { return actor{worker: true} }

// engine runs changes and reads on one kind of database.
type engine interface {
	// write makes a change, which is on the disk when it returns nil. do may be called more
	// than once; only what the last call did counts, so that it must set what it returns
	// anew, and leave what must happen once to [tx.then].
	write(ctx context.Context, who actor, do func(*tx) error) error
	// read looks. It waits for no change.
	read(ctx context.Context, who actor, do func(*tx) error) error
	close() error
}

// runner runs statements.
type runner interface {
	ExecContext(ctx context.Context, text string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, text string, args ...any) (*sql.Rows, error)
}

// tx is what a change is made with, or something is read with.
type tx struct {
	*dialect

	on    runner
	ctx   context.Context //nolint:containedctx // of the change
	who   actor
	after []func()
}

// then has f called once the change is on the disk.
func (t *tx) then(f func()) { t.after = append(t.after, f) }

// as goes on in another's name.
func (t *tx) as(who actor) error {
	if t.enter == nil || t.who == who {
		return nil
	}
	if err := t.enter(t, who); err != nil {
		return err
	}
	t.who = who
	return nil
}

// asOwnerOf goes on in the name of the tenant whose job it is; sql.ErrNoRows where there is
// no such job.
func (t *tx) asOwnerOf(job int64) error {
	if t.enter == nil {
		return nil
	}
	if err := t.as(worker()); err != nil {
		return err
	}
	var tenant string
	if err := t.row("SELECT tenant FROM jobs WHERE seq = ?", []any{job}, &tenant); err != nil {
		return err
	}
	return t.as(of(tenant))
}

// exec returns how many rows were changed.
func (t *tx) exec(statement string, args ...any) (int64, error) {
	r, err := t.on.ExecContext(t.ctx, t.text(statement), t.in(args)...)
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}

// scan puts a row's columns where its arguments point.
type scan func(into ...any) error

// row scans the first row; sql.ErrNoRows: there is none.
func (t *tx) row(statement string, args []any, into ...any) error {
	found := false
	err := t.each(statement, args, func(scan scan) error {
		if found {
			return nil
		}
		found = true
		return scan(into...)
	})
	if err == nil && !found {
		return sql.ErrNoRows
	}
	return err
}

// each calls f for every row.
func (t *tx) each(statement string, args []any, f func(scan) error) error {
	rows, err := t.on.QueryContext(t.ctx, t.text(statement), t.in(args)...)
	if err != nil {
		return err
	}
	for rows.Next() {
		if err := f(func(into ...any) error { return t.out(rows.Scan(into...), into) }); err != nil {
			return errors.Join(err, rows.Close())
		}
	}
	return errors.Join(rows.Err(), rows.Close())
}

// write makes a change in the worker's name.
func (s *Store) write(ctx context.Context, do func(*tx) error) error {
	return s.engine.write(ctx, worker(), do)
}

// read looks in the worker's name.
func (s *Store) read(ctx context.Context, do func(*tx) error) error {
	return s.engine.read(ctx, worker(), do)
}

// write makes a change in the tenant's name.
func (t Tenant) write(ctx context.Context, do func(*tx) error) error {
	return t.s.engine.write(ctx, of(t.id), do)
}

// read looks in the tenant's name.
func (t Tenant) read(ctx context.Context, do func(*tx) error) error {
	return t.s.engine.read(ctx, of(t.id), do)
}
