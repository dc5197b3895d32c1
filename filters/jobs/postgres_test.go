//go:build interop

package jobs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/bench/process"
	"github.com/fridaymesh/friday/bench/realserver"
	"github.com/fridaymesh/friday/filters/jobs/store"
)

// startPostgres runs a real server.
func startPostgres(t *testing.T) *realserver.RunningPostgres {
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
	server, err := program.Start(ctx, group, "-c", "fsync=off", "-c", "max_connections=200")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Remove()) })
	return server
}

// newDatabase makes a store, and returns the file with what a sidecar connects by.
func newDatabase(t *testing.T, server *realserver.RunningPostgres, name string) string {
	t.Helper()
	require.NoError(t, server.Make(t.Context(), name))
	dir := t.TempDir()
	for _, user := range []string{"friday", "friday_operator"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, user), []byte(server.DSN(user, name)), 0o600))
	}
	require.NoError(t, store.Postgres(filepath.Join(dir, "friday_operator")).Migrate(t.Context()))
	return filepath.Join(dir, "friday")
}

// What the filter does with a file it does with PostgreSQL.
func TestPostgres(t *testing.T) {
	server := startPostgres(t)
	n := 0
	inPostgres = func(t *testing.T) string {
		t.Helper()
		n++
		return newDatabase(t, server, fmt.Sprint("jobs", n))
	}
	defer func() { inPostgres = nil }()
	for name, test := range map[string]func(*testing.T){
		"completes": TestBatchCompletes, "retries": TestBatchRetries, "cancel": TestCancelMidRun, "window": TestWindowPasses,
		"stale results": TestStaleResultsAreRefused, "restarts": TestRestarts, "respond-async": TestRespondAsync, "respond-async cancel": TestRespondAsyncCancel,
		"many jobs": TestManyJobsAtOnce, "store fails": TestStoreFails, "tenants": TestTenants, "nobody": TestNobodyHasNothing, "injections": TestInjections,
	} {
		t.Run(name, test)
	}
}

// Several sidecars share a store: each sees what the others have taken in, and every line
// has one result.
func TestPostgresIsShared(t *testing.T) {
	server := startPostgres(t)
	dsn := newDatabase(t, server, "shared")
	share := func(h *house) { h.postgres = dsn }
	a, b := newHouse(t, share), newHouse(t, share)
	file := a.upload(lines(500))
	id := b.create(file)
	done := a.await(id, "completed")
	require.Equal(t, [3]string{"500", "500", "0"}, counts(done))
	require.Len(t, b.content(done["output_file_id"]), 500)
	ran := func(h *house) int { return h.Count(t, "friday_job_lines_total", "result", "completed") }
	require.Eventually(t, func() bool { return ran(a)+ran(b) == 500 }, patience, 5*time.Millisecond)
	// Cancelled by one, it runs no more at the other.
	g := newGate(0)
	a.mu.Lock()
	a.serve = g.serve
	a.mu.Unlock()
	b.mu.Lock()
	b.serve = g.serve
	b.mu.Unlock()
	id = a.create(file)
	require.Eventually(t, func() bool { return g.held.Load() > 0 }, patience, time.Millisecond)
	b.get("POST", "/v1/batches/"+id+"/cancel", "")
	require.Equal(t, [3]string{"500", "0", "0"}, counts(a.await(id, "cancelled")))
}

// While the database is away its API says so, and everything else is served as before.
func TestPostgresAway(t *testing.T) {
	server := startPostgres(t)
	h := newHouse(t, func(h *house) { h.postgres = newDatabase(t, server, "away") })
	file := h.upload(lines(5))
	server.Kill()
	status, text, head := h.call("POST", "/v1/batches", `{"input_file_id": "`+file+`", "endpoint": "/v1/embeddings", "completion_window": "24h"}`)
	require.Equal(t, 503, status, text)
	require.Equal(t, "5", head.Get("Retry-After"))
	require.NotContains(t, text, "postgres", "what is wrong with it is for the log")
	status, text, _ = h.call("POST", "/v1/embeddings", `{"input": 1}`)
	require.Equal(t, 200, status, text)
	require.NoError(t, server.Begin(t.Context()))
	require.Eventually(t, func() bool {
		status, _, _ := h.call("GET", "/v1/batches", "")
		return status == 200
	}, patience, 20*time.Millisecond)
	h.await(h.create(file), "completed")
}
