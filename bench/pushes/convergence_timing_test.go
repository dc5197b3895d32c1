package pushes_test

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/xds/resource"
	"github.com/fridaymesh/friday/xds/xdstest"
)

// BenchmarkConvergence is the time from a control plane's sending to the
// configuration's being in force: of everything at once, and of one endpoint.
// Run it with -cpu 1.
func BenchmarkConvergence(b *testing.B) {
	b.Run(fmt.Sprintf("first/routes=%d,clusters=%d,endpoints=%d", mesh().Routes, mesh().Clusters, mesh().Endpoints), func(b *testing.B) {
		for range b.N {
			b.StopTimer()
			m := playedPlane(b)
			send := m.all(b, mesh(), "127.0.0.1:0", "")
			b.StartTimer()
			send()
			m.wait(b)
			b.StopTimer()
			require.True(b, m.c.Ready())
		}
	})
	b.Run("endpoint", func(b *testing.B) {
		m := playedPlane(b)
		m.all(b, mesh(), "127.0.0.1:0", "")()
		m.wait(b)
		runtime.GC()
		var stats runtime.MemStats
		runtime.ReadMemStats(&stats)
		b.ResetTimer()
		for i := range b.N {
			m.ads.Send(xdstest.Response(b, resource.EndpointType, fmt.Sprint(i+2), "1", mesh().Assignment(b, i%mesh().Clusters, 1+i/mesh().Clusters)))
			m.wait(b)
		}
		b.ReportMetric(float64(stats.HeapAlloc)/(1<<20), "heap-MiB")
	})
}
