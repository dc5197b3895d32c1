package pushes_test

import (
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/fridaymesh/friday/bench/load"
	"github.com/fridaymesh/friday/bench/process"
	"github.com/fridaymesh/friday/bench/standin"
	"github.com/fridaymesh/friday/filters/standard"
	batchv1 "github.com/fridaymesh/friday/xds/api/friday/filters/http/batch/v1"
	"github.com/fridaymesh/friday/xds/xdstest"
)

// pushName is in the metadata of the route of number n of a series.
func pushName(n int) string { return "push " + strconv.Itoa(n) + "." }

// until waits for number n of a series to be in force. Of a push there may be several
// configurations, and of pushes that come close together one.
func (p *plane) until(t testing.TB, n int) {
	t.Helper()
	require.Eventually(t, func() bool { return strings.Contains(p.c.ConfigDump().String(), pushName(n)) }, patience, 5*time.Millisecond, "push %d", n)
}

// batched is number n of a series of configurations of one model behind the batcher:
// timeouts, a second cluster, the endpoints of another, and the batcher's own settings
// change.
func batched(t testing.TB, n int, listen, server string) []proto.Message {
	t.Helper()
	routes := xdstest.Routes("r", "model")
	routes.GetVirtualHosts()[0].GetRoutes()[0].GetRoute().Timeout = durationpb.New(time.Duration(60+n%7) * time.Second)
	routes.GetVirtualHosts()[0].GetRoutes()[0].Metadata = &corev3.Metadata{FilterMetadata: map[string]*structpb.Struct{pushName(n): {}}}
	batch := &batchv1.Batch{MaxBatchSize: wrapperspb.UInt32(16), MaxQueueDelay: durationpb.New(2 * time.Millisecond)}
	if n%3 == 2 {
		batch.MaxBatchSize = wrapperspb.UInt32(24)
	}
	out := []proto.Message{
		routes, xdstest.Cluster("model"), xdstest.Endpoints(t, "model", server),
		xdstest.Listener(t, "in", listen, "r", xdstest.Filter(t, "friday.filters.http.batch", batch)),
	}
	if n%2 == 1 {
		out = append(out, xdstest.Cluster("other"), xdstest.Endpoints(t, "other", "127.0.0.1:"+strconv.Itoa(1+n)))
	}
	return out
}

// TestBatchQueueSurvivesPushes: while 100 pushes change everything around it and the
// batcher's own settings, every item that waits in its queue is answered, once, rightly:
// as many items reach the server as callers have sent, in fewer calls, over connections
// that stay.
func TestBatchQueueSurvivesPushes(t *testing.T) {
	for name, delta := range map[string]bool{"ads": false, "delta-ads": true} {
		t.Run(name, func(t *testing.T) {
			config := standin.DefaultConfig()
			config.Fixed, config.PerItem = 4*time.Millisecond, 100*time.Microsecond
			up, err := standin.New(config)
			require.NoError(t, err)
			ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
			require.NoError(t, err)
			served := make(chan error, 1)
			go func() { served <- up.Serve(ln) }()
			t.Cleanup(func() {
				require.NoError(t, up.Close())
				require.NoError(t, <-served)
			})
			addresses, err := process.FreeAddresses(0)
			require.NoError(t, err)
			listen := addresses[0]
			cp := xdstest.New(t)
			cp.Set(batched(t, 0, listen, ln.Addr().String())...)
			p := newPlane(t, cp.Addr(), delta, standard.Registry())
			require.Eventually(t, p.c.Ready, patience, time.Millisecond)
			p.until(t, 0)

			const callers = 32
			var result load.Result
			stop := make(chan struct{})
			var wg sync.WaitGroup
			wg.Go(func() {
				for first := uint64(0); ; first += 10 * callers {
					select {
					case <-stop:
						return
					default:
					}
					some, err := load.Run(t.Context(), load.Options{
						Target: load.Target{Address: listen}, Workload: load.Embeddings{Items: 1}, Concurrency: callers, Requests: 10 * callers, First: first,
					})
					if err != nil {
						t.Error(err)
						return
					}
					result.Merge(some)
				}
			})
			for n := 1; n <= 100; n++ {
				before := up.Stats().Items
				cp.Set(batched(t, n, listen, ln.Addr().String())...)
				p.until(t, n)
				require.Eventually(t, func() bool { return up.Stats().Items > before }, patience, time.Millisecond, "push %d", n)
			}
			close(stop)
			wg.Wait()
			require.True(t, result.Clean(), result.Trouble())
			m := p.s.Metrics()
			require.Zero(t, testutil.ToFloat64(m.BatchQueued.WithLabelValues("model")), "the queue is empty in the end")
			stats := up.Stats()
			t.Logf("%d requests answered, %d items in %d calls (mean %.1f), %d connections", result.Requests, stats.Items, stats.Calls, stats.MeanBatch(), stats.Connections)
			require.Equal(t, result.Requests, stats.Items, "nothing is lost in the queue, and nothing sent twice")
			require.Greater(t, stats.MeanBatch(), 1.5, "it was batched")
			require.LessOrEqual(t, stats.Connections, uint64(callers), "the pool survives")
			require.Zero(t, stats.Failed)
		})
	}
}
