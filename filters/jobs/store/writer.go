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

var _ runner = (*writer)(nil)

// errClosed: the store has been closed.
var errClosed = errors.New("the jobs store is closed")

// writer makes all changes, one after the other, and commits what has come meanwhile
// together.
type writer struct {
	db    *sql.DB
	conn  *sql.Conn
	words *dialect

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
	after []func()
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
		db: db, conn: conn, words: sqlite(), changes: make(chan *change, queued), stop: make(chan struct{}), ended: make(chan struct{}),
		prepared: make(map[string]*sql.Stmt),
	}
	go w.run() //nolint:contextcheck // the writer outlives who opens it
	return w, nil
}

// write makes a change, and returns when it is on the disk.
func (w *writer) write(ctx context.Context, do func(*tx) error) error {
	c := &change{ctx: ctx, do: do, done: make(chan struct{})}
	select {
	case w.changes <- c:
	case <-w.stop:
		return errClosed
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	select {
	case <-c.done:
		return c.err
	case <-w.ended:
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
		if c.err == nil {
			for _, f := range c.after {
				f()
			}
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
	t := &tx{dialect: w.words, on: w, ctx: ctx}
	if err := c.do(t); err != nil {
		return err
	}
	c.after = t.after
	return nil
}

func (w *writer) exec(ctx context.Context, statement string) error {
	_, err := w.ExecContext(ctx, statement)
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

// ExecContext runs a prepared statement.
func (w *writer) ExecContext(ctx context.Context, text string, args ...any) (sql.Result, error) {
	s, err := w.statement(ctx, text)
	if err != nil {
		return nil, err
	}
	return s.ExecContext(ctx, args...)
}

// QueryContext runs a prepared statement.
func (w *writer) QueryContext(ctx context.Context, text string, args ...any) (*sql.Rows, error) {
	s, err := w.statement(ctx, text)
	if err != nil {
		return nil, err
	}
	return s.QueryContext(ctx, args...)
}
