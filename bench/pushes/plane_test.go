package pushes_test

import (
	"context"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/fridaymesh/friday/filters"
	"github.com/fridaymesh/friday/proxy/config"
	"github.com/fridaymesh/friday/proxy/server"
	"github.com/fridaymesh/friday/xds/client"
	"github.com/fridaymesh/friday/xds/resource"
	"github.com/fridaymesh/friday/xds/xdstest"
)

// patience is how long anything may take.
const patience = 30 * time.Second

// mesh is what the figures in docs/performance.md are of.
func mesh() xdstest.Mesh { return xdstest.Mesh{Routes: 5000, Clusters: 1000, Endpoints: 10000} }

// plane is a data plane and the client of its control plane.
type plane struct {
	s       *server.Server
	c       *client.Client
	applied chan error // one for each configuration
}

func newPlane(t testing.TB, address string, delta bool, registry *filters.Registry) *plane {
	t.Helper()
	p := &plane{applied: make(chan error, 1<<16)}
	var err error
	p.s, err = server.New(server.Options{Log: zap.NewNop(), Access: zap.NewNop(), DrainTimeout: time.Second})
	require.NoError(t, err)
	p.c = client.New(client.Options{
		Targets: client.Plain(address), Delta: delta, Node: &corev3.Node{Id: "n"}, Log: zap.NewNop(), Metrics: p.s.Metrics(),
		Parser: &resource.Parser{Registry: registry},
		Apply: func(r *config.Resources) error {
			err := p.s.Apply(r)
			p.applied <- err
			return err
		},
	})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- p.c.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-ended)
		require.NoError(t, p.s.Close())
	})
	return p
}

// wait waits for the next configuration to be in force.
func (p *plane) wait(t testing.TB) {
	t.Helper()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case err := <-p.applied:
		require.NoError(t, err)
	case <-timer.C:
		require.FailNow(t, "no configuration")
	}
}

// played is a plane whose control plane is played.
type played struct {
	*plane
	ads *xdstest.Stream
}

func playedPlane(t testing.TB) *played {
	t.Helper()
	cp := xdstest.NewRaw(t)
	p := &played{plane: newPlane(t, cp.Addr(), false, filters.NewRegistry())}
	p.ads = cp.Stream()
	go p.ads.Drop() // the ACKs, until the stream is over
	return p
}

// all prepares the responses of a whole configuration and returns what sends them.
// What none of the mesh's hosts is asked for goes to server, where it is not empty.
func (p *played) all(t testing.TB, of xdstest.Mesh, address, server string) (send func()) {
	t.Helper()
	table, everything := of.Table("r"), of.All()
	if server != "" {
		table.VirtualHosts = append(table.VirtualHosts, xdstest.Routes("model", "model").GetVirtualHosts()...)
		everything = append(everything, xdstest.StaticCluster(t, "model", server))
	}
	clusters := xdstest.Response(t, resource.ClusterType, "1", "1", everything...)
	endpoints := xdstest.Response(t, resource.EndpointType, "1", "1", of.Assignments(t)...)
	listeners := xdstest.Response(t, resource.ListenerType, "1", "1", xdstest.Listener(t, "in", address, "r"))
	routes := xdstest.Response(t, resource.RouteType, "1", "1", table)
	return func() {
		p.ads.Send(clusters)
		p.ads.Await(resource.EndpointType)
		p.ads.Send(endpoints)
		p.ads.Send(listeners)
		p.ads.Await(resource.RouteType)
		p.ads.Send(routes)
	}
}
