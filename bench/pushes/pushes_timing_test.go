package pushes_test

import (
	"net"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/bench/load"
	"github.com/fridaymesh/friday/bench/process"
	"github.com/fridaymesh/friday/bench/standin"
	"github.com/fridaymesh/friday/xds/resource"
	"github.com/fridaymesh/friday/xds/xdstest"
)

// BenchmarkPushes is the time of requests, 1,000 a second at random moments, with
// and without ten pushes a second beside them, each of which changes one endpoint
// of the mesh. An iteration is a pair of runs of ten seconds.
func BenchmarkPushes(b *testing.B) {
	up, err := standin.New(standin.Config{})
	require.NoError(b, err)
	ln, err := (&net.ListenConfig{}).Listen(b.Context(), "tcp", "127.0.0.1:0")
	require.NoError(b, err)
	served := make(chan error, 1)
	go func() { served <- up.Serve(ln) }()
	defer func() {
		require.NoError(b, up.Close())
		require.NoError(b, <-served)
	}()
	addresses, err := process.FreeAddresses(0)
	require.NoError(b, err)
	p := playedPlane(b)
	p.all(b, mesh(), addresses[0], ln.Addr().String())()
	p.wait(b)

	run := func() *load.Result {
		r, err := load.Run(b.Context(), load.Options{
			Target: load.Target{Address: addresses[0]}, Workload: load.Embeddings{Items: 1},
			Concurrency: 256, Duration: 10 * time.Second, Rate: 1000,
		})
		require.NoError(b, err)
		require.True(b, r.Clean(), r.Trouble())
		return r
	}
	var quiet, pushed load.Result
	pushes := 0
	b.ResetTimer()
	for range b.N {
		quiet.Merge(run())
		stop := make(chan struct{})
		var wg sync.WaitGroup
		wg.Go(func() {
			ticker := time.NewTicker(100 * time.Millisecond)
			defer ticker.Stop()
			for {
				select {
				case <-stop:
					return
				case <-ticker.C:
					pushes++
					p.ads.Send(xdstest.Response(b, resource.EndpointType, strconv.Itoa(pushes+1), "1",
						mesh().Assignment(b, pushes%mesh().Clusters, 1+pushes/mesh().Clusters)))
					p.wait(b)
				}
			}
		})
		pushed.Merge(run())
		close(stop)
		wg.Wait()
	}
	micros := func(r *load.Result, q float64) float64 { return float64(r.Latency.Quantile(q).Microseconds()) }
	b.ReportMetric(micros(&quiet, .5), "quiet-p50-µs")
	b.ReportMetric(micros(&quiet, .99), "quiet-p99-µs")
	b.ReportMetric(micros(&pushed, .5), "pushed-p50-µs")
	b.ReportMetric(micros(&pushed, .99), "pushed-p99-µs")
	b.ReportMetric(float64(pushes), "pushes")
}
