//go:build interop

package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/bench/process"
	"github.com/fridaymesh/friday/bench/realserver"
)

// databases is a real PostgreSQL in which each store is a database of its own.
type databases struct {
	server *realserver.RunningPostgres
	super  *sql.DB
	next   atomic.Int64
}

func newDatabases(t *testing.T) *databases {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	t.Cleanup(cancel)
	program, err := realserver.PreparePostgres(ctx, func(s string) { t.Log(s) })
	if errors.Is(err, realserver.ErrUnavailable) {
		t.Skipf("SKIPPED, PostgreSQL was not called: %v", err)
	}
	require.NoError(t, err)
	group, err := process.NewGroup(t.TempDir())
	require.NoError(t, err)
	t.Cleanup(group.Close)
	d := new(databases)
	d.server, err = program.Start(ctx, group, "-c", "fsync=off", "-c", "max_connections=200")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, d.server.Remove()) })
	d.super = d.connect(t, "postgres")
	var version string
	require.NoError(t, d.super.QueryRowContext(ctx, "SELECT version()").Scan(&version))
	t.Log(version)
	return d
}

// connect connects as the superuser.
func (d *databases) connect(t *testing.T, name string) *sql.DB {
	t.Helper()
	config, err := pgx.ParseConfig(d.server.DSN("postgres", name))
	require.NoError(t, err)
	db := stdlib.OpenDB(*config)
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// make makes a database with nothing in it but roles, and returns how the sidecar's user
// connects to it.
func (d *databases) make(t *testing.T) Postgres {
	t.Helper()
	name := fmt.Sprint("store", d.next.Add(1))
	require.NoError(t, d.server.Make(t.Context(), name))
	file := filepath.Join(t.TempDir(), "dsn")
	require.NoError(t, os.WriteFile(file, []byte(d.server.DSN("friday", name)+"\n"), 0o600))
	return Postgres(file)
}

// open makes a store.
func (d *databases) open(t *testing.T) *Store {
	t.Helper()
	p := d.make(t)
	require.NoError(t, dsnFor(t, &Store{path: string(p)}, "friday_operator").Migrate(t.Context()))
	s, err := p.Open(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

func TestPostgres(t *testing.T) {
	d := newDatabases(t)
	for name, show := range behaviours() {
		t.Run(name, func(t *testing.T) { show(t, d.open(t)) })
	}
	for name, show := range map[string]func(*testing.T, *databases){
		"migrations": migrationsBothWays, "rights": rights, "row-level security": rowLevelSecurity, "away and back": awayAndBack,
		"backup and restore": copies,
	} {
		t.Run(name, func(t *testing.T) { show(t, d) })
	}
}

// The tables can be made, taken away and made again, and no version opens those of another.
func migrationsBothWays(t *testing.T, d *databases) {
	t.Helper()
	p := d.make(t)
	_, err := p.Open(t.Context())
	require.ErrorContains(t, err, "the database has no tables of Friday's yet: `fridayctl jobs migrate` makes them")
	require.ErrorContains(t, p.Migrate(t.Context()), "permission denied to set role", "the sidecar's user owns nothing")
	s := &Store{path: string(p)}
	owner := dsnFor(t, s, "friday_operator")
	tables := func() (names []string) {
		db := superuser(t, s)
		defer func() { require.NoError(t, db.Close()) }()
		rows, err := db.QueryContext(t.Context(), "SELECT tablename FROM pg_tables WHERE schemaname = 'friday' AND tablename NOT LIKE 'goose%' ORDER BY 1")
		require.NoError(t, err)
		for rows.Next() {
			var name string
			require.NoError(t, rows.Scan(&name))
			names = append(names, name)
		}
		require.NoError(t, rows.Close())
		return names
	}
	require.NoError(t, owner.Migrate(t.Context()))
	there := tables()
	require.NotEmpty(t, there)
	require.NoError(t, owner.stepping(func(steps *goose.Provider) error {
		_, err := steps.DownTo(t.Context(), 0)
		return err
	}))
	require.Empty(t, tables())
	_, err = p.Open(t.Context())
	require.ErrorContains(t, err, "the tables are at 0, this version of Friday needs ")
	require.NoError(t, owner.Migrate(t.Context()))
	require.NoError(t, owner.Migrate(t.Context()), "there is nothing to do")
	require.Equal(t, there, tables())
	db := superuser(t, s)
	_, err = db.ExecContext(t.Context(), "INSERT INTO goose_db_version (version_id, is_applied) VALUES (99, true)")
	require.NoError(t, err)
	require.NoError(t, db.Close())
	_, err = p.Open(t.Context())
	require.ErrorContains(t, err, "written by a later version of Friday")
	require.ErrorContains(t, owner.Migrate(t.Context()), "written by a later version of Friday")
}

// No table may do without a guard, those that are yet to come included. What stands in
// SQLite's file stands here, too.
func rights(t *testing.T, d *databases) {
	t.Helper()
	s := d.open(t)
	db := superuser(t, s)
	defer func() { require.NoError(t, db.Close()) }()
	list := func(query string, args ...any) (out []string) {
		rows, err := db.QueryContext(t.Context(), query, args...)
		require.NoError(t, err)
		for rows.Next() {
			var v string
			require.NoError(t, rows.Scan(&v))
			out = append(out, v)
		}
		require.NoError(t, rows.Close())
		return out
	}
	tables := list("SELECT relname FROM pg_class WHERE relnamespace = 'friday'::regnamespace AND relkind IN ('r', 'p') AND relname NOT LIKE 'goose%'")
	light := newStore(t)
	rows, err := readsOf(light).QueryContext(t.Context(), "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' AND name NOT LIKE 'goose%' AND name <> 'fence'")
	require.NoError(t, err)
	for rows.Next() {
		var name string
		require.NoError(t, rows.Scan(&name))
		require.Contains(t, tables, name, "a table of SQLite's without its twin")
	}
	require.NoError(t, rows.Close())

	// What the worker may read holds nothing that callers have sent.
	worker := map[string]bool{"files": true, "uploads": true, "jobs": true, "lines": true, "idempotency": true, "doomed": true}
	for _, table := range tables {
		var enabled, forced bool
		var owner string
		require.NoError(t, db.QueryRowContext(t.Context(), "SELECT relrowsecurity, relforcerowsecurity, relowner::regrole FROM pg_class WHERE oid = $1::regclass", table).Scan(&enabled, &forced, &owner))
		require.True(t, enabled && forced, "%s: row-level security must be enabled and forced", table)
		require.Equal(t, roleOwner, owner, table)
		of := `tenant = current_setting('friday.tenant'::text, true)`
		tenants := list("SELECT policyname || ' ' || cmd || ' ' || qual || ' ' || with_check FROM pg_policies WHERE tablename = $1 AND 'friday_runtime' = ANY(roles)", table)
		if table == "audit_head" { // nobody's
			require.Equal(t, []string{"of_everybody ALL true true"}, tenants)
		} else {
			require.Equal(t, []string{"of_tenant ALL (" + of + ") (" + of + ")"}, tenants, "%s: the policy of tenants", table)
			require.Equal(t, []string{"NO"}, list("SELECT is_nullable FROM information_schema.columns WHERE table_schema = 'friday' AND table_name = $1 AND column_name = 'tenant'", table), table)
		}
		require.Equal(t, []string{"for_backup SELECT true"}, list("SELECT policyname || ' ' || cmd || ' ' || qual FROM pg_policies WHERE tablename = $1 AND 'friday_backup' = ANY(roles)", table), "%s: what backups see", table)
		require.Equal(t, []string{"SELECT"}, list("SELECT privilege_type FROM information_schema.table_privileges WHERE table_schema = 'friday' AND table_name = $1 AND grantee = 'friday_backup'", table), table)
		require.Empty(t, list("SELECT policyname FROM pg_policies WHERE tablename = $1 AND NOT roles <@ ARRAY['friday_runtime', 'friday_worker', 'friday_backup']::name[]", table), table)
		reads := list("SELECT column_name FROM information_schema.column_privileges WHERE table_schema = 'friday' AND table_name = $1 AND grantee = 'friday_worker'", table)
		require.Equal(t, worker[table], len(reads) > 0, "%s: whether the worker reads it", table)
		for _, column := range []string{"body", "data", "headers", "metadata", "input", "filename", "message", "errors", "digest"} {
			require.NotContains(t, reads, column, table)
		}
	}
	for _, role := range []string{roleRuntime, roleWorker, roleBackup, "friday"} {
		require.Empty(t, list("SELECT relname FROM pg_class WHERE relowner = $1::regrole", role), "%s owns something", role)
		require.Equal(t, []string{"false"}, list("SELECT (rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb OR rolinherit)::text FROM pg_roles WHERE rolname = $1", role), role)
	}
	var member bool
	require.NoError(t, db.QueryRowContext(t.Context(), "SELECT pg_has_role('friday', 'friday_owner', 'MEMBER') OR pg_has_role('friday', 'friday_backup', 'MEMBER')").Scan(&member))
	require.False(t, member, "a sidecar may be neither the owner nor who sees all")
}

// Whatever a statement of ours forgets, the database does not.
func rowLevelSecurity(t *testing.T, d *databases) {
	t.Helper()
	s := d.open(t)
	putFile(t, s.Tenant("a"), "file-a", "x", "batch", "a's", Twice{Key: "k", Digest: []byte("d")})
	putFile(t, s.Tenant("b"), "file-b", "x", "batch", "b's", Twice{Key: "k", Digest: []byte("d")})
	ja := started(t, s, "a", "batch_a", 2)
	started(t, s, "b", "batch_b", 2)
	lines, err := s.Claim(t.Context(), "o", 1, time.Now(), time.Minute)
	require.NoError(t, err)
	_, err = s.Finish(t.Context(), []Result{{Job: lines[0].Job, N: lines[0].N, Token: lines[0].Token, Status: 200}})
	require.NoError(t, err)

	config, err := pgx.ParseConfig(strings.TrimSpace(func() string { text, _ := Postgres(s.Path()).read(); return text }()))
	require.NoError(t, err)
	conn, err := pgx.ConnectConfig(t.Context(), config)
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close(context.Background())) }()
	do := func(statement string) error {
		_, err := conn.Exec(t.Context(), statement)
		return err
	}
	require.NoError(t, do("SET search_path = friday"))
	require.ErrorContains(t, do("SELECT * FROM friday.files"), "permission denied for schema", "without a role there are no rights")
	require.ErrorContains(t, do("SET ROLE friday_owner"), "permission denied")
	require.ErrorContains(t, do("SET ROLE friday_backup"), "permission denied")

	require.NoError(t, do("SET ROLE friday_runtime"))
	of := func(table, condition string) (n int) {
		require.NoError(t, conn.QueryRow(t.Context(), "SELECT count(*) FROM "+table+" WHERE "+condition).Scan(&n), table)
		return n
	}
	tables := []string{"files", "chunks", "jobs", "lines", "bodies", "idempotency", "audit"}
	for _, table := range append(slices.Clone(tables), "results", "doomed", "uploads") {
		require.Zero(t, of(table, "true"), "%s: of no tenant", table)
	}
	require.NoError(t, do("SET friday.tenant = 'b'"))
	for _, table := range tables {
		require.Positive(t, of(table, "true"), "%s: one's own", table)
		require.Zero(t, of(table, "tenant <> 'b'"), "%s: another tenant's", table)
	}
	changed := func(statement string) int64 {
		tag, err := conn.Exec(t.Context(), statement)
		require.NoError(t, err, statement)
		return tag.RowsAffected()
	}
	require.Zero(t, changed("UPDATE files SET filename = 'stolen' WHERE id = 'file-a'"))
	require.Zero(t, changed("DELETE FROM jobs WHERE id = 'batch_a'"))
	require.Zero(t, changed("DELETE FROM chunks WHERE content = 'file-a'"))
	refused := "violates row-level security policy"
	require.ErrorContains(t, do("INSERT INTO files (id, purpose, filename, bytes, sha256, created_at, expires_at, tenant) VALUES ('f', '', '', 0, '', 0, 0, 'a')"), refused)
	require.ErrorContains(t, do("UPDATE files SET tenant = 'a'"), refused)
	require.ErrorContains(t, do("INSERT INTO audit VALUES (99, 0, 'x', '', '', 0, '', 'a')"), refused)
	require.ErrorContains(t, do(fmt.Sprintf("INSERT INTO lines (job, n, custom_id, not_before) VALUES (%d, 99, '', 0)", ja.Seq)), "foreign key", "into another's job")
	require.ErrorContains(t, do("DELETE FROM audit"), "permission denied")
	require.ErrorContains(t, do("UPDATE audit SET object = ''"), "permission denied")
	require.ErrorContains(t, do("TRUNCATE files"), "permission denied")
	require.ErrorContains(t, do("CREATE TABLE mine (x int)"), "permission denied")
	require.ErrorContains(t, do("ALTER TABLE files DISABLE ROW LEVEL SECURITY"), "must be owner")

	require.NoError(t, do("RESET ROLE"))
	require.NoError(t, do("SET ROLE friday_worker"))
	require.Equal(t, 2, of("jobs", "ended_at = 0"), "the worker sees all tenants'")
	for _, column := range []string{"body FROM bodies", "body FROM results", "data FROM chunks", "headers FROM jobs", "metadata FROM jobs", "filename FROM files", "* FROM audit"} {
		require.ErrorContains(t, do("SELECT "+column), "permission denied", column)
	}
	require.ErrorContains(t, do("UPDATE jobs SET status = 'completed'"), "permission denied")
	require.ErrorContains(t, do("DELETE FROM files"), "permission denied")

	owner, err := operator(t, s).connect(roleOwner, 1)
	require.NoError(t, err)
	defer func() { require.NoError(t, owner.Close()) }()
	var n int
	require.NoError(t, owner.QueryRowContext(t.Context(), "SELECT count(*) FROM files").Scan(&n))
	require.Zero(t, n, "the owner sees no row either")
	_, err = owner.ExecContext(t.Context(), "DELETE FROM audit")
	require.NoError(t, err, "it sees none to delete")
	_, err = owner.ExecContext(t.Context(), "TRUNCATE audit")
	require.ErrorContains(t, err, "the audit trail is append-only")
}

// A database that goes away is an error, and is found again when it is back.
func awayAndBack(t *testing.T, _ *databases) {
	t.Helper()
	own := newDatabases(t) // nobody else's may go away
	s := own.open(t)
	j := started(t, s, "a", "batch_1", 1)
	own.server.Kill()
	_, err := s.Tenant("a").Job(t.Context(), Batch, j.ID)
	require.Error(t, err)
	require.False(t, Ours(err))
	_, err = s.Claim(t.Context(), "o", 1, time.Now(), time.Minute)
	require.Error(t, err)
	_, err = Postgres(s.Path()).Open(t.Context())
	require.Error(t, err)
	require.NoError(t, own.server.Begin(t.Context()))
	require.Eventually(t, func() bool {
		_, err := s.Tenant("a").Job(t.Context(), Batch, j.ID)
		return err == nil
	}, 2*time.Minute, 50*time.Millisecond)
	lines, err := s.Claim(t.Context(), "o", 1, time.Now(), time.Minute)
	require.NoError(t, err)
	require.Len(t, lines, 1)
}

// A copy is a store, and comes back whole into an empty database: one of SQLite's, too.
func copies(t *testing.T, d *databases) {
	t.Helper()
	s := d.open(t)
	for i, text := range hostile() {
		putFile(t, s.Tenant(fmt.Sprint("tenant ", i%3)), fmt.Sprint("file-", i), text, "batch", strings.Repeat("content", 10_000*(i%3)), Twice{Key: text, Digest: []byte(text)})
	}
	j := started(t, s, "a", "batch_1", 300)
	lines, err := s.Claim(t.Context(), "o", 100, time.Now(), time.Minute)
	require.NoError(t, err)
	result := Result{Job: lines[0].Job, N: lines[0].N, Token: lines[0].Token, Status: 200, Body: []byte("it"), Message: "\x00"}
	_, err = s.Finish(t.Context(), []Result{result})
	require.NoError(t, err)
	_, err = io.WriteString(s.Tenant("a").Upload(t.Context(), "on-its-way"), strings.Repeat("x", 2*chunkBytes))
	require.NoError(t, err)

	copied := filepath.Join(t.TempDir(), "copy.db")
	require.ErrorContains(t, Postgres(s.Path()).Backup(t.Context(), copied), "permission denied to set role", "the sidecar's user sees no other tenant")
	require.NoFileExists(t, copied)
	from := operator(t, s)
	require.NoError(t, from.Backup(t.Context(), copied), "while it is in use")
	require.ErrorContains(t, from.Backup(t.Context(), copied), "is there already")
	trail, err := from.Verify(t.Context(), "")
	require.NoError(t, err)
	again, err := Verify(t.Context(), copied, trail.Head)
	require.NoError(t, err)
	require.Equal(t, trail.Entries, again.Entries)
	require.ErrorContains(t, from.Restore(t.Context(), copied), "only an empty database takes a copy")

	back := d.open(t)
	to := operator(t, back)
	require.NoError(t, to.Restore(t.Context(), copied))
	db, was := superuser(t, back), superuser(t, s)
	for _, table := range tables() {
		sum := "SELECT count(*)::text || ' ' || coalesce(md5(string_agg(t::text, '|' ORDER BY t::text)), '') FROM " + table.name + " t"
		if table.name == "chunks" {
			sum += " WHERE content <> 'on-its-way'"
		}
		var have, want string
		require.NoError(t, db.QueryRowContext(t.Context(), sum).Scan(&have))
		require.NoError(t, was.QueryRowContext(t.Context(), sum).Scan(&want))
		require.Equal(t, want, have, table.name)
	}
	require.NoError(t, db.Close())
	require.NoError(t, was.Close())

	// It goes on where it was: leases run out, numbers follow.
	late := time.Now().Add(2 * time.Minute)
	n, err := back.Recover(t.Context(), late)
	require.NoError(t, err)
	require.EqualValues(t, 99, n)
	lines, err = back.Claim(t.Context(), "o", 1000, late, time.Minute)
	require.NoError(t, err)
	require.Len(t, lines, 299)
	require.Greater(t, lines[0].Token, result.Token)
	require.Greater(t, started(t, back, "a", "batch_2", 1).Seq, j.Seq)
	after, err := to.Verify(t.Context(), trail.Head)
	require.NoError(t, err)
	require.Greater(t, after.Entries, trail.Entries)
	jobs, err := to.List(t.Context(), 10)
	require.NoError(t, err)
	require.Len(t, jobs, 2)

	// A sidecar could work on the copy itself, and a file moves to PostgreSQL the same way.
	light, err := Open(t.Context(), copied)
	require.NoError(t, err)
	f, err := light.Tenant("tenant 2").File(t.Context(), "file-2", time.Now())
	require.NoError(t, err)
	content, err := io.ReadAll(light.Tenant("tenant 2").Content(t.Context(), f))
	require.NoError(t, err)
	require.Len(t, content, 140_000)
	require.NoError(t, light.Close())
	moved := d.open(t)
	require.NoError(t, operator(t, moved).Restore(t.Context(), copied))
	require.Equal(t, 300, count(t, moved, "lines"))
}
