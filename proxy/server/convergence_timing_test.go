package server_test

import (
	"context"
	"fmt"
	"runtime"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/fridaymesh/friday/filters/standard"
	"github.com/fridaymesh/friday/proxy/config"
	"github.com/fridaymesh/friday/proxy/server"
	"github.com/fridaymesh/friday/xds/client"
	"github.com/fridaymesh/friday/xds/resource"
	"github.com/fridaymesh/friday/xds/xdstest"
)

// mesh is what the figures in docs/performance.md are of.
var mesh = xdstest.Mesh{Routes: 5000, Clusters: 1000, Endpoints: 10000}

// meshed is a data plane and its client against a control plane that the test
// plays.
type meshed struct {
	cp      *xdstest.Raw
	s       *server.Server
	c       *client.Client
	applied chan time.Time
	ads     *xdstest.Stream
}

func newMeshed(b testing.TB) *meshed {
	b.Helper()
	m := &meshed{cp: xdstest.NewRaw(b), applied: make(chan time.Time, 64)}
	var err error
	m.s, err = server.New(server.Options{Log: zap.NewNop(), Access: zap.NewNop(), DrainTimeout: time.Second})
	require.NoError(b, err)
	m.c = client.New(client.Options{
		Targets: client.Plain(m.cp.Addr()), Node: &corev3.Node{Id: "n"}, Log: zap.NewNop(), Metrics: m.s.Metrics(),
		Parser: &resource.Parser{Registry: standard.Registry()},
		Apply: func(r *config.Resources) error {
			err := m.s.Apply(r)
			m.applied <- time.Now()
			return err
		},
	})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- m.c.Run(ctx) }()
	b.Cleanup(func() {
		cancel()
		require.NoError(b, <-ended)
		require.NoError(b, m.s.Close())
	})
	m.ads = m.cp.Stream()
	go m.ads.Drop()
	return m
}

func (m *meshed) all(b testing.TB, of xdstest.Mesh) (send func()) {
	b.Helper()
	clusters := xdstest.Response(b, resource.ClusterType, "1", "1", of.All()...)
	endpoints := xdstest.Response(b, resource.EndpointType, "1", "1", of.Assignments(b)...)
	listeners := xdstest.Response(b, resource.ListenerType, "1", "1", xdstest.Listener(b, "in", "127.0.0.1:0", "r"))
	routes := xdstest.Response(b, resource.RouteType, "1", "1", of.Table("r"))
	return func() {
		m.ads.Send(clusters)
		m.ads.Await(resource.EndpointType)
		m.ads.Send(endpoints)
		m.ads.Send(listeners)
		m.ads.Await(resource.RouteType)
		m.ads.Send(routes)
	}
}

// BenchmarkConvergence is the time from a control plane's sending to the
// configuration's being in force: of everything at once, and of one endpoint.
// Run it with -cpu 1.
func BenchmarkConvergence(b *testing.B) {
	b.Run(fmt.Sprintf("first/routes=%d,clusters=%d,endpoints=%d", mesh.Routes, mesh.Clusters, mesh.Endpoints), func(b *testing.B) {
		for range b.N {
			b.StopTimer()
			m := newMeshed(b)
			send := m.all(b, mesh)
			b.StartTimer()
			send()
			<-m.applied
			b.StopTimer()
			require.True(b, m.c.Ready())
		}
	})
	b.Run("endpoint", func(b *testing.B) {
		m := newMeshed(b)
		m.all(b, mesh)()
		<-m.applied
		runtime.GC()
		var stats runtime.MemStats
		runtime.ReadMemStats(&stats)
		b.ResetTimer()
		for i := range b.N {
			m.ads.Send(xdstest.Response(b, resource.EndpointType, fmt.Sprint(i+2), "1", mesh.Assignment(b, i%mesh.Clusters, 1+i/mesh.Clusters)))
			<-m.applied
		}
		b.ReportMetric(float64(stats.HeapAlloc)/(1<<20), "heap-MiB")
	})
}
