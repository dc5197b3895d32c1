package store

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// hostile are texts that mean something to a database, or nothing to anybody.
func hostile() []string {
	return []string{
		`'`, `"`, `;`, `--`, `\`, `'; DROP TABLE files; --`, `" OR ""="`, `' OR '1'='1`, `x') OR 1=1 --`, `1; SELECT pg_sleep(60)`,
		`' UNION SELECT id, tenant FROM files --`, `$1`, `?`, `??`, `:name`, `@@version`, `%`, `_`, `\x27`, "a\x00b", "\xff\xfe", "\xc0\xa7",
		"\uFDD0", "\uFDD000", "\uFDD0zz", "ʼ", "＇", "/*", "*/", `$$; DROP SCHEMA friday CASCADE; $$`, `E'\\''`, "a'||pg_read_file('/etc/passwd')||'",
		`'; SET ROLE postgres; --`, `'; SELECT set_config('friday.tenant', 'b', false); --`, strings.Repeat("'", 1000), "\r\n\t",
	}
}

func putFile(t *testing.T, who Tenant, id, name, purpose, text string, twice Twice) File {
	t.Helper()
	now := time.Now()
	u := who.Upload(t.Context(), id)
	_, err := io.WriteString(u, text)
	require.NoError(t, err)
	f, err := u.Finish(t.Context(), File{Purpose: purpose, Filename: name, Created: now, Expires: now.Add(time.Hour)}, twice, Entry{At: now, Action: "file.create"})
	require.NoError(t, err)
	return f
}

// What is one tenant's is not there for another, by any way in.
func tenantsAreApart(t *testing.T, s *Store) {
	t.Helper()
	a, b := s.Tenant("a"), s.Tenant("b")
	f := putFile(t, a, "file-1", "x", "batch", "content", Twice{Key: "k", Digest: []byte("d")})
	j := started(t, s, "a", "batch_1", 2)
	now := time.Now()
	_, err := b.File(t.Context(), f.ID, now)
	require.ErrorIs(t, err, ErrNotFound)
	_, err = b.Job(t.Context(), Batch, j.ID)
	require.ErrorIs(t, err, ErrNotFound)
	require.ErrorIs(t, b.DeleteFile(t.Context(), f.ID, Entry{}), ErrNotFound)
	_, err = b.Cancel(t.Context(), Batch, j.ID, Entry{At: now})
	require.ErrorIs(t, err, ErrNotFound)
	_, err = b.Result(t.Context(), j)
	require.ErrorIs(t, err, ErrNotFound)
	files, _, err := b.Files(t.Context(), "", Page{Limit: 10}, now)
	require.NoError(t, err)
	require.Empty(t, files)
	_, _, err = b.Files(t.Context(), "", Page{Limit: 10, After: f.ID}, now)
	require.ErrorIs(t, err, ErrNotFound)
	jobs, _, err := b.Jobs(t.Context(), Batch, Page{Limit: 10})
	require.NoError(t, err)
	require.Empty(t, jobs)
	_, err = s.Tenant("").File(t.Context(), f.ID, now)
	require.Error(t, err, "nobody has nothing")
	other := putFile(t, b, "file-2", "x", "batch", "content", Twice{Key: "k", Digest: []byte("other"), Since: now.Add(-time.Hour)})
	require.Equal(t, "file-2", other.ID, "neither the key nor the content is known")
	got, err := io.ReadAll(a.Content(t.Context(), f))
	require.NoError(t, err)
	require.Equal(t, "content", string(got))
}

// Every text comes back as it went in, and is never more than a text.
func anyText(t *testing.T, s *Store) {
	t.Helper()
	for i, text := range hostile() {
		tenant, id := s.Tenant("a"+text), fmt.Sprint(i)+text
		now := time.Now()
		f := putFile(t, tenant, "file-"+id, text, text, "content "+text, Twice{Key: text, Digest: []byte(text)})
		got, err := tenant.File(t.Context(), f.ID, now)
		require.NoError(t, err)
		require.Equal(t, [2]string{text, text}, [2]string{got.Filename, got.Purpose})
		content, err := io.ReadAll(tenant.Content(t.Context(), got))
		require.NoError(t, err)
		require.Equal(t, "content "+text, string(content))
		files, _, err := tenant.Files(t.Context(), text, Page{Limit: 10}, now)
		require.NoError(t, err)
		require.Len(t, files, 1, "%q", text)
		_, _, err = tenant.Files(t.Context(), "", Page{After: text, Limit: 10}, now)
		require.ErrorIs(t, err, ErrNotFound)

		j, err := tenant.Create(t.Context(), Job{
			ID: "job-" + id, Kind: Request, Origin: text, Endpoint: text, Input: text, Metadata: []byte("null"), Headers: [][2]string{{"h", "v"}}, Digest: []byte(text),
			MaxAttempts: 1, Retention: time.Hour, Status: InProgress, Total: 1, Created: now, Expires: now.Add(time.Hour),
		}, []byte(text), Twice{Key: "job " + text, Digest: []byte(text)}, Entry{At: now, Action: text, Address: text})
		require.NoError(t, err)
		lines, err := s.Claim(t.Context(), text, 10, now, time.Minute)
		require.NoError(t, err)
		require.Len(t, lines, 1, "%q", text)
		require.Equal(t, text, string(lines[0].Body))
		require.Equal(t, "job-"+id, lines[0].CustomID)
		result := Result{Job: j.Seq, N: 1, Token: lines[0].Token, RequestID: text, ContentType: text, Body: []byte(text), Code: text, Message: text}
		d, err := s.Finish(t.Context(), []Result{result})
		require.NoError(t, err)
		require.Empty(t, d.Stale)
		read, err := tenant.Result(t.Context(), j)
		require.NoError(t, err)
		result.Job, result.Token = 0, 0
		require.Equal(t, result, read)
		require.NoError(t, tenant.Record(t.Context(), Entry{At: now, Action: text, Object: text, Address: text}))
		found, err := tenant.Job(t.Context(), Request, "job-"+id)
		require.NoError(t, err)
		require.Equal(t, [3]string{text, text, text}, [3]string{found.Origin, found.Endpoint, found.Input})
	}
	n := len(hostile())
	require.Equal(t, [4]int{n, n, n, 3 * n}, [4]int{count(t, s, "files"), count(t, s, "jobs"), count(t, s, "results"), count(t, s, "audit")})
}

// Of requests that are sent twice at once, one does it.
func sentTwice(t *testing.T, s *Store) {
	t.Helper()
	a := s.Tenant("a")
	now := time.Now()
	ids := make([]string, 12)
	files := make([]string, 12)
	var wg sync.WaitGroup
	for i := range ids {
		wg.Go(func() {
			j, err := a.Create(context.Background(), Job{
				ID: fmt.Sprint("batch_", i), Kind: Batch, Origin: "o", Metadata: []byte("null"), Digest: []byte("same"), Retention: time.Hour, Status: Validating,
				Created: now, Expires: now.Add(time.Hour),
			}, nil, Twice{}, Entry{At: now, Action: "batch.create"})
			if err == nil {
				ids[i] = j.ID
			}
			u := a.Upload(context.Background(), fmt.Sprint("file-", i))
			_, _ = io.WriteString(u, "same")
			f, err := u.Finish(context.Background(), File{Created: now, Expires: now.Add(time.Hour)}, Twice{Key: "k", Digest: []byte("d")}, Entry{At: now, Action: "file.create"})
			if err == nil {
				files[i] = f.ID
			}
		})
	}
	wg.Wait()
	for i := range ids {
		require.NotEmpty(t, ids[i])
		require.Equal(t, ids[0], ids[i])
		require.NotEmpty(t, files[i])
		require.Equal(t, files[0], files[i])
	}
	require.Equal(t, [2]int{1, 1}, [2]int{count(t, s, "jobs"), count(t, s, "files")})
	_, err := a.Upload(t.Context(), "file-x").Finish(t.Context(), File{Created: now}, Twice{Key: "k", Digest: []byte("another")}, Entry{})
	require.ErrorIs(t, err, ErrKeyReused)
}

// Several who claim, finish, put back and lengthen the same job's lines do each line once.
func sideBySide(t *testing.T, s *Store) {
	t.Helper()
	const lines = 300
	var jobs []Job
	for i := range 3 {
		jobs = append(jobs, started(t, s, fmt.Sprint("tenant ", i%2), fmt.Sprint("batch_", i), lines))
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	full := map[int64]int{}
	for range 4 {
		wg.Go(func() {
			for round := 0; ; round++ {
				claimed, err := s.Claim(context.Background(), "o", 40, time.Now(), time.Minute)
				if err != nil || len(claimed) == 0 {
					mu.Lock()
					defer mu.Unlock()
					if err != nil {
						t.Error(err)
					}
					return
				}
				var results []Result
				var backs []Return
				var leases []Lease
				for i, l := range claimed {
					leases = append(leases, Lease{l.Job, l.N, l.Token})
					if l.Attempts == 1 && i%4 == round%4 {
						backs = append(backs, Return{Job: l.Job, N: l.N, Token: l.Token})
						continue
					}
					results = append(results, Result{Job: l.Job, N: l.N, Token: l.Token, Status: 200, Body: l.Body})
				}
				lost, err := s.Heartbeat(context.Background(), leases, time.Now().Add(time.Minute))
				if err != nil || len(lost) > 0 {
					t.Error(err, lost)
				}
				if err := s.PutBack(context.Background(), backs); err != nil {
					t.Error(err)
				}
				d, err := s.Finish(context.Background(), results)
				if err != nil || len(d.Stale) > 0 {
					t.Error(err, d)
				}
				mu.Lock()
				for _, job := range d.Full {
					full[job]++
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	require.Equal(t, map[int64]int{jobs[0].Seq: 1, jobs[1].Seq: 1, jobs[2].Seq: 1}, full)
	require.Equal(t, 3*lines, count(t, s, "results"))
}

// operator is the store for fridayctl.
func operator(t *testing.T, s *Store) Postgres {
	t.Helper()
	return dsnFor(t, s, "friday_operator")
}

// dsnFor is a store's connection string with another user.
func dsnFor(t *testing.T, s *Store, user string) Postgres {
	t.Helper()
	text, err := Postgres(s.Path()).read()
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "dsn")
	require.NoError(t, os.WriteFile(file, []byte(strings.Replace(text, "//friday@", "//"+user+"@", 1)+"\n"), 0o600))
	return Postgres(file)
}

// An entry that was edited is found, whoever has edited it.
func auditTrail(t *testing.T, s *Store) {
	t.Helper()
	verify := func(head string) (Trail, error) {
		if _, ok := s.engine.(*cluster); ok {
			return operator(t, s).Verify(t.Context(), head)
		}
		return Verify(t.Context(), s.Path(), head)
	}
	change := func(statements ...string) {
		db := readsOf
		if _, ok := s.engine.(*cluster); ok {
			db = func(s *Store) *sql.DB { return superuser(t, s) }
		}
		on := db(s)
		for _, text := range statements {
			_, err := on.Exec(text)
			require.NoError(t, err, text)
		}
		if _, ok := s.engine.(*cluster); ok {
			require.NoError(t, on.Close())
		}
	}
	trail, err := verify("")
	require.NoError(t, err)
	require.Zero(t, trail.Entries)
	for i := range 5 {
		who := s.Tenant(fmt.Sprint("tenant ", i%2))
		require.NoError(t, who.Record(t.Context(), Entry{At: time.UnixMilli(int64(i)), Action: "x", Object: fmt.Sprint(i), Address: "-", Outcome: 200}))
	}
	trail, err = verify("")
	require.NoError(t, err)
	require.EqualValues(t, 5, trail.Entries)
	require.NoError(t, s.Tenant("tenant 0").Record(t.Context(), Entry{At: time.UnixMilli(9), Action: "x"}))
	again, err := verify(trail.Head)
	require.NoError(t, err)
	require.True(t, again.Found)
	_, err = verify("00")
	require.ErrorContains(t, err, "no entry has the hash 00")

	guard := []string{"DROP TRIGGER audit_never_changes", "DROP TRIGGER audit_never_shrinks"}
	if _, ok := s.engine.(*cluster); ok {
		guard = []string{"ALTER TABLE audit DISABLE TRIGGER ALL"}
	}
	change(append(guard, "UPDATE audit SET object = 'other' WHERE seq = 3")...)
	_, err = verify("")
	require.ErrorContains(t, err, "entry 3 (1970-01-01T00:00:00Z, x other) does not follow")
	change("UPDATE audit SET object = '2' WHERE seq = 3")
	_, err = verify("")
	require.NoError(t, err)
	change("DELETE FROM audit WHERE seq > 4")
	_, err = verify("")
	require.ErrorContains(t, err, "the audit trail is broken: entries 5 to 6 are missing at the end")
	change("DELETE FROM audit WHERE seq = 2")
	_, err = verify("")
	require.ErrorContains(t, err, "the audit trail is broken: entry 2 is missing")
}

// What PostgreSQL cannot keep comes back as it was, whatever stands in it.
func FuzzText(f *testing.F) {
	for _, text := range hostile() {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		kept := escaped(text)
		require.NotContains(t, kept, "\x00")
		require.Equal(t, []byte(kept), bytes.ToValidUTF8([]byte(kept), []byte("!")))
		require.Equal(t, text, unescaped(kept))
	})
}

func TestNumbered(t *testing.T) {
	texts := newTexts()
	for range 2 {
		require.Equal(t, "a = $1 AND b = $2 OR $3", texts.numbered("a = ? AND b = ? OR ?"))
	}
}
