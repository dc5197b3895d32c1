package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"runtime/debug"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
)

// Postgres is a file with the connection string of a PostgreSQL database
// (https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING), in which
// several sidecars on several machines share one store. Its roles and its schema are those
// of deploy/postgres/roles.sql.
type Postgres string

// The roles, and the schema that their tables are in.
const (
	roleOwner   = "friday_owner"
	roleRuntime = "friday_runtime"
	roleWorker  = "friday_worker"
	roleBackup  = "friday_backup"
	schema      = "friday"
)

// What bounds a use of the database.
const (
	// pooled is how many connections a process has at most, and pooledIdle how many it
	// keeps that have nothing to do.
	pooled, pooledIdle = 16, 8
	// connecting is how long making a connection may take, unless the string says
	// otherwise, and using how long a change or a read may, waiting for a connection
	// included.
	connecting, using = 5 * time.Second, 30 * time.Second
	// limits are the server's own, in milliseconds: for a statement; for a lock; and for a
	// process that has begun a change and is stopped, whose locks others wait for.
	statementLimit, lockLimit, idleLimit = "25000", "10000", "10000"
	// tries is how often a change is made that has met another on its way.
	tries = 5
)

// cluster is the engine on PostgreSQL. Each change is a transaction of its own: the server
// commits those of several connections together.
type cluster struct {
	words *dialect
	db    *sql.DB
}

var _ engine = (*cluster)(nil)

// Open connects to the database, whose tables must be there and of this version.
func (p Postgres) Open(ctx context.Context) (s *Store, err error) {
	db, err := p.connect("", pooled)
	if err != nil {
		return nil, fmt.Errorf("jobs store %s: %w", p, err)
	}
	c := &cluster{words: postgres(), db: db}
	if err := c.check(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("jobs store %s: %w", p, err), c.close())
	}
	return &Store{path: string(p), engine: c}, nil
}

// connect has up to n connections. role, where not empty, is theirs throughout.
func (p Postgres) connect(role string, n int) (*sql.DB, error) {
	text, err := p.read()
	if err != nil {
		return nil, err
	}
	config, err := pgx.ParseConfig(text)
	if err != nil {
		return nil, err // without the password: pgx takes it out
	}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = connecting
	}
	if config.RuntimeParams["application_name"] == "" {
		config.RuntimeParams["application_name"] = "friday"
	}
	var options []stdlib.OptionOpenDB
	if role != "" {
		options = append(options, stdlib.OptionAfterConnect(func(ctx context.Context, conn *pgx.Conn) error {
			_, err := conn.Exec(ctx, "SELECT set_config('role', $1, false), set_config('search_path', $2, false)", role, schema)
			return err
		}))
	}
	db := stdlib.OpenDB(*config, options...)
	db.SetMaxOpenConns(n)
	db.SetMaxIdleConns(min(n, pooledIdle))
	db.SetConnMaxIdleTime(5 * time.Minute)
	db.SetConnMaxLifetime(time.Hour) // so that a database that has moved is found
	return db, nil
}

// mostDSN is how large the file may be.
const mostDSN = 64 << 10

// read is the connection string.
func (p Postgres) read() (text string, err error) {
	f, err := os.Open(string(p))
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	b, err := io.ReadAll(io.LimitReader(f, mostDSN+1))
	if err != nil {
		return "", err
	}
	if text = strings.TrimSpace(string(b)); text == "" || len(b) > mostDSN {
		return "", fmt.Errorf("the file must hold a connection string, of at most %d bytes", mostDSN)
	}
	return text, nil
}

// check says why the tables cannot be used.
func (c *cluster) check(ctx context.Context) error {
	newest, err := newestIn("migrations/postgres")
	if err != nil {
		return err
	}
	var has int64
	err = c.read(ctx, worker(), func(tx *tx) error {
		return tx.row("SELECT coalesce(max(version_id), 0) FROM goose_db_version", nil, &has)
	})
	switch e, ok := errors.AsType[*pgconn.PgError](err); {
	case ok && e.Code == "42P01": // undefined_table
		return errors.New("the database has no tables of Friday's yet: `fridayctl jobs migrate` makes them")
	case err != nil:
		return err
	case has > newest:
		return tooNew(has, newest)
	case has < newest:
		return fmt.Errorf("the tables are at %d, this version of Friday needs %d: `fridayctl jobs migrate` brings them there", has, newest)
	}
	return nil
}

// newestIn is the version that the tables have to be at, by a folder of migrations.
func newestIn(folder string) (newest int64, err error) {
	files, err := embedded.ReadDir(folder)
	if err != nil {
		return 0, err
	}
	for _, f := range files {
		if f.IsDir() {
			continue
		}
		version, err := goose.NumericComponent(path.Base(f.Name()))
		if err != nil {
			return 0, err
		}
		newest = max(newest, version)
	}
	return newest, nil
}

// begin begins a transaction in somebody's name, within bounds.
func (c *cluster) begin(ctx context.Context, who actor, readOnly bool) (*sql.Tx, *tx, error) {
	on, err := c.db.BeginTx(ctx, &sql.TxOptions{ReadOnly: readOnly})
	if err != nil {
		return nil, nil, err
	}
	t := &tx{dialect: c.words, on: on, ctx: ctx, who: who}
	role, tenant := who.names()
	err = t.each("SELECT set_config('search_path', ?, true), set_config('statement_timeout', ?, true), set_config('lock_timeout', ?, true), "+
		"set_config('idle_in_transaction_session_timeout', ?, true), set_config('role', ?, true), set_config('friday.tenant', ?, true)",
		[]any{schema, statementLimit, lockLimit, idleLimit, role, tenant}, func(scan) error { return nil })
	if err != nil {
		return nil, nil, errors.Join(err, rollback(on))
	}
	return on, t, nil
}

// become goes on in another's name, in the same transaction.
func become(t *tx, who actor) error {
	role, tenant := who.names()
	return t.each("SELECT set_config('role', ?, true), set_config('friday.tenant', ?, true)", []any{role, tenant}, func(scan) error { return nil })
}

// names are the role, and the tenant that policies compare with.
func (a actor) names() (role, tenant string) {
	if a.worker {
		return roleWorker, ""
	}
	return roleRuntime, a.tenant
}

func rollback(on *sql.Tx) error {
	if err := on.Rollback(); !errors.Is(err, sql.ErrTxDone) {
		return err
	}
	return nil
}

func (c *cluster) read(ctx context.Context, who actor, do func(*tx) error) error {
	_, err := c.once(ctx, who, true, do)
	return err
}

func (c *cluster) write(ctx context.Context, who actor, do func(*tx) error) error {
	for try := 1; ; try++ {
		t, err := c.once(ctx, who, false, do)
		if err == nil {
			for _, f := range t.after {
				f()
			}
			return nil
		}
		if try == tries || ctx.Err() != nil || !met(err) {
			return err
		}
	}
}

// met says that a change came to nothing because of another, and would come to something
// now: serialization_failure, deadlock_detected.
func met(err error) bool {
	e, ok := errors.AsType[*pgconn.PgError](err)
	return ok && (e.Code == "40001" || e.Code == "40P01")
}

// once runs one transaction.
func (c *cluster) once(ctx context.Context, who actor, readOnly bool, do func(*tx) error) (t *tx, err error) {
	ctx, cancel := context.WithTimeout(ctx, using)
	defer cancel()
	on, t, err := c.begin(ctx, who, readOnly)
	if err != nil {
		return nil, err
	}
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("panic: %v\n%s", v, debug.Stack())
		}
		if err != nil {
			err = errors.Join(err, rollback(on))
		}
	}()
	if err := do(t); err != nil {
		return nil, err
	}
	return t, on.Commit()
}

func (c *cluster) close() error { return c.db.Close() }
