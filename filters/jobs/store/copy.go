package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"strings"
)

// copied is a table as it goes from one store into another.
type copied struct {
	name    string
	columns []string
	// owner is the table with its rows' tenants, where SQLite has none in it, and on is how
	// a row is found there.
	owner, on string
}

// tables are what a copy has in it, in the order in which they can be filled. Not in it is
// what goes by itself: uploads on their way, and contents that are being cleared away.
func tables() []copied {
	columns := func(text string) []string { return strings.Split(text, " ") }
	const ofJob = "owner.seq = t.job"
	return []copied{
		{name: "files", columns: columns("seq id purpose filename bytes sha256 created_at expires_at")},
		{name: "chunks", columns: columns("content n data"), owner: "files", on: "owner.id = t.content"},
		{name: "jobs", columns: columns("seq id kind origin endpoint input metadata headers digest max_attempts retention status outcome errors output error_file total completed " +
			"failed created_at in_progress_at finalizing_at cancelling_at ended_at expires_at owner token lease_until creator")},
		{name: "lines", columns: columns("job n custom_id state attempts fails not_before token lease_until"), owner: "jobs", on: ofJob},
		{name: "bodies", columns: columns("job n body"), owner: "jobs", on: ofJob},
		{name: "results", columns: columns("job n status request_id content_type body code message"), owner: "jobs", on: ofJob},
		{name: "steps", columns: columns("job n version step status content_type body"), owner: "jobs", on: ofJob},
		{name: "notices", columns: columns("id kind object origin status created_at attempts not_before")},
		{name: "idempotency", columns: columns("key digest id created_at")},
		{name: "doomed", columns: columns("kind id"), owner: "jobs", on: "CAST(owner.seq AS text) = t.id AND t.kind <> '" + content + "'"},
		{name: "audit", columns: columns("seq at action object address outcome hash")},
	}
}

// all reads every row: its tenant first, and those of one tenant together. With SQLite the
// owners' index gives that order, so that nothing has to be sorted.
func (c *copied) all() string {
	read := "SELECT t.tenant, t." + strings.Join(c.columns, ", t.") + " FROM " + c.name + " t ORDER BY t.tenant"
	if c.owner != "" {
		read = "SELECT owner.tenant, t." + strings.Join(c.columns, ", t.") + " FROM " + c.owner + " owner CROSS JOIN " + c.name + " t WHERE " + c.on + " ORDER BY owner.tenant"
	}
	return read
}

// copyTo copies all rows of a table to another store: to PostgreSQL in the name of the tenant
// whose they are.
func (c *copied) copyTo(from, to *tx) error {
	columns := c.columns
	tenants := to.enter == nil && c.owner == ""
	if tenants {
		columns = append([]string{"tenant"}, columns...)
	}
	rows := to.into(c.name, columns...)
	last := ""
	err := from.each(c.all(), nil, func(scan scan) error {
		row := make([]any, 1+len(c.columns))
		into := make([]any, len(row))
		for i := range row {
			into[i] = &row[i]
		}
		if err := scan(into...); err != nil {
			return err
		}
		tenant, ok := row[0].(string)
		if !ok {
			return fmt.Errorf("a tenant of type %T", row[0])
		}
		if tenant != last {
			if err := rows.flush(); err != nil {
				return err
			}
			if err := to.as(of(tenant)); err != nil {
				return err
			}
			last = tenant
		}
		if !tenants {
			row = row[1:]
		}
		return rows.add(row...)
	})
	if err == nil {
		err = rows.flush()
	}
	if err != nil {
		return fmt.Errorf("%s: %w", c.name, err)
	}
	return nil
}

// Backup writes what the database has at one moment to a SQLite file, which must not be
// there yet, and which is a store of its own: it can be listed and verified, a sidecar could
// work on it, and [Postgres.Restore] takes it back. Sidecars may go on meanwhile.
func (p Postgres) Backup(ctx context.Context, to string) (err error) {
	if err := private(to); err != nil {
		return err
	}
	if st, err := os.Stat(to); err != nil || st.Size() > 0 {
		return errors.Join(err, fmt.Errorf("%s is there already", to))
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(to))
		}
	}()
	if err := p.backup(ctx, to); err != nil {
		return err
	}
	return Check(ctx, to)
}

func (p Postgres) backup(ctx context.Context, to string) (err error) {
	db, err := connect(to, "rwc", 1)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }() // which leaves one file
	if err := migrate(ctx, db); err != nil {
		return err
	}
	return p.view(ctx, func(from *tx) error {
		for _, table := range tables() {
			on, err := db.BeginTx(ctx, nil)
			if err != nil {
				return err
			}
			if err := table.copyTo(from, &tx{dialect: sqlite(), on: on, ctx: ctx}); err != nil {
				return errors.Join(err, rollback(on))
			}
			if err := on.Commit(); err != nil {
				return err
			}
		}
		var token int64
		if err := from.row("SELECT last_value FROM fence", nil, &token); err != nil {
			return err
		}
		_, err := db.ExecContext(ctx, "UPDATE fence SET value = ?", token)
		return err
	})
}

// Restore takes what stands in a SQLite file, a copy that [Postgres.Backup] or [Backup] has
// made, also an earlier version's, into a database whose tables are there and empty: all of
// it, or nothing. Who the connection string names must be a member of friday_owner,
// friday_runtime and friday_backup.
func (p Postgres) Restore(ctx context.Context, from string) (err error) {
	if err := Check(ctx, from); err != nil {
		return err
	}
	from, done, err := current(ctx, from)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, done()) }()
	db, err := p.connect("", 1)
	if err != nil {
		return fmt.Errorf("jobs store %s: %w", p, err)
	}
	c := &cluster{words: postgres(), db: db}
	defer func() { err = errors.Join(err, c.close()) }()
	err = c.check(ctx)
	if err == nil {
		err = view(ctx, from, func(from *tx) error { return c.restore(ctx, from) })
	}
	if err != nil {
		return fmt.Errorf("jobs store %s: %w", p, err)
	}
	return nil
}

func (c *cluster) restore(ctx context.Context, from *tx) (err error) {
	on, err := c.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, rollback(on))
		}
	}()
	to := &tx{dialect: c.words, on: on, ctx: ctx}
	if err := to.mustBeEmpty(); err != nil {
		return err
	}
	for _, table := range tables() {
		if err := table.copyTo(from, to); err != nil {
			return err
		}
	}
	trail, err := from.verify("")
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	if trail.Entries > 0 {
		if _, err := to.exec("UPDATE audit_head SET seq = ?, hash = decode(?, 'hex')", trail.Entries, trail.Head); err != nil {
			return err
		}
	}
	if err := to.goOnFrom(from); err != nil {
		return err
	}
	return on.Commit()
}

// setRole goes on as one of the roles, for what no change of a sidecar's does.
func (t *tx) setRole(role string) error {
	return t.each("SELECT set_config('search_path', ?, true), set_config('role', ?, true)", []any{schema, role}, func(scan) error { return nil })
}

// mustBeEmpty refuses to mix two stores.
func (t *tx) mustBeEmpty() error {
	if err := t.setRole(roleBackup); err != nil {
		return err
	}
	for _, table := range tables() {
		var there int
		err := t.row("SELECT 1 FROM "+table.name+" LIMIT 1", nil, &there)
		if err == nil {
			return fmt.Errorf("there is something in %s already: only an empty database takes a copy", table.name)
		}
		if !errors.Is(err, sql.ErrNoRows) {
			return err
		}
	}
	return nil
}

// goOnFrom has numbers given out from where the copy ends.
func (t *tx) goOnFrom(from *tx) error {
	if err := t.setRole(roleOwner); err != nil {
		return err
	}
	for sequence, read := range map[string]string{
		"SELECT setval(pg_get_serial_sequence('files', 'seq'), ?)": "SELECT coalesce(max(seq), 0) FROM files",
		"SELECT setval(pg_get_serial_sequence('jobs', 'seq'), ?)":  "SELECT coalesce(max(seq), 0) FROM jobs",
		"SELECT setval('fence', ?)":                                "SELECT value FROM fence",
	} {
		var n int64
		if err := from.row(read, nil, &n); err != nil {
			return err
		}
		if n > 0 {
			if err := t.each(sequence, []any{n}, func(scan) error { return nil }); err != nil {
				return err
			}
		}
	}
	return nil
}
