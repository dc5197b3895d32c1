package pushes_test

import (
	"fmt"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/xds/resource"
	"github.com/fridaymesh/friday/xds/xdstest"
)

// BenchmarkConvergence is the time from a control plane's sending to the
// configuration's being in force: of everything at once, and of one endpoint.
// Run it with -cpu 1.
func BenchmarkConvergence(b *testing.B) {
	b.Run(fmt.Sprintf("first/routes=%d,clusters=%d,endpoints=%d", mesh().Routes, mesh().Clusters, mesh().Endpoints), func(b *testing.B) {
		var used time.Duration
		for range b.N {
			b.StopTimer()
			m := playedPlane(b)
			send := m.all(b, mesh(), "127.0.0.1:0", "")
			runtime.GC()
			before := cpu(b)
			b.StartTimer()
			send()
			m.wait(b)
			b.StopTimer()
			used += cpu(b) - before
			require.True(b, m.c.Ready())
		}
		b.ReportMetric(float64(used.Microseconds())/1000/float64(b.N), "cpu-ms/op")
	})
	b.Run("endpoint", func(b *testing.B) {
		m := playedPlane(b)
		m.all(b, mesh(), "127.0.0.1:0", "")()
		m.wait(b)
		runtime.GC()
		var stats runtime.MemStats
		runtime.ReadMemStats(&stats)
		before := cpu(b)
		b.ResetTimer()
		for i := range b.N {
			m.ads.Send(xdstest.Response(b, resource.EndpointType, fmt.Sprint(i+2), "1", mesh().Assignment(b, i%mesh().Clusters, 1+i/mesh().Clusters)))
			m.wait(b)
		}
		b.ReportMetric(float64(stats.HeapAlloc)/(1<<20), "heap-MiB")
		b.ReportMetric(float64((cpu(b)-before).Microseconds())/1000/float64(b.N), "cpu-ms/op")
	})
}

// cpu is the processor time that this process has used, the control plane's side
// of it included.
func cpu(t testing.TB) time.Duration {
	t.Helper()
	var u syscall.Rusage
	require.NoError(t, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
