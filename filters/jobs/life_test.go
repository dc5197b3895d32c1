package jobs

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/filters/filtertest"
	"github.com/fridaymesh/friday/filters/jobs/store"
	"github.com/fridaymesh/friday/proxy"
)

// gate answers so many lines and keeps the others until it is opened.
type gate struct {
	free   atomic.Int64
	held   atomic.Int64
	opened chan struct{}
}

func (g *gate) serve(ctx context.Context, _, body string, _ *proxy.Request) (*proxy.Response, error) {
	if g.free.Add(-1) >= 0 {
		return echo(body), nil
	}
	g.held.Add(1)
	select {
	case <-g.opened:
		return echo(body), nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func newGate(free int64) *gate {
	g := &gate{opened: make(chan struct{})}
	g.free.Store(free)
	return g
}

// What has been answered before a batch is cancelled can be read, and all else is told of.
func TestCancelMidRun(t *testing.T) {
	h := newHouse(t)
	g := newGate(30)
	h.serve = g.serve
	id := h.create(h.upload(lines(100)))
	require.Eventually(t, func() bool {
		return g.held.Load() > 0 && h.Count(t, "friday_job_lines_total", "result", "completed") == 30
	}, patience, time.Millisecond)
	require.Equal(t, "cancelling", h.get("POST", "/v1/batches/"+id+"/cancel", "")["status"])
	b := h.await(id, "cancelled")
	require.NotNil(t, b["cancelling_at"])
	require.NotNil(t, b["cancelled_at"])
	require.Equal(t, [3]string{"100", "30", "0"}, counts(b))
	require.Len(t, h.content(b["output_file_id"]), 30)
	rest := h.content(b["error_file_id"])
	require.Len(t, rest, 70)
	for _, l := range rest {
		require.Nil(t, l["response"])
		require.Equal(t, "batch_cancelled", l["error"].(map[string]any)["code"])
	}
	status, text, _ := h.call("POST", "/v1/batches/"+id+"/cancel", "")
	require.Equal(t, 400, status, "409 would have the SDKs ask again: %s", text)
}

// What is not answered within the window is told of line by line.
func TestWindowPasses(t *testing.T) {
	h := newHouse(t, func(h *house) { h.tempo.window = 2 * time.Second })
	g := newGate(5)
	h.serve = g.serve
	b := h.await(h.create(h.upload(lines(20))), "expired")
	require.NotNil(t, b["expired_at"])
	require.Equal(t, "20", counts(b)[0])
	done := map[string]map[string]any{}
	if b["output_file_id"] != nil {
		done = h.content(b["output_file_id"])
	}
	rest := h.content(b["error_file_id"])
	require.Len(t, rest, 20-len(done))
	for _, l := range rest {
		require.Equal(t, "batch_expired", l["error"].(map[string]any)["code"])
	}
}

// A worker that was stopped for longer than its lease comes too late.
func TestStaleResultsAreRefused(t *testing.T) {
	h := newHouse(t, func(h *house) { h.tempo.lease = time.Hour }) // it does not notice by itself
	g := newGate(0)
	h.serve = g.serve
	id := h.create(h.upload(lines(1)))
	require.Eventually(t, func() bool { return g.held.Load() == 1 }, patience, time.Millisecond)
	// Somebody else has found the lease run out, and has taken the line.
	db := h.database()
	defer db.Close()
	_, err := db.Exec(fmt.Sprint("UPDATE lines SET token = 1000, lease_until = ", time.Now().Add(time.Hour).UnixMilli()))
	require.NoError(t, err)
	close(g.opened)
	require.Eventually(t, func() bool { return h.Count(t, "friday_job_lines_total", "result", "stale") == 1 }, patience, time.Millisecond)
	require.Equal(t, "in_progress", h.get("GET", "/v1/batches/"+id, "")["status"])
	_, err = h.state.store.Load().Finish(t.Context(), []store.Result{{Job: 1, N: 1, Token: 1000, Status: 200, Body: []byte(`{"mine":1}`)}})
	require.NoError(t, err)
	b := h.await(id, "completed")
	require.Equal(t, map[string]any{"mine": 1.0}, h.content(b["output_file_id"])["line-0"]["response"].(map[string]any)["body"])
}

// What was begun goes on after the process is gone, whenever it goes.
func TestRestarts(t *testing.T) {
	h := newHouse(t)
	const n = 600
	id := h.create(h.upload(lines(n)))
	for range 10 {
		h.mu.Lock()
		was := len(h.seen)
		h.mu.Unlock()
		require.Eventually(t, func() bool {
			h.mu.Lock()
			defer h.mu.Unlock()
			return len(h.seen) > was || len(h.seen) == n
		}, patience, time.Millisecond)
		require.NoError(t, h.state.Close())
		h.start()
	}
	b := h.await(id, "completed")
	require.Equal(t, [3]string{"600", "600", "0"}, counts(b))
	require.Len(t, h.content(b["output_file_id"]), n)
	if h.postgres == "" {
		require.NoError(t, store.Check(t.Context(), h.path))
	}
}

// While there is no store, its API says so, and everything else is served as before.
func TestStoreAway(t *testing.T) {
	h := newHouse(t, func(h *house) {
		h.path = filepath.Join(h.path, "under", "a", "file.db")
		require.NoError(t, os.WriteFile(filepath.Dir(filepath.Dir(filepath.Dir(h.path))), nil, 0o600))
		h.tempo.patience = time.Millisecond
	})
	status, text, head := h.call("GET", "/v1/batches", "")
	require.Equal(t, 503, status, text)
	require.Equal(t, "5", head.Get("Retry-After"))
	require.Contains(t, text, "store_unavailable")
	status, text, _ = h.call("POST", "/v1/embeddings", `{"input": 1}`)
	require.Equal(t, 200, status, text)
	status, text, _ = h.call("POST", "/v1/embeddings", `{"input": 1}`, "Prefer", "respond-async")
	require.Equal(t, 503, status, text)
	require.Positive(t, h.Count(t, "friday_jobs_store_errors_total"))
	require.NoError(t, os.Remove(filepath.Dir(filepath.Dir(filepath.Dir(h.path)))))
	require.Eventually(t, func() bool {
		status, _, _ := h.call("GET", "/v1/batches", "")
		return status == 200
	}, patience, 5*time.Millisecond, "it is opened as soon as it can be")
}

// A request whose caller does not wait.
func TestRespondAsync(t *testing.T) {
	h := newHouse(t)
	g := newGate(0)
	h.serve = g.serve
	status, text, head := h.call("POST", "/anything?x=1", `{"a": 1.0}`, "Prefer", "wait=5, Respond-Async", "X-Own", "kept")
	require.Equal(t, 202, status, text)
	require.Equal(t, "respond-async", head.Get("Preference-Applied"))
	where := head.Get("Location")
	require.Regexp(t, "^/v1/jobs/job_[0-9a-f]{32}$", where)
	status, text, head = h.call("GET", where, "")
	require.Equal(t, 202, status)
	require.Equal(t, "in_progress", field(t, text, "status"))
	require.Equal(t, "1", head.Get("Retry-After"))
	status, _, _ = h.call("GET", where, "", "Authorization", "Bearer other")
	require.Equal(t, 404, status)
	close(g.opened)
	require.Eventually(t, func() bool { status, text, _ = h.call("GET", where, ""); return status != 202 }, patience, 5*time.Millisecond)
	require.Equal(t, 200, status)
	require.Equal(t, `{"echo": {"a": 1.0}, "pi": 3.1400}`, text, "as the server gave it")
	require.Equal(t, 1, h.times(`{"a": 1.0}`))

	_, _, head = h.call("POST", "/empty", "", "Prefer", "respond-async")
	require.Eventually(t, func() bool { status, text, _ = h.call("GET", head.Get("Location"), ""); return status != 202 }, patience, 5*time.Millisecond)
	require.Equal(t, `{"echo": , "pi": 3.1400}`, text)

	h.serve = func(_ context.Context, path, _ string, req *proxy.Request) (*proxy.Response, error) {
		return filtertest.Answer(422, "text/plain", path+" "+string(req.Header.Peek("X-Own"))+string(req.Header.Peek("Prefer"))), nil
	}
	_, _, head = h.call("POST", "/anything?x=1", `{}`, "Prefer", "respond-async", "X-Own", "kept")
	require.Eventually(t, func() bool { status, text, _ = h.call("GET", head.Get("Location"), ""); return status != 202 }, patience, 5*time.Millisecond)
	require.Equal(t, 422, status)
	require.Equal(t, "/anything?x=1 kept", text)
}

// A request whose caller does not wait can be given up.
func TestRespondAsyncCancel(t *testing.T) {
	h := newHouse(t)
	g := newGate(0)
	h.serve = g.serve
	_, _, head := h.call("POST", "/anything", `{}`, "Prefer", "respond-async")
	require.Eventually(t, func() bool { return g.held.Load() == 1 }, patience, time.Millisecond)
	status, text, _ := h.call("DELETE", head.Get("Location"), "")
	require.Equal(t, 202, status, text)
	require.Eventually(t, func() bool { status, text, _ = h.call("GET", head.Get("Location"), ""); return status != 202 }, patience, 5*time.Millisecond)
	require.Equal(t, 410, status, text)
	require.Contains(t, text, "job_cancelled")
}

// Fifty at once all complete, and none waits for another's end.
func TestManyJobsAtOnce(t *testing.T) {
	h := newHouse(t)
	var wg sync.WaitGroup
	ids := make([]string, 50)
	for i := range ids {
		wg.Go(func() {
			who := []string{"Authorization", fmt.Sprint("Bearer ", i%5)}
			ids[i] = h.create(h.upload(lines(1+i%10), who...), who...)
		})
	}
	wg.Wait()
	for i, id := range ids {
		b := h.await(id, "completed", "Authorization", fmt.Sprint("Bearer ", i%5))
		require.Equal(t, fmt.Sprint(1+i%10), counts(b)[1])
	}
}

// Callers who wait come first: lines run one at a time while there are many.
func TestLinesGiveWay(t *testing.T) {
	h := newHouse(t)
	var now, most atomic.Int64
	release := make(chan struct{})
	h.serve = func(ctx context.Context, path, body string, _ *proxy.Request) (*proxy.Response, error) {
		if path == "/live" {
			select {
			case <-release:
			case <-ctx.Done():
			}
			return echo(body), nil
		}
		n := now.Add(1)
		for m := most.Load(); n > m; m = most.Load() {
			if most.CompareAndSwap(m, n) {
				break
			}
		}
		defer now.Add(-1)
		return echo(body), nil
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() { h.call("POST", "/live", "{}") })
	}
	require.Eventually(t, func() bool { return h.state.live.Load() == 8 }, patience, time.Millisecond)
	h.await(h.create(h.upload(lines(50))), "completed")
	require.EqualValues(t, 1, most.Load())
	close(release)
	wg.Wait()
	require.Zero(t, h.state.live.Load())
}

// A store that fails later is one that is away.
func TestStoreFails(t *testing.T) {
	h := newHouse(t)
	file := h.upload(lines(1))
	require.NoError(t, h.state.store.Load().Close())
	for _, call := range [][3]string{
		{"GET", "/v1/files", ""},
		{"GET", "/v1/files/" + file + "/content", ""},
		{"DELETE", "/v1/files/" + file, ""},
		{"POST", "/v1/batches", `{"input_file_id": "` + file + `", "endpoint": "/v1/embeddings", "completion_window": "24h"}`},
	} {
		status, text, head := h.call(call[0], call[1], call[2])
		require.Equal(t, 503, status, text)
		require.Equal(t, "5", head.Get("Retry-After"))
	}
	status, text := h.tryUpload(lines(5), nil)
	require.Equal(t, 503, status, text)
	status, text, _ = h.call("POST", "/v1/embeddings", `{"input": 1}`)
	require.Equal(t, 200, status, text)
	require.NoError(t, h.state.Close())
	h.start() // there is one to close at the end
}
