package jobs

import (
	"context"
	"fmt"
	"path/filepath"
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
	}), 0)
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
