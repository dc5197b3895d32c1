package jobs

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/filters/jobs/store"
)

// Nobody knows anything of what is another's.
func TestTenants(t *testing.T) {
	h := newHouse(t)
	a, b := []string{"Authorization", "Bearer a"}, []string{"Authorization", "Bearer b"}
	file := h.upload(lines(3), a...)
	id := h.create(file, a...)
	out := h.await(id, "completed", a...)["output_file_id"].(string)
	for _, path := range []string{"/v1/files/" + file, "/v1/files/" + file + "/content", "/v1/files/" + out + "/content", "/v1/batches/" + id, "/v1/batches?after=" + id, "/v1/files?after=" + file} {
		status, text, _ := h.call("GET", path, "", b...)
		require.Equal(t, 404, status, "%s: %s", path, text)
		status, text, _ = h.call("GET", path, "", a...)
		require.Equal(t, 200, status, "%s: %s", path, text)
	}
	status, _, _ := h.call("POST", "/v1/batches/"+id+"/cancel", "", b...)
	require.Equal(t, 404, status)
	status, _, _ = h.call("DELETE", "/v1/files/"+file, "", b...)
	require.Equal(t, 404, status)
	status, _, _ = h.call("POST", "/v1/batches", fmt.Sprintf(`{"input_file_id": %q, "endpoint": "/v1/embeddings", "completion_window": "24h"}`, file), b...)
	require.Equal(t, 404, status)
	for _, path := range []string{"/v1/files", "/v1/batches"} {
		require.Empty(t, h.get("GET", path, "", b...)["data"])
		require.NotEmpty(t, h.get("GET", path, "", a...)["data"])
	}
	// The same key, or the same content, of another is another.
	key := []string{"Idempotency-Key", "k"}
	require.NotEqual(t, h.upload(lines(3), append(a, key...)...), h.upload(lines(3), append(b, key...)...))
	require.Equal(t, true, h.get("DELETE", "/v1/files/"+file, "", a...)["deleted"])
	status, _, _ = h.call("GET", "/v1/files/"+file+"/content", "", a...)
	require.Equal(t, 404, status)
}

// The view of nobody has nothing in it.
func TestNobodyHasNothing(t *testing.T) {
	h := newHouse(t)
	h.upload(lines(1))
	found, _, err := h.state.store.Load().Tenant("").Files(t.Context(), "", store.Page{Limit: 10}, time.Now())
	require.NoError(t, err)
	require.Empty(t, found)
}

// injections are what would do something if values stood in statements.
func injections() []string {
	return []string{
		`'; DROP TABLE files; --`, `' OR '1'='1`, `" OR ""="`, `') OR 1=1 --`, `1; DELETE FROM jobs`, `x' UNION SELECT tenant FROM files --`,
		`'; UPDATE files SET tenant='evil' --`, `\'; DROP TABLE audit; --`, `%' OR tenant LIKE '%`, `?1`, `$1`, `:tenant`, "\x00'", `'||(SELECT id FROM jobs)||'`,
		`batch_1' AND 1=0 UNION ALL SELECT NULL --`, `/* */ ' OR/**/1=1`, `<script>alert(1)</script>`, `'; ATTACH DATABASE '/tmp/x' AS x; --`,
	}
}

// Statements hold no value of anybody's: whatever stands in a field changes nothing.
func TestInjections(t *testing.T) {
	h := newHouse(t)
	a := []string{"Authorization", "Bearer a"}
	file := h.upload(lines(2), a...)
	id := h.create(file, a...)
	h.await(id, "completed", a...)
	before := h.dump()
	for _, evil := range injections() {
		e := url.PathEscape(evil)
		for _, path := range []string{
			"/v1/files/" + e, "/v1/files/" + e + "/content", "/v1/batches/" + e, "/v1/jobs/" + e, "/v1/files/x" + strings.ReplaceAll(evil, "?", ""), "/v1/batches/x" + strings.ReplaceAll(evil, "?", ""),
			"/v1/batches?after=" + url.QueryEscape(evil), "/v1/files?after=" + url.QueryEscape(evil), "/v1/batches?limit=" + url.QueryEscape(evil),
		} {
			status, text, _ := h.call("GET", path, "", a...)
			require.Contains(t, []int{200, 400, 404}, status, "%s: %s", path, text)
			require.NotContains(t, text, id)
			require.NotContains(t, text, file)
		}
		require.Empty(t, h.get("GET", "/v1/files?purpose="+url.QueryEscape(evil), "", a...)["data"])
		for _, call := range [][2]string{{"DELETE", "/v1/files/" + e}, {"POST", "/v1/batches/" + e + "/cancel"}, {"DELETE", "/v1/jobs/" + e}} {
			status, text, _ := h.call(call[0], call[1], "", a...)
			require.Equal(t, 404, status, "%s: %s", call, text)
		}
		body, err := json.Marshal(map[string]any{"input_file_id": evil, "endpoint": "/" + evil, "completion_window": "24h", "metadata": map[string]string{evil: evil}})
		require.NoError(t, err)
		status, text, _ := h.call("POST", "/v1/batches", string(body), append(a, "Idempotency-Key", strings.ReplaceAll(evil, "\x00", ""))...)
		require.Contains(t, []int{400, 404}, status, text)
		// As somebody's credentials it is just another tenant.
		require.Empty(t, h.get("GET", "/v1/batches", "", "Authorization", strings.ReplaceAll(evil, "\x00", ""))["data"])
	}
	require.Equal(t, before, h.dump(), "nothing has changed")
	// Where it may stand, it stays what it is.
	var made []string
	for _, evil := range injections() {
		body, err := json.Marshal(map[string]any{"input_file_id": file, "endpoint": "/v1/embeddings", "completion_window": "24h", "metadata": map[string]string{"k": evil}})
		require.NoError(t, err)
		b := h.get("POST", "/v1/batches", string(body), a...)
		require.Equal(t, evil, b["metadata"].(map[string]any)["k"])
		made = append(made, b["id"].(string))
	}
	for _, id := range made {
		h.await(id, "completed", a...)
	}
}

// dump is what stands in the tables that belong to somebody.
func (h *house) dump() (rows []string) {
	t := h.t
	t.Helper()
	db := h.database()
	defer db.Close()
	tables := "SELECT name FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'"
	if h.postgres != "" {
		tables = "SELECT tablename FROM pg_tables WHERE schemaname = 'friday'"
	}
	for _, q := range []string{
		"SELECT id || ' ' || tenant || ' ' || filename FROM files", "SELECT id || ' ' || tenant || ' ' || status || ' ' || metadata FROM jobs", tables,
	} {
		found, err := db.Query(q)
		require.NoError(t, err)
		for found.Next() {
			var s string
			require.NoError(t, found.Scan(&s))
			rows = append(rows, s)
		}
		require.NoError(t, found.Err())
		require.NoError(t, found.Close())
	}
	slices.Sort(rows)
	return rows
}

// What is sent twice is there once.
func TestIdempotency(t *testing.T) {
	h := newHouse(t)
	g := newGate(0)
	h.serve = g.serve
	file := h.upload(lines(2))
	require.Equal(t, file, h.upload(lines(2)), "an equal file, just uploaded")
	require.NotEqual(t, file, h.upload(lines(3)))
	id := h.create(file)
	require.Equal(t, id, h.create(file), "an equal batch that has not ended")
	close(g.opened)
	h.await(id, "completed")
	again := h.create(file)
	require.NotEqual(t, id, again, "it has ended: this is another")
	require.Equal(t, again, h.create(file, "Idempotency-Key", "k1"))
	h.await(again, "completed")
	keyed := h.create(file, "Idempotency-Key", "k2")
	h.await(keyed, "completed")
	require.Equal(t, keyed, h.create(file, "Idempotency-Key", "k2"), "by its key, also when it has ended")
	status, text, _ := h.call("POST", "/v1/batches", fmt.Sprintf(`{"input_file_id": %q, "endpoint": "/v1/other", "completion_window": "24h"}`, file), "Idempotency-Key", "k2")
	require.Equal(t, 400, status, text)
	require.Contains(t, text, "idempotency_error")

	post := func(body string) string {
		_, _, head := h.call("POST", "/p", body, "Prefer", "respond-async", "Idempotency-Key", "k3")
		return head.Get("Location")
	}
	where := post("{}")
	require.NotEmpty(t, where)
	require.Equal(t, where, post("{}"))
	require.Empty(t, post("[]"))
}

// Pages have no gaps and nothing twice while others create.
func TestPages(t *testing.T) {
	h := newHouse(t)
	file := h.upload(lines(1))
	make1 := func(i int) string {
		b := h.get("POST", "/v1/batches", fmt.Sprintf(`{"input_file_id": %q, "endpoint": "/v1/embeddings", "completion_window": "24h", "metadata": {"n": "%d"}}`, file, i))
		return b["id"].(string)
	}
	var want []string
	for i := range 45 {
		want = append(want, make1(i))
	}
	slices.Reverse(want)
	var wg sync.WaitGroup
	stop := make(chan struct{})
	wg.Go(func() {
		for i := 1000; ; i++ {
			select {
			case <-stop:
				return
			default:
				make1(i)
			}
		}
	})
	var got []string
	for after := ""; ; {
		page := h.get("GET", "/v1/batches?limit=7&after="+after, "")
		data := page["data"].([]any)
		for _, b := range data {
			got = append(got, b.(map[string]any)["id"].(string))
		}
		require.Equal(t, got[len(got)-1], page["last_id"])
		if after = page["last_id"].(string); !page["has_more"].(bool) {
			break
		}
	}
	close(stop)
	wg.Wait()
	require.Equal(t, want, got[len(got)-len(want):])
	sorted := slices.Clone(got)
	slices.Sort(sorted)
	require.Len(t, slices.Compact(sorted), len(got))
}

// Everything that was done stands in the audit trail, and a row that is edited is found.
func TestAuditTrail(t *testing.T) {
	h := newHouse(t)
	file := h.upload(lines(2))
	b := h.await(h.create(file), "completed")
	h.content(b["output_file_id"])
	h.call("GET", "/v1/files/file-x/content", "", "Authorization", "Bearer thief")
	h.get("DELETE", "/v1/files/"+file, "")
	trail, err := store.Verify(t.Context(), h.path, "")
	require.NoError(t, err)
	require.EqualValues(t, 6, trail.Entries)
	noted := trail.Head
	h.upload(lines(4))
	trail, err = store.Verify(t.Context(), h.path, noted)
	require.NoError(t, err)
	require.True(t, trail.Found)
	_, err = store.Verify(t.Context(), h.path, strings.Repeat("0", 64))
	require.ErrorContains(t, err, "no entry has the hash")

	db, err := sql.Open("sqlite", h.path+"?_pragma=busy_timeout(10000)")
	require.NoError(t, err)
	defer db.Close()
	_, err = db.Exec("UPDATE audit SET outcome = 200 WHERE seq = 5")
	require.ErrorContains(t, err, "append-only")
	_, err = db.Exec("DELETE FROM audit")
	require.ErrorContains(t, err, "append-only")
	_, err = db.Exec("DROP TRIGGER audit_never_changes; DROP TRIGGER audit_never_shrinks")
	require.NoError(t, err)
	var action string
	require.NoError(t, db.QueryRow("SELECT action || ' ' || outcome FROM audit WHERE seq = 5").Scan(&action))
	require.Equal(t, "file.read 404", action)
	_, err = db.Exec("UPDATE audit SET outcome = 200 WHERE seq = 5")
	require.NoError(t, err)
	_, err = store.Verify(t.Context(), h.path, "")
	require.ErrorContains(t, err, "entry 5 ")
	_, err = db.Exec("UPDATE audit SET outcome = 404 WHERE seq = 5; DELETE FROM audit WHERE seq = 7")
	require.NoError(t, err)
	_, err = store.Verify(t.Context(), h.path, "")
	require.ErrorContains(t, err, "7 to 7 are missing at the end")
	_, err = db.Exec("DELETE FROM audit WHERE seq = 2")
	require.NoError(t, err)
	_, err = store.Verify(t.Context(), h.path, "")
	require.ErrorContains(t, err, "entry 2 is missing")
}
