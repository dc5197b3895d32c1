package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"runtime/debug"
	"sync/atomic"
	"time"
)

const (
	// groupSize and groupTime bound what is committed together.
	groupSize = 256
	groupTime = 20 * time.Millisecond
	// queued is how many changes may wait for the writer before who wants another waits.
	queued = 1024
)

// errClosed: the store has been closed.
var errClosed = errors.New("the jobs store is closed")

// writer makes all changes, one after the other, and commits what has come meanwhile
// together.
type writer struct {
	db   *sql.DB
	conn *sql.Conn

	changes chan *change
	stop    chan struct{}
	ended   chan struct{}

	// The goroutine's own.
	prepared map[string]*sql.Stmt
}

// change is one piece of work: all of it happens or none.
type change struct {
	ctx   context.Context //nolint:containedctx // of whoever waits
	do    func(*tx) error
	taken atomic.Bool // by the writer, or by its caller who has given up
	err   error
	done  chan struct{}
}

func newWriter(ctx context.Context, db *sql.DB) (*writer, error) {
	if err := migrate(ctx, db); err != nil {
		return nil, err
	}
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	w := &writer{
		db: db, conn: conn, changes: make(chan *change, queued), stop: make(chan struct{}), ended: make(chan struct{}),
		prepared: make(map[string]*sql.Stmt),
	}
	go w.run() //nolint:contextcheck // the writer outlives who opens it
	return w, nil
}

// write makes a change, and returns when it is on the disk.
func (s *Store) write(ctx context.Context, do func(*tx) error) error {
	c := &change{ctx: ctx, do: do, done: make(chan struct{})}
	select {
	case s.writer.changes <- c:
	case <-s.writer.stop:
		return errClosed
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	select {
	case <-c.done:
		return c.err
	case <-s.writer.ended:
		select {
		case <-c.done:
			return c.err
		default:
			return errClosed
		}
	case <-ctx.Done():
		if c.taken.CompareAndSwap(false, true) {
			return context.Cause(ctx)
		}
		<-c.done
		return c.err
	}
}

func (w *writer) run() {
	defer close(w.ended)
	for {
		select {
		case c := <-w.changes:
			w.group(c)
		case <-w.stop:
			return
		}
	}
}

// group makes first and what has come meanwhile.
func (w *writer) group(first *change) {
	ctx := context.Background() // half a group is no use to anybody
	begin := time.Now()
	group := []*change{first}
	err := w.exec(ctx, "BEGIN IMMEDIATE")
	if err == nil {
		w.make(ctx, first)
	more:
		for len(group) < groupSize && time.Since(begin) < groupTime {
			select {
			case c := <-w.changes:
				group = append(group, c)
				w.make(ctx, c)
			default:
				break more
			}
		}
		if err = w.exec(ctx, "COMMIT"); err != nil {
			err = errors.Join(err, w.exec(ctx, "ROLLBACK"))
		}
	}
	for _, c := range group {
		if c.err == nil {
			c.err = err
		}
		close(c.done)
	}
}

// make makes one change of a group.
func (w *writer) make(ctx context.Context, c *change) {
	if !c.taken.CompareAndSwap(false, true) {
		c.err = context.Cause(c.ctx) //nolint:contextcheck // of whoever has given up
		return
	}
	if c.err = w.exec(ctx, "SAVEPOINT one"); c.err != nil {
		return
	}
	if c.err = w.try(ctx, c); c.err != nil {
		// What the savepoint began is undone; the group goes on.
		if err := w.exec(ctx, "ROLLBACK TO one"); err != nil {
			c.err = errors.Join(c.err, err)
		}
	}
	if err := w.exec(ctx, "RELEASE one"); err != nil {
		c.err = errors.Join(c.err, err)
	}
}

// try makes a panic an error of this change alone.
func (w *writer) try(ctx context.Context, c *change) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("panic: %v\n%s", v, debug.Stack())
		}
	}()
	return c.do(&tx{w: w, ctx: ctx})
}

func (w *writer) exec(ctx context.Context, statement string) error {
	s, err := w.statement(ctx, statement)
	if err == nil {
		_, err = s.ExecContext(ctx)
	}
	return err
}

// statement is prepared once. Their number is that of the statements in this package.
func (w *writer) statement(ctx context.Context, text string) (*sql.Stmt, error) {
	if s := w.prepared[text]; s != nil {
		return s, nil
	}
	s, err := w.conn.PrepareContext(ctx, text)
	if err != nil {
		return nil, err
	}
	w.prepared[text] = s
	return s, nil
}

func (w *writer) close() error {
	close(w.stop)
	<-w.ended
	var errs []error
	for _, s := range w.prepared {
		errs = append(errs, s.Close())
	}
	clear(w.prepared)
	return errors.Join(append(errs, w.conn.Close(), w.db.Close())...)
}

// tx is what a change is made with.
type tx struct {
	w   *writer
	ctx context.Context //nolint:containedctx // the group's
}

// exec returns how many rows were changed.
func (t *tx) exec(statement string, args ...any) (int64, error) {
	s, err := t.w.statement(t.ctx, statement)
	if err != nil {
		return 0, err
	}
	r, err := s.ExecContext(t.ctx, args...)
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}

// row scans the first row; sql.ErrNoRows: there is none.
func (t *tx) row(statement string, args []any, into ...any) error {
	s, err := t.w.statement(t.ctx, statement)
	if err != nil {
		return err
	}
	return s.QueryRowContext(t.ctx, args...).Scan(into...)
}

// each calls scan for every row.
func (t *tx) each(statement string, args []any, scan func(*sql.Rows) error) error {
	s, err := t.w.statement(t.ctx, statement)
	if err != nil {
		return err
	}
	rows, err := s.QueryContext(t.ctx, args...)
	return over(rows, err, scan)
}

func over(rows *sql.Rows, err error, scan func(*sql.Rows) error) error {
	if err != nil {
		return err
	}
	for rows.Next() {
		if err := scan(rows); err != nil {
			return errors.Join(err, rows.Close())
		}
	}
	return errors.Join(rows.Err(), rows.Close())
}
