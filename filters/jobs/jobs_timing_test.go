package jobs

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/filters/filtertest"
	"github.com/fridaymesh/friday/filters/jobs/store"
	"github.com/fridaymesh/friday/proxy"
)

// BenchmarkLines is what a line costs, from the claim to its result in the store, before a
// server that costs nothing. An operation is a line.
func BenchmarkLines(b *testing.B) {
	h := filtertest.NewHouse(b, 1)
	s := newStateAt(h.Env(), place{path: filepath.Join(b.TempDir(), "jobs.db")}, usual())
	defer s.Close()
	s.InForce()
	st, err := s.use(b.Context())
	require.NoError(b, err)
	now := time.Now()
	j, err := st.Tenant("a").Create(b.Context(), store.Job{
		ID: "batch_1", Kind: store.Batch, Origin: "o", Endpoint: "/v1/x", Metadata: []byte("null"), Digest: []byte("d"), MaxAttempts: 5,
		Retention: time.Hour, Status: store.Validating, Created: now, Expires: now.Add(time.Hour),
	}, nil, store.Twice{}, store.Entry{})
	require.NoError(b, err)
	c, err := st.Take(b.Context(), "o", now, time.Hour)
	require.NoError(b, err)
	for i := 0; i < b.N; i += addedLines {
		var lines []store.Line
		for n := i; n < min(b.N, i+addedLines); n++ {
			lines = append(lines, store.Line{N: int64(n + 1), CustomID: fmt.Sprint(n), Body: []byte(`{"model":"m","input":"text"}`)})
		}
		require.NoError(b, c.AddLines(b.Context(), lines))
	}
	require.NoError(b, c.Begin(b.Context(), nil, int64(b.N), now))
	b.ReportAllocs()
	b.ResetTimer()
	s.serve("o", proxy.HandlerFunc(func(context.Context, *proxy.Request) (*proxy.Response, error) {
		return filtertest.Answer(200, "application/json", `{"data":[{"embedding":[0.25]}]}`), nil
	}), new(Config))
	for {
		now, err := st.JobOf(b.Context(), j.Seq)
		require.NoError(b, err)
		if now.Completed == int64(b.N) {
			break
		}
		time.Sleep(time.Millisecond)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "lines/s")
}

// BenchmarkPassing is what the filter costs those who ask for nothing of it.
func BenchmarkPassing(b *testing.B) {
	dir := b.TempDir() // before the house, so that it goes after it
	h := filtertest.NewHouse(b, 1)
	h.StateDir = dir
	c, err := Factory{}.Parse(nil)
	require.NoError(b, err)
	f, err := Factory{}.Build(c, h.Env())
	require.NoError(b, err)
	resp := filtertest.Answer(200, "application/json", "{}")
	next := proxy.HandlerFunc(func(context.Context, *proxy.Request) (*proxy.Response, error) { return resp, nil })
	req := filtertest.Request("/v1/embeddings", `{"input":"text"}`, "Authorization", "Bearer a", "User-Agent", "x", "Accept", "*/*")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := f.Handle(b.Context(), req, next); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkPipeline is what a run of three steps costs beside three calls, before a server
// that answers at once: waited for, and as a job, where each step is kept. p99-ms is of
// whole runs, one after the other.
func BenchmarkPipeline(b *testing.B) {
	const config = `pipelines {name: "p"
		steps {name: "one" call {path: "/v1/x" body: '{"input": {{.input.text}}}'}}
		steps {name: "two" call {path: "/v1/x" body: '{"input": {{.steps.one.data}}}'}}
		steps {name: "three" call {path: "/v1/x" body: '{"input": {{.steps.two.data}}}'}}}`
	dir := b.TempDir() // before the house, so that it goes after it
	h := filtertest.NewHouse(b, 1)
	h.Rest = proxy.HandlerFunc(func(context.Context, *proxy.Request) (*proxy.Response, error) {
		return filtertest.Answer(200, "application/json", `{"data":[{"embedding":[0.25]}]}`), nil
	})
	parsed, err := Factory{}.Parse(filtertest.Any(b, Factory{}, config))
	require.NoError(b, err)
	c := parsed.(*Config)
	s := newStateAt(h.Env(), place{path: filepath.Join(dir, "jobs.db")}, usual())
	b.Cleanup(func() { require.NoError(b, s.Close()) })
	s.serve("o", h.Rest, c)
	s.InForce()
	f := &filter{config: c, state: s, origin: "o", rest: h.Rest}
	ask := func(method, path string, headers ...string) *proxy.Response {
		req := filtertest.Request(path, `{"text":"a text"}`, headers...)
		req.Header.SetMethod(method)
		resp, err := f.Handle(b.Context(), req, h.Rest)
		require.NoError(b, err)
		return resp
	}
	for name, run := range map[string]func(i int){
		"waited for": func(int) { require.Equal(b, 200, ask("POST", "/pipelines/p").Header.StatusCode()) },
		"as a job": func(i int) {
			resp := ask("POST", "/pipelines/p", "Prefer", "respond-async", "Idempotency-Key", fmt.Sprint(i))
			where := string(resp.Header.Peek("location"))
			for ask("GET", where).Header.StatusCode() == 202 {
				time.Sleep(200 * time.Microsecond)
			}
		},
	} {
		b.Run(name, func(b *testing.B) {
			var took []time.Duration
			for i := 0; b.Loop(); i++ {
				began := time.Now()
				run(i)
				took = append(took, time.Since(began))
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)*99/100])/1e6, "p99-ms")
		})
	}
}
