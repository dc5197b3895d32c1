package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newStore(t *testing.T) *Store {
	t.Helper()
	s, err := Open(t.Context(), filepath.Join(t.TempDir(), "a folder", "jobs.db"))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

// behaviours are what every kind of store has to show.
func behaviours() map[string]func(*testing.T, *Store) {
	return map[string]func(*testing.T, *Store){
		"fencing": fencing, "care is fenced": careIsFenced, "claims are shared": claimsAreShared, "expiry and sweep": expiryAndSweep,
		"tenants": tenantsAreApart, "any text": anyText, "sent twice": sentTwice, "side by side": sideBySide, "audit": auditTrail, "steps": stepsAreFenced, "notices": noticesAreKept,
	}
}

func TestSQLite(t *testing.T) {
	for name, show := range behaviours() {
		t.Run(name, func(t *testing.T) { show(t, newStore(t)) })
	}
}

// count is how many rows there are, whosever they are.
func count(t *testing.T, s *Store, table string) (n int) {
	t.Helper()
	rows := "SELECT count(*) FROM " + table
	if _, ok := s.engine.(*cluster); ok {
		db := superuser(t, s)
		require.NoError(t, db.QueryRow(rows).Scan(&n))
		require.NoError(t, db.Close())
		return n
	}
	require.NoError(t, readsOf(s).QueryRow(rows).Scan(&n))
	return n
}

// superuser connects past all policies, where a store is in PostgreSQL.
func superuser(t *testing.T, s *Store) *sql.DB {
	t.Helper()
	text, err := Postgres(s.Path()).read()
	require.NoError(t, err)
	config, err := pgx.ParseConfig(strings.Replace(text, "//friday@", "//postgres@", 1))
	require.NoError(t, err)
	config.RuntimeParams["search_path"] = schema
	return stdlib.OpenDB(*config)
}

// readsOf are the readers' connections to a file.
func readsOf(s *Store) *sql.DB { return s.engine.(*file).reads }

// started makes a batch of n lines that may run.
func started(t *testing.T, s *Store, tenant, id string, n int) Job {
	t.Helper()
	now := time.Now()
	j, err := s.Tenant(tenant).Create(t.Context(), Job{
		ID: id, Kind: Batch, Origin: "o", Endpoint: "/v1/x", Metadata: []byte("null"), Digest: []byte(id), MaxAttempts: 5, Retention: time.Hour,
		Status: Validating, Created: now, Expires: now.Add(time.Hour),
	}, nil, Twice{Digest: []byte(id)}, Entry{At: now, Action: "batch.create"})
	require.NoError(t, err)
	c, err := s.Take(t.Context(), "o", now, time.Hour)
	require.NoError(t, err)
	require.Equal(t, id, c.Job.ID)
	var lines []Line
	for i := range n {
		lines = append(lines, Line{N: int64(i + 1), CustomID: fmt.Sprint(i), Body: []byte("{}")})
	}
	require.NoError(t, c.AddLines(t.Context(), lines[:n/2]))
	require.NoError(t, c.Begin(t.Context(), lines[n/2:], int64(n), now))
	return j
}

// The token of a claim is good until the next claim of the line.
func fencing(t *testing.T, s *Store) {
	t.Helper()
	j := started(t, s, "a", "batch_1", 2)
	now := time.Now()
	first, err := s.Claim(t.Context(), "o", 10, now, time.Second)
	require.NoError(t, err)
	require.Len(t, first, 2)
	none, err := s.Claim(t.Context(), "o", 10, now, time.Second)
	require.NoError(t, err)
	require.Empty(t, none)
	n, err := s.Recover(t.Context(), now)
	require.NoError(t, err)
	require.Zero(t, n, "the leases hold")
	late := now.Add(2 * time.Second)
	n, err = s.Recover(t.Context(), late)
	require.NoError(t, err)
	require.EqualValues(t, 2, n)
	second, err := s.Claim(t.Context(), "o", 1, late, time.Minute)
	require.NoError(t, err)
	require.Len(t, second, 1)
	require.Equal(t, 2, second[0].Attempts)

	result := func(l Line, body string) Result {
		return Result{Job: l.Job, N: l.N, Token: l.Token, Status: 200, Body: []byte(body)}
	}
	done, err := s.Finish(t.Context(), []Result{result(first[0], "stale"), result(first[1], "stale")})
	require.NoError(t, err)
	require.Len(t, done.Stale, 2)
	lost, err := s.Heartbeat(t.Context(), []Lease{{first[0].Job, first[0].N, first[0].Token}, {second[0].Job, second[0].N, second[0].Token}}, late)
	require.NoError(t, err)
	require.Equal(t, []Lease{{first[0].Job, first[0].N, first[0].Token}}, lost)
	require.NoError(t, s.PutBack(t.Context(), []Return{{Job: first[0].Job, N: first[0].N, Token: first[0].Token}}), "by who has lost it: nothing happens")
	done, err = s.Finish(t.Context(), []Result{result(first[0], "stale"), result(second[0], "good"), result(second[0], "twice")})
	require.NoError(t, err)
	require.Len(t, done.Stale, 2, "of one line, in one change")
	require.Empty(t, done.Full)
	third, err := s.Claim(t.Context(), "o", 10, late, time.Minute)
	require.NoError(t, err)
	require.Len(t, third, 1)
	done, err = s.Finish(t.Context(), []Result{{Job: third[0].Job, N: third[0].N, Token: third[0].Token, Status: 400}})
	require.NoError(t, err)
	require.Equal(t, []int64{j.Seq}, done.Full)
	c, err := s.Take(t.Context(), "o", late, time.Minute)
	require.NoError(t, err)
	out, err := c.Outputs(t.Context(), 0, 10)
	require.NoError(t, err)
	require.Equal(t, "good", string(out[0].Result.Body))
	require.Equal(t, [2]int64{1, 1}, [2]int64{c.Job.Completed, c.Job.Failed})
}

// Who takes care of a job and is too late changes nothing.
func careIsFenced(t *testing.T, s *Store) {
	t.Helper()
	started(t, s, "a", "batch_1", 1)
	lines, err := s.Claim(t.Context(), "o", 1, time.Now(), time.Minute)
	require.NoError(t, err)
	_, err = s.Finish(t.Context(), []Result{{Job: lines[0].Job, N: 1, Token: lines[0].Token, Status: 200}})
	require.NoError(t, err)
	now := time.Now()
	first, err := s.Take(t.Context(), "o", now, time.Second)
	require.NoError(t, err)
	require.NotNil(t, first)
	none, err := s.Take(t.Context(), "o", now, time.Second)
	require.NoError(t, err)
	require.Nil(t, none)
	second, err := s.Take(t.Context(), "o", now.Add(time.Minute), time.Second)
	require.NoError(t, err)
	require.ErrorIs(t, first.Close(t.Context(), Completed, now), ErrStale)
	require.ErrorIs(t, first.AddLines(t.Context(), nil), ErrStale)
	require.ErrorIs(t, first.End(t.Context(), nil, nil, now), ErrStale)
	require.NoError(t, second.Close(t.Context(), Completed, now))
	require.NoError(t, second.End(t.Context(), nil, nil, now))
	require.ErrorIs(t, second.End(t.Context(), nil, nil, now), ErrStale)
}

// Tenants share what runs, and so do the jobs of one.
func claimsAreShared(t *testing.T, s *Store) {
	t.Helper()
	big := started(t, s, "a", "batch_1", 100)
	small := started(t, s, "a", "batch_2", 100)
	other := started(t, s, "b", "batch_3", 100)
	lines, err := s.Claim(t.Context(), "o", 40, time.Now(), time.Minute)
	require.NoError(t, err)
	got := map[int64]int{}
	for _, l := range lines {
		got[l.Job]++
	}
	require.Equal(t, map[int64]int{big.Seq: 10, small.Seq: 10, other.Seq: 20}, got)
	none, err := s.Claim(t.Context(), "elsewhere", 40, time.Now(), time.Minute)
	require.NoError(t, err)
	require.Empty(t, none)
}

// What fails in a group fails alone.
func TestGroupCommit(t *testing.T) {
	s := newStore(t)
	var wg sync.WaitGroup
	odd := errors.New("odd")
	for i := range 200 {
		wg.Go(func() {
			err := s.write(t.Context(), func(tx *tx) error {
				if _, err := tx.exec("INSERT INTO uploads VALUES (?, ?)", fmt.Sprint(i), i); err != nil {
					return err
				}
				switch i % 3 {
				case 1:
					return odd
				case 2:
					panic("odd")
				}
				return nil
			})
			switch i % 3 {
			case 0:
				require.NoError(t, err)
			case 1:
				require.ErrorIs(t, err, odd)
			default:
				require.ErrorContains(t, err, "panic: odd")
			}
		})
	}
	wg.Wait()
	var n, sum int
	require.NoError(t, readsOf(s).QueryRow("SELECT count(*), sum(touched_at % 3) FROM uploads").Scan(&n, &sum))
	require.Equal(t, []int{67, 0}, []int{n, sum})
}

// A full disk refuses, and is no end: once there is room everything goes on.
func TestDiskFull(t *testing.T) {
	s := newStore(t)
	limit := func(pages int) {
		require.NoError(t, s.write(t.Context(), func(tx *tx) error {
			var n int
			return tx.row(fmt.Sprintf("PRAGMA max_page_count = %d", pages), nil, &n)
		}))
	}
	limit(1) // which means: no more than there are
	put := func(id string) error {
		u := s.Tenant("a").Upload(t.Context(), id)
		if _, err := u.Write(make([]byte, 3*chunkBytes)); err != nil {
			return err
		}
		_, err := u.Finish(t.Context(), File{Created: time.Now(), Expires: time.Now().Add(time.Hour)}, Twice{}, Entry{Action: "file.create"})
		return err
	}
	err := put("file-1")
	require.ErrorContains(t, err, "full")
	require.False(t, Ours(err))
	_, _, err = s.Tenant("a").Files(t.Context(), "", Page{Limit: 1}, time.Now())
	require.NoError(t, err, "reading needs no room")
	limit(1 << 30)
	require.NoError(t, put("file-2"))
	require.NoError(t, Check(t.Context(), s.Path()))
}

func expiryAndSweep(t *testing.T, s *Store) {
	t.Helper()
	now := time.Now()
	a := s.Tenant("a")
	u := a.Upload(t.Context(), "file-1")
	_, err := u.Write(make([]byte, 5*chunkBytes+1))
	require.NoError(t, err)
	_, err = u.Finish(t.Context(), File{Created: now, Expires: now.Add(time.Hour)}, Twice{Key: "k", Digest: []byte("d")}, Entry{})
	require.NoError(t, err)
	forgotten := a.Upload(t.Context(), "file-2")
	_, err = forgotten.Write(make([]byte, chunkBytes))
	require.NoError(t, err)
	started(t, s, "a", "batch_1", 700)
	c, err := s.Take(t.Context(), "o", now.Add(2*time.Hour), time.Minute)
	require.NoError(t, err)
	require.NoError(t, c.Close(t.Context(), Expired, now))
	require.NoError(t, c.End(t.Context(), nil, nil, now))
	sweep := func() {
		for range 100 {
			more, err := s.Sweep(t.Context())
			require.NoError(t, err)
			if !more {
				return
			}
		}
		require.Fail(t, "it never ends")
	}
	rows := func(table string) int { return count(t, s, table) }
	sweep()
	require.Zero(t, rows("lines"), "what a batch is made of goes at its end")
	require.Equal(t, 1, rows("jobs"))
	require.Equal(t, 7, rows("chunks"))
	_, err = a.File(t.Context(), "file-1", now.Add(2*time.Hour))
	require.ErrorIs(t, err, ErrNotFound, "past its time, also before it is cleared away")
	require.NoError(t, s.Expire(t.Context(), now.Add(25*time.Hour)))
	sweep()
	for _, table := range []string{"files", "chunks", "uploads", "jobs", "lines", "bodies", "results", "idempotency", "doomed"} {
		require.Zero(t, rows(table), table)
	}
	require.Positive(t, rows("audit"))
}

// The tables can be made, taken away and made again.
func TestMigrationsBothWays(t *testing.T) {
	s := newStore(t)
	path := s.Path()
	db, err := connect(path, "rw", 1)
	require.NoError(t, err)
	defer db.Close()
	steps, err := migrations(db)
	require.NoError(t, err)
	tables := func() (n int) {
		require.NoError(t, db.QueryRow("SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' AND name NOT LIKE 'goose%'").Scan(&n))
		return n
	}
	there := tables()
	_, err = steps.DownTo(t.Context(), 0)
	require.NoError(t, err)
	require.Zero(t, tables())
	require.NoError(t, migrate(t.Context(), db))
	require.Equal(t, there, tables())
	require.NoError(t, migrate(t.Context(), db), "there is nothing to do")
	_, err = db.Exec("INSERT INTO goose_db_version (version_id, is_applied) VALUES (99, 1)")
	require.NoError(t, err)
	require.ErrorContains(t, migrate(t.Context(), db), "written by a later version")
}

func TestBackupAndRestore(t *testing.T) {
	s := newStore(t)
	started(t, s, "a", "batch_1", 10)
	copied := filepath.Join(t.TempDir(), "copy.db")
	require.NoError(t, Backup(t.Context(), s.Path(), copied), "while it is in use")
	require.ErrorContains(t, Backup(t.Context(), s.Path(), copied), "is there already")
	st, err := os.Stat(copied)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), st.Mode().Perm())
	require.ErrorIs(t, Restore(t.Context(), s.Path(), copied), ErrInUse)

	other := filepath.Join(t.TempDir(), "other.db")
	require.NoError(t, Restore(t.Context(), other, copied))
	back, err := Open(t.Context(), other)
	require.NoError(t, err)
	defer back.Close()
	lines, err := back.Claim(t.Context(), "o", 100, time.Now(), time.Minute)
	require.NoError(t, err)
	require.Len(t, lines, 10)
	jobs, err := List(t.Context(), other, 10)
	require.NoError(t, err)
	require.Len(t, jobs, 1)
	_, err = Verify(t.Context(), other, "")
	require.NoError(t, err)

	require.NoError(t, os.WriteFile(copied, []byte("no database"), 0o600))
	require.Error(t, Restore(t.Context(), filepath.Join(t.TempDir(), "x.db"), copied))
	_, err = List(t.Context(), filepath.Join(t.TempDir(), "none.db"), 1)
	require.ErrorIs(t, err, os.ErrNotExist)
}

// A copy of an earlier version's file is not read as if it were this one's: it is brought
// up to date beside it where it is restored from.
func TestACopyOfAnEarlierVersion(t *testing.T) {
	s := newStore(t)
	started(t, s, "a", "batch_1", 3)
	copied := filepath.Join(t.TempDir(), "copy.db")
	require.NoError(t, Backup(t.Context(), s.Path(), copied))
	same, done, err := current(t.Context(), copied)
	require.NoError(t, err)
	require.Equal(t, copied, same)
	require.NoError(t, done())
	require.FileExists(t, copied)

	db, err := connect(copied, "rw", 1)
	require.NoError(t, err)
	steps, err := migrations(db)
	require.NoError(t, err)
	_, err = steps.Down(t.Context())
	require.NoError(t, err)
	require.NoError(t, db.Close())
	_, err = List(t.Context(), copied, 10)
	require.ErrorContains(t, err, "written by an earlier version of Friday")
	path, done, err := current(t.Context(), copied)
	require.NoError(t, err)
	jobs, err := List(t.Context(), path, 10)
	require.NoError(t, err)
	require.Len(t, jobs, 1)
	require.NoError(t, done())
	require.NoFileExists(t, path)
	_, err = List(t.Context(), copied, 10)
	require.ErrorContains(t, err, "written by an earlier version of Friday", "the copy is as it was")
}

// Two processes may have the file open, as at an upgrade.
func TestTwoProcesses(t *testing.T) {
	s := newStore(t)
	started(t, s, "a", "batch_1", 100)
	other, err := Open(t.Context(), s.Path())
	require.NoError(t, err)
	defer other.Close()
	seen := make([]map[int64]bool, 2)
	var wg sync.WaitGroup
	for i, st := range []*Store{s, other} {
		seen[i] = map[int64]bool{}
		wg.Go(func() {
			for {
				lines, err := st.Claim(context.Background(), "o", 7, time.Now(), time.Minute)
				require.NoError(t, err)
				if len(lines) == 0 {
					return
				}
				for _, l := range lines {
					seen[i][l.N] = true
				}
			}
		})
	}
	wg.Wait()
	require.Len(t, seen[0], 100-len(seen[1]))
	for n := range seen[0] {
		require.NotContains(t, seen[1], n)
	}
}

// A change that nobody waits for any more is not made; nor is one after the end.
func TestGivenUp(t *testing.T) {
	s := newStore(t)
	hold, held := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		require.NoError(t, s.write(t.Context(), func(*tx) error { close(held); <-hold; return nil }))
	})
	<-held
	ctx, cancel := context.WithCancelCause(t.Context())
	gone := errors.New("gone")
	cancel(gone)
	require.ErrorIs(t, s.write(ctx, func(*tx) error { t.Error("made"); return nil }), gone)
	close(hold)
	wg.Wait()
	other, err := Open(t.Context(), s.Path())
	require.NoError(t, err)
	require.NoError(t, other.Close())
	require.ErrorIs(t, other.write(t.Context(), func(*tx) error { return nil }), errClosed)
}

// A table that is not in copies has its reason.
func TestCopiesHaveAllTables(t *testing.T) {
	s := newStore(t)
	known := map[string]bool{"uploads": true, "fence": true} // goes by itself; one number
	for _, table := range tables() {
		known[table.name] = true
		var columns []string
		rows, err := readsOf(s).Query("SELECT name FROM pragma_table_info(?)", table.name)
		require.NoError(t, err)
		for rows.Next() {
			var name string
			require.NoError(t, rows.Scan(&name))
			if name != "tenant" {
				columns = append(columns, name)
			}
		}
		require.NoError(t, rows.Close())
		require.ElementsMatch(t, columns, table.columns, table.name)
	}
	rows, err := readsOf(s).Query("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' AND name NOT LIKE 'goose%'")
	require.NoError(t, err)
	for rows.Next() {
		var name string
		require.NoError(t, rows.Scan(&name))
		require.True(t, known[name], "%s: is it in copies?", name)
	}
	require.NoError(t, rows.Close())
}
