package fidelity_test

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A full queue is answered 503 with Retry-After, at once; who waits in it is
// served.
func TestAFullQueue(t *testing.T) {
	t.Parallel()
	w := newWorld(t, free, maxInFlight(1), maxQueued(5))
	pull := w.plug("m")
	waiting := w.pending(numbered(5, "m", "waiting")...)
	w.waitQueued(5)
	for i, a := range all(t.Context(), t, w.through, numbered(10, "m", "too many")...) {
		require.NoError(t, a.err)
		require.Equal(t, 503, a.status, "%d: %s", i, a)
		require.NotEmpty(t, a.header.Get("Retry-After"))
	}
	pull()
	for _, a := range waiting() {
		require.Equal(t, 200, a.status)
	}
	require.Zero(t, w.holding("too many"))
	w.same(excuse{usage: true}, embedding("m", "there is room again"))
}

// What cannot be understood gets the server's own answer, as one call of its own.
func TestUnusualBodiesGetTheServersAnswer(t *testing.T) {
	t.Parallel()
	w := newWorld(t, free)
	w.slowly()
	raw := func(uri string, body []byte, header ...string) *request {
		return &request{method: "POST", uri: uri, header: append([]string{"content-type: application/json"}, header...), body: body}
	}
	for _, uri := range []string{"/v1/embeddings", "/v1/models/m:predict", "/v2/models/m/infer", "/v1/rerank", "/embed", "/v1/completions"} {
		good := []byte(`{"model":"m","input":"a","instances":[1],"inputs":"a","query":"q","documents":["a"],"prompt":"a"}`)
		if uri == "/v2/models/m/infer" {
			good = rowsOf(1, 1)[1].body
		}
		requests := []*request{
			raw(uri, nil), raw(uri, []byte("{")), raw(uri, []byte("null")), raw(uri, []byte("\"\"")), raw(uri, []byte("\x00")),
			raw(uri, []byte("not JSON at all")), raw(uri, bytes.Repeat([]byte("["), 10_000)), raw(uri, []byte(`{"a":1}`)),
			raw(uri, append([]byte("\xef\xbb\xbf"), good...)), raw(uri, append(bytes.Clone(good), good...)),
			raw(uri, compressed(good), "content-encoding: gzip"), raw(uri, good, "content-encoding: gzip"), raw(uri, good, "content-encoding: zstd"),
			raw(uri, []byte(strings.Repeat(" ", 100_000)+string(good))), raw(uri, bytes.ReplaceAll(good, []byte("a"), []byte{0xc3, 0x28})),
			{method: "POST", uri: uri, header: []string{"content-type: text/plain"}, body: good},
			{method: "POST", uri: uri, body: good},
			{method: "POST", uri: uri, header: []string{"content-type: application/json"}, body: good, chunked: true},
			{method: "PUT", uri: uri, header: []string{"content-type: application/json"}, body: good},
			{method: "GET", uri: uri},
			{method: "HEAD", uri: uri},
			{method: "DELETE", uri: uri},
			{method: "OPTIONS", uri: uri},
		}
		w.same(excuse{usage: true, id: true}, requests...)
	}
}

// The server sees the path that the caller wrote, byte for byte, whether the
// request goes alone or with others.
func TestPathsAreKept(t *testing.T) {
	t.Parallel()
	w := newWorld(t, free)
	w.slowly()
	paths := []string{
		"/v1/embeddings", "/v1/embeddings?", "/v1/embeddings?a=b&c", "/v1/embeddings?q=%2F%20+&q=ü", "//v1/embeddings", "/v1//embeddings",
		"/openai/deployments/x%2Fy/v1/embeddings", "/./v1/embeddings", "/a/../v1/embeddings", "/v1/%65mbeddings", "/v1/embeddings/", "/V1/embeddings",
		"/v1/models/a%20b:predict", "/v1/models/a%2fb:predict", "/v1/models/%C3%BC:predict", "/v1/models/m/versions/7:predict",
		"/v2/models/a%2Fb/infer", "/v2/models/m/versions/01/infer", "/v2/models/m/infer;x=1", "/v1/embeddings;jsessionid=1", "/", "/%00", "/a%zz", "/a|b^c",
	}
	for range 2 {
		var requests []*request
		for _, p := range paths {
			body := `{"model":"m","input":"a"}`
			switch {
			case strings.HasSuffix(p, ":predict"):
				body = `{"instances":[[1.0]]}`
			case strings.Contains(p, "infer"):
				body = string(rowsOf(1, 1)[1].body)
			}
			requests = append(requests, post(p, body), post(p, body))
		}
		w.same(excuse{usage: true}, requests...)
	}
	w.forget()
	for _, p := range paths {
		w.pending(post(p, `{"model":"m","input":"a","instances":[1]}`))()
		calls := w.calls()
		require.Equal(t, p, calls[len(calls)-1].URI)
	}
}

// Configurations come and go under load: nobody who waits is lost, answers stay
// right, and the last one holds.
func TestALiveChangeLosesNobody(t *testing.T) {
	t.Parallel()
	w := newWorld(t, free)
	w.slowly()
	w.cost(0, 0)
	direct := w.good(w.direct, numbered(16, "m", "text")...)
	w.cost(2*time.Millisecond, 50*time.Microsecond)
	done := make(chan struct{})
	var asked, wrong atomic.Int64
	var first atomic.Pointer[string]
	var wg sync.WaitGroup
	for i, r := range numbered(16, "m", "text") {
		wg.Go(func() {
			c := newCaller(t, w.through)
			defer c.close()
			for {
				select {
				case <-done:
					return
				default:
				}
				asked.Add(1)
				if why := compare(direct[i], c.ask(t.Context(), r), excuse{usage: true}); why != "" {
					wrong.Add(1)
					first.CompareAndSwap(nil, &why)
				}
			}
		})
	}
	for i := range 40 {
		before := asked.Load()
		settings := []setting{maxBatch(uint32(1 + i%7)), maxDelay(time.Duration(i%3) * time.Millisecond), maxInFlight(uint32(1 + i%2))}
		require.NoError(t, w.friday.Apply(resources(t, w.direct, settings...)))
		eventually(t, "the load goes on", func() bool { return asked.Load() >= before+16 })
	}
	close(done)
	wg.Wait()
	if why := first.Load(); why != nil {
		require.Fail(t, *why)
	}
	require.Zero(t, wrong.Load())
}

// What waits in a queue when its configuration goes is served all the same, and
// what comes after is under the new one.
func TestAQueueOutlivesItsConfiguration(t *testing.T) {
	t.Parallel()
	w := newWorld(t, free, maxInFlight(1), maxBatch(16))
	pull := w.plug("m")
	waiting := w.pending(numbered(20, "m", "waiting")...)
	w.waitQueued(20)
	require.NoError(t, w.friday.Apply(resources(t, w.direct, maxInFlight(1), maxBatch(3))))
	w.cost(5*time.Millisecond, 0)
	before := w.Stats()
	w.same(excuse{usage: true}, numbered(20, "m", "after")...)
	for size := range w.Stats().Sub(before).Batches {
		require.LessOrEqual(t, size, 3)
	}
	pull()
	for i, a := range waiting() {
		require.NoError(t, a.err)
		require.Equal(t, 200, a.status, fmt.Sprint(i))
	}
	require.LessOrEqual(t, w.largest(), 16)
}
