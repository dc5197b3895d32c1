package pushes_test

import (
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/fridaymesh/friday/bench/load"
	"github.com/fridaymesh/friday/bench/process"
	"github.com/fridaymesh/friday/bench/standin"
	"github.com/fridaymesh/friday/filters/standard"
	batchv1 "github.com/fridaymesh/friday/xds/api/friday/filters/http/batch/v1"
	cachev1 "github.com/fridaymesh/friday/xds/api/friday/filters/http/cache/v1"
	"github.com/fridaymesh/friday/xds/xdstest"
)

// cached is number n of a series as batched, with a cache before the batcher, whose
// ttl changes.
func cached(t testing.TB, n int, listen, server string) []proto.Message {
	t.Helper()
	out := batched(t, n, listen, server)
	batch := &batchv1.Batch{MaxBatchSize: wrapperspb.UInt32(uint32(16 + 8*(n%2)))}
	cache := &cachev1.Cache{Ttl: durationpb.New(time.Duration(1+n%2) * time.Hour)}
	out[3] = xdstest.Listener(t, "in", listen, "r",
		xdstest.Filter(t, "friday.filters.http.cache", cache), xdstest.Filter(t, "friday.filters.http.batch", batch))
	return out
}

// cachedPlane is a plane of the series before a model server.
func cachedPlane(t testing.TB, delta bool) (p *plane, push func(n int), up *standin.Server, listen string) {
	t.Helper()
	up, err := standin.New(standin.Config{})
	require.NoError(t, err)
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	served := make(chan error, 1)
	go func(s *standin.Server) { served <- s.Serve(ln) }(up)
	t.Cleanup(func() {
		require.NoError(t, up.Close())
		require.NoError(t, <-served)
	})
	addresses, err := process.FreeAddresses(0)
	require.NoError(t, err)
	listen = addresses[0]
	cp := xdstest.New(t)
	push = func(n int) { cp.Set(cached(t, n, listen, ln.Addr().String())...) }
	push(0)
	p = newPlane(t, cp.Addr(), delta, standard.Registry())
	require.Eventually(t, p.c.Ready, patience, time.Millisecond)
	p.until(t, 0)
	return p, push, up, listen
}

// TestCacheSurvivesPushes: what was answered before 100 pushes is known after them,
// and of requests that come at their own rate while they are made, whatever the
// answers take, none fails.
func TestCacheSurvivesPushes(t *testing.T) {
	for name, delta := range map[string]bool{"ads": false, "delta-ads": true} {
		t.Run(name, func(t *testing.T) {
			p, push, up, listen := cachedPlane(t, delta)
			const known, inFlight = 200, 64
			ask := func(o load.Options) *load.Result {
				o.Target, o.Workload = load.Target{Address: listen}, load.Embeddings{Items: 1}
				r, err := load.Run(t.Context(), o)
				if err != nil {
					t.Error(err)
					return new(load.Result)
				}
				return r
			}
			first := ask(load.Options{Concurrency: 4, Requests: known})
			require.True(t, first.Clean(), first.Trouble())

			var result load.Result
			var answered, stop atomic.Uint64
			var wg sync.WaitGroup
			wg.Go(func() {
				for next := uint64(known); stop.Load() == 0; next += 20 { // 0.1 s each
					result.Merge(ask(load.Options{Concurrency: inFlight, Rate: 200, Requests: 20, First: next}))
					answered.Store(result.Requests)
				}
			})
			for n := 1; n <= 100; n++ {
				push(n)
				p.until(t, n)
				if n%10 == 0 {
					before := answered.Load()
					require.Eventually(t, func() bool { return answered.Load() > before }, patience, time.Millisecond, "push %d", n)
				}
			}
			stop.Store(1)
			wg.Wait()
			require.True(t, result.Clean(), result.Trouble())
			items := up.Stats().Items
			require.GreaterOrEqual(t, items, known+result.Requests, "what was new has been computed")

			again := ask(load.Options{Concurrency: 4, Requests: known})
			require.True(t, again.Clean(), again.Trouble())
			require.Equal(t, items, up.Stats().Items, "what was known before the pushes still is")
			hits := testutil.ToFloat64(p.s.Metrics().CacheLookups.WithLabelValues("model", "hit"))
			require.GreaterOrEqual(t, hits, float64(known))
			connections := up.Stats().Connections
			require.LessOrEqual(t, 2*connections, items, "the pool survives")
			t.Logf("%d requests during the pushes, %.0f hits, %d connections", result.Requests, hits, connections)
		})
	}
}

// BenchmarkUpdatesUnderLoad is 100 pushes beside 1,000 requests a second, an open loop.
// No request may fail.
func BenchmarkUpdatesUnderLoad(b *testing.B) {
	p, push, up, listen := cachedPlane(b, true)
	var all load.Result
	n := 0
	for range b.N {
		var wg sync.WaitGroup
		wg.Go(func() {
			r, err := load.Run(b.Context(), load.Options{
				Target: load.Target{Address: listen}, Workload: load.Embeddings{Items: 1},
				Concurrency: 256, Rate: 1000, Duration: 10 * time.Second, First: all.Requests,
			})
			if err != nil {
				b.Error(err)
				return
			}
			all.Merge(r)
		})
		ticker := time.NewTicker(100 * time.Millisecond)
		for range 100 {
			<-ticker.C
			n++
			push(n)
			p.until(b, n)
		}
		ticker.Stop()
		wg.Wait()
	}
	require.True(b, all.Clean(), all.Trouble())
	b.ReportMetric(float64(all.Requests), "requests")
	b.ReportMetric(float64(all.Failures()), "failures")
	b.ReportMetric(float64(n), "pushes")
	b.ReportMetric(float64(up.Stats().Connections), "connections")
}
