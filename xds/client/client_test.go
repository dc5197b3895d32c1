package client_test

import (
	"context"
	"errors"
	"path/filepath"
	"sync"
	"testing"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"

	"github.com/fridaymesh/friday/filters"
	"github.com/fridaymesh/friday/proxy/cluster"
	"github.com/fridaymesh/friday/proxy/config"
	"github.com/fridaymesh/friday/proxy/telemetry"
	"github.com/fridaymesh/friday/xds/client"
	"github.com/fridaymesh/friday/xds/resource"
	"github.com/fridaymesh/friday/xds/xdstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// plane is a data plane that remembers what it was given.
type plane struct {
	mu      sync.Mutex
	applied []*config.Resources
	refuse  error
}

func (p *plane) apply(r *config.Resources) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.refuse != nil {
		return p.refuse
	}
	p.applied = append(p.applied, r)
	return nil
}

func (p *plane) setRefuse(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refuse = err
}

func (p *plane) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.applied)
}

// endpoint is the first endpoint of a cluster in force; empty where there is
// none.
func (p *plane) endpoint(cluster string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.applied) == 0 {
		return ""
	}
	for _, c := range p.applied[len(p.applied)-1].Clusters {
		if c.Name == cluster && len(c.Endpoints) > 0 {
			return c.Endpoints[0].Address
		}
	}
	return ""
}

type rig struct {
	*client.Client
	plane   *plane
	metrics *telemetry.Metrics
	stop    func()
}

// start runs a client until the test ends or stop is called.
func start(t *testing.T, change func(*client.Options)) *rig {
	t.Helper()
	r := &rig{plane: &plane{}, metrics: telemetry.New(prometheus.NewRegistry())}
	opts := client.Options{
		Node:    &corev3.Node{Id: "n", Cluster: "c", UserAgentName: "friday"},
		Parser:  &resource.Parser{Registry: filters.NewRegistry()},
		Apply:   r.plane.apply,
		Log:     zap.NewNop(),
		Metrics: r.metrics,
	}
	change(&opts)
	r.Client = client.New(opts)
	ctx, cancel := context.WithCancel(context.Background()) // longer than the cleanups
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	r.stop = sync.OnceFunc(func() {
		cancel()
		require.NoError(t, <-ended)
	})
	t.Cleanup(r.stop)
	return r
}

func against(addr string) func(*client.Options) {
	return func(o *client.Options) { o.Targets = client.Plain(addr) }
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	require.Eventually(t, ok, 10*time.Second, 5*time.Millisecond, what)
}

func TestAgainstGoControlPlane(t *testing.T) {
	t.Parallel()
	cp := xdstest.New(t)
	version := cp.Set(xdstest.Cluster("blue"), xdstest.Endpoints(t, "blue", "10.0.0.1:80"), xdstest.Listener(t, "in", "127.0.0.1:1", "r"), xdstest.Routes("r", "blue"))
	r := start(t, against(cp.Addr()))
	eventually(t, "ready", r.Ready)
	require.Equal(t, "10.0.0.1:80", r.plane.endpoint("blue"))
	require.Equal(t, 1, r.plane.count(), "the first configuration is applied once, when it is whole")
	for _, url := range []string{resource.ClusterType, resource.EndpointType, resource.ListenerType, resource.RouteType} {
		eventually(t, "ACK of "+url, func() bool { return cp.Acked(url, version) })
	}
	require.Equal(t, version, r.Versions()[resource.ClusterType])
	require.InEpsilon(t, 1, testutil.ToFloat64(r.metrics.XDSConnected.WithLabelValues(cp.Addr())), 0)
	require.InEpsilon(t, 1, testutil.ToFloat64(r.metrics.XDSUpdates.WithLabelValues("cds", "accepted")), 0)
	require.InEpsilon(t, 1, testutil.ToFloat64(r.metrics.XDSVersion.WithLabelValues("cds", version)), 0)

	next := cp.Set(xdstest.Cluster("green"), xdstest.Endpoints(t, "green", "10.0.0.2:80"), xdstest.Listener(t, "in", "127.0.0.1:1", "r"), xdstest.Routes("r", "green"))
	eventually(t, "the shift", func() bool { return r.plane.endpoint("green") != "" && r.plane.endpoint("blue") == "" })
	eventually(t, "the version", func() bool { return r.Versions()[resource.RouteType] == next })
	eventually(t, "one version of each type", func() bool { return testutil.CollectAndCount(r.metrics.XDSVersion) == 4 })
	// At no moment did a route lead to a cluster that was not there.
	r.plane.mu.Lock()
	defer r.plane.mu.Unlock()
	for i, res := range r.plane.applied {
		has := map[string]bool{}
		for _, c := range res.Clusters {
			has[c.Name] = len(c.Endpoints) > 0
		}
		for name := range resource.Clusters(res.Routes["r"]) {
			require.True(t, has[name], "configuration %d leads to %s", i, name)
		}
	}
}

func TestControlPlaneDiesAndReturns(t *testing.T) {
	t.Parallel()
	cp := xdstest.New(t)
	cp.Set(xdstest.Cluster("blue"), xdstest.Endpoints(t, "blue", "10.0.0.1:80"), xdstest.Listener(t, "in", "127.0.0.1:1", "r"), xdstest.Routes("r", "blue"))
	r := start(t, against(cp.Addr()))
	eventually(t, "ready", r.Ready)
	cp.Stop()
	eventually(t, "noticed", func() bool { return testutil.ToFloat64(r.metrics.XDSConnected.WithLabelValues(cp.Addr())) == 0 })
	require.True(t, r.Ready())
	require.Equal(t, 1, r.plane.count(), "nothing was given up")
	cp.Set(xdstest.Cluster("blue"), xdstest.Endpoints(t, "blue", "10.0.0.7:80"), xdstest.Listener(t, "in", "127.0.0.1:1", "r"), xdstest.Routes("r", "blue"))
	cp.Start()
	eventually(t, "followed again", func() bool { return r.plane.endpoint("blue") == "10.0.0.7:80" })
}

func TestRequestsOfAStream(t *testing.T) {
	t.Parallel()
	cp := xdstest.NewRaw(t)
	r := start(t, against(cp.Addr()))
	s := cp.Stream()

	req := s.Recv()
	require.Equal(t, resource.ClusterType, req.GetTypeUrl(), "clusters first")
	require.Equal(t, "friday", req.GetNode().GetUserAgentName())
	require.Empty(t, req.GetVersionInfo())
	require.Empty(t, req.GetResourceNames())
	req = s.Recv()
	require.Equal(t, resource.ListenerType, req.GetTypeUrl())
	require.Nil(t, req.GetNode(), "in the first request only")

	s.Send(xdstest.Response(t, resource.ClusterType, "c1", "n1", xdstest.Cluster("blue"), xdstest.Cluster("green")))
	req = s.Recv()
	require.Equal(t, []string{resource.ClusterType, "c1", "n1"}, []string{req.GetTypeUrl(), req.GetVersionInfo(), req.GetResponseNonce()})
	require.Nil(t, req.GetErrorDetail())
	req = s.Recv()
	require.Equal(t, resource.EndpointType, req.GetTypeUrl())
	require.Equal(t, []string{"blue", "green"}, req.GetResourceNames())
	require.Empty(t, req.GetResponseNonce())

	s.Send(xdstest.Response(t, resource.EndpointType, "e1", "n2", xdstest.Endpoints(t, "blue", "10.0.0.1:80"), xdstest.Endpoints(t, "green", "10.0.0.2:80")))
	req = s.Recv()
	require.Equal(t, []string{resource.EndpointType, "e1", "n2"}, []string{req.GetTypeUrl(), req.GetVersionInfo(), req.GetResponseNonce()})
	require.Equal(t, []string{"blue", "green"}, req.GetResourceNames(), "an ACK repeats the names")

	s.Send(xdstest.Response(t, resource.ListenerType, "l1", "n3", xdstest.Listener(t, "in", "127.0.0.1:1", "r")))
	require.Equal(t, "l1", s.Recv().GetVersionInfo())
	req = s.Recv()
	require.Equal(t, resource.RouteType, req.GetTypeUrl())
	require.Equal(t, []string{"r"}, req.GetResourceNames())
	require.False(t, r.Ready())
	s.Send(xdstest.Response(t, resource.RouteType, "r1", "n4", xdstest.Routes("r", "blue")))
	require.Equal(t, "r1", s.Recv().GetVersionInfo())
	eventually(t, "ready", r.Ready)

	// A NACK: the older version, the newest nonce, the words; and the names of the
	// last request. The change of names that follows from the good part is a
	// request of its own, without words.
	bad := xdstest.Cluster("blue")
	bad.LbPolicy = clusterv3.Cluster_CLUSTER_PROVIDED
	s.Send(xdstest.Response(t, resource.ClusterType, "c2", "n5", bad, xdstest.Cluster("red")))
	req = s.Recv()
	require.Equal(t, []string{resource.ClusterType, "c1", "n5"}, []string{req.GetTypeUrl(), req.GetVersionInfo(), req.GetResponseNonce()})
	require.Equal(t, `cluster "blue": lb_policy: CLUSTER_PROVIDED: goes with type ORIGINAL_DST only, which goes with no other`, req.GetErrorDetail().GetMessage())
	require.EqualValues(t, 3, req.GetErrorDetail().GetCode())
	req = s.Recv()
	require.Equal(t, []string{resource.EndpointType, "e1", "n2"}, []string{req.GetTypeUrl(), req.GetVersionInfo(), req.GetResponseNonce()})
	require.Equal(t, []string{"blue", "red"}, req.GetResourceNames())
	require.Nil(t, req.GetErrorDetail())
	require.InEpsilon(t, 1, testutil.ToFloat64(r.metrics.XDSUpdates.WithLabelValues("cds", "rejected")), 0)
	require.Equal(t, "c1", r.Versions()[resource.ClusterType])

	// The same again: it is not refused again at once, but it is.
	s.Send(xdstest.Response(t, resource.ClusterType, "c2", "n6", bad, xdstest.Cluster("red")))
	sent := time.Now()
	req = s.Recv()
	require.Greater(t, time.Since(sent), 500*time.Millisecond)
	require.Equal(t, []string{"c1", "n6"}, []string{req.GetVersionInfo(), req.GetResponseNonce()})
	require.NotNil(t, req.GetErrorDetail())

	// What nobody asked for is not answered.
	s.Send(xdstest.Response(t, "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret", "s1", "n6"))
	require.True(t, s.Quiet(50*time.Millisecond))

	// On a new stream: the node again, the versions, no nonce, in order.
	s.Break()
	s = cp.Stream()
	for i, want := range []struct{ url, version string }{
		{resource.ClusterType, "c1"},
		{resource.EndpointType, "e1"},
		{resource.ListenerType, "l1"},
		{resource.RouteType, "r1"},
	} {
		req := s.Recv()
		require.Equal(t, want.url, req.GetTypeUrl())
		require.Equal(t, want.version, req.GetVersionInfo())
		require.Empty(t, req.GetResponseNonce())
		require.Equal(t, i == 0, req.GetNode() != nil)
	}
}

func TestDataPlaneRefuses(t *testing.T) {
	t.Parallel()
	cp := xdstest.New(t)
	good := []proto.Message{xdstest.StaticCluster(t, "blue", "10.0.0.1:80"), xdstest.Listener(t, "in", "127.0.0.1:1", "r"), xdstest.Routes("r", "blue")}
	cp.Set(good...)
	r := start(t, against(cp.Addr()))
	eventually(t, "ready", r.Ready)
	r.plane.setRefuse(errors.New(`listener "more": address 127.0.0.1:1: listener "in" has it already`))
	cp.Set(append(good, xdstest.Listener(t, "more", "127.0.0.1:1", "r"))...)
	eventually(t, "the NACK", func() bool { return len(cp.Refused(resource.ListenerType)) > 0 })
	require.Equal(t, []string{`listener "more": address 127.0.0.1:1: listener "in" has it already`}, cp.Refused(resource.ListenerType),
		"go-control-plane sends again what was refused; it is not told at once again")
	require.Equal(t, "10.0.0.1:80", r.plane.endpoint("blue"))
	require.Equal(t, "1", r.Versions()[resource.ListenerType])
	r.plane.setRefuse(nil)
	version := cp.Set(append(good, xdstest.Listener(t, "more", "127.0.0.1:2", "r"))...)
	eventually(t, "the next good one", func() bool { return cp.Acked(resource.ListenerType, version) })
}

// What the data plane refuses for a reason of its own, such as a port that is
// busy, is tried again without a word of the control plane, and acknowledged
// once it is in force.
func TestDataPlaneTakesLaterWhatItRefused(t *testing.T) {
	t.Parallel()
	cp := xdstest.NewRaw(t)
	r := start(t, against(cp.Addr()))
	s := cp.Stream()
	s.Recv() // clusters
	s.Recv() // listeners
	s.Send(xdstest.Response(t, resource.ClusterType, "c1", "n1", xdstest.StaticCluster(t, "blue", "10.0.0.1:80")))
	require.Equal(t, "c1", s.Recv().GetVersionInfo())
	s.Send(xdstest.Response(t, resource.ListenerType, "l1", "n2", xdstest.Listener(t, "in", "127.0.0.1:1", "r")))
	require.Equal(t, "l1", s.Recv().GetVersionInfo())
	s.Recv() // routes
	s.Send(xdstest.Response(t, resource.RouteType, "r1", "n3", xdstest.Routes("r", "blue")))
	require.Equal(t, "r1", s.Recv().GetVersionInfo())
	eventually(t, "ready", r.Ready)

	r.plane.setRefuse(errors.New("listen tcp 127.0.0.1:2: bind: address already in use"))
	s.Send(xdstest.Response(t, resource.ListenerType, "l2", "n4", xdstest.Listener(t, "in", "127.0.0.1:2", "r")))
	req := s.Recv()
	require.Equal(t, []string{"l1", "n4"}, []string{req.GetVersionInfo(), req.GetResponseNonce()})
	require.Contains(t, req.GetErrorDetail().GetMessage(), "in use")

	r.plane.setRefuse(nil)
	req = s.Recv()
	require.Equal(t, []string{resource.ListenerType, "l2", "n4"}, []string{req.GetTypeUrl(), req.GetVersionInfo(), req.GetResponseNonce()})
	require.Nil(t, req.GetErrorDetail())
	require.Equal(t, 2, r.plane.count())
	require.Equal(t, "l2", r.Versions()[resource.ListenerType])
	require.InEpsilon(t, 1, testutil.ToFloat64(r.metrics.XDSUpdates.WithLabelValues("lds", "rejected")), 0)
	require.InEpsilon(t, 2, testutil.ToFloat64(r.metrics.XDSUpdates.WithLabelValues("lds", "accepted")), 0)
}

func TestTargetsAreTriedInTurn(t *testing.T) {
	t.Parallel()
	dead, alive := xdstest.New(t), xdstest.New(t)
	dead.Stop()
	alive.Set(xdstest.StaticCluster(t, "blue", "10.0.0.1:80"), xdstest.Listener(t, "in", "127.0.0.1:1", "r"), xdstest.Routes("r", "blue"))
	r := start(t, func(o *client.Options) { o.Targets = client.Plain(dead.Addr(), alive.Addr()) })
	eventually(t, "ready", r.Ready)
}

func TestStaticConfiguration(t *testing.T) {
	t.Parallel()
	static := &config.Resources{
		Clusters:  []*cluster.Config{{Name: "static", Endpoints: []cluster.EndpointConfig{{Address: "10.0.0.9:80"}}}},
		Listeners: []*config.Listener{{Name: "static", Default: &config.FilterChain{HTTP: &config.HTTP{Table: &config.RouteTable{}}}}},
	}
	alone := start(t, func(o *client.Options) { o.Static = static })
	eventually(t, "ready", alone.Ready)
	require.Equal(t, "10.0.0.9:80", alone.plane.endpoint("static"))

	cp := xdstest.New(t)
	both := start(t, func(o *client.Options) { o.Static, o.Targets = static, client.Plain(cp.Addr()) })
	eventually(t, "the static part, at once", func() bool { return both.plane.endpoint("static") != "" })
	require.False(t, both.Ready())
	cp.Set(xdstest.StaticCluster(t, "blue", "10.0.0.1:80"), xdstest.Listener(t, "in", "127.0.0.1:1", "r"), xdstest.Routes("r", "blue"))
	eventually(t, "ready", both.Ready)
	require.Equal(t, "10.0.0.9:80", both.plane.endpoint("static"))
	require.Equal(t, "10.0.0.1:80", both.plane.endpoint("blue"))
}

func TestStaticConfigurationThatIsRefusedEndsRun(t *testing.T) {
	t.Parallel()
	for _, targets := range [][]client.Target{nil, client.Plain("127.0.0.1:1")} {
		c := client.New(client.Options{
			Targets: targets, Static: &config.Resources{Clusters: []*cluster.Config{{Name: "x"}}},
			Apply: func(*config.Resources) error { return errors.New("no") },
		})
		require.EqualError(t, c.Run(t.Context()), "static configuration: no")
	}
}

func TestStateFile(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "state", "xds.bin")
	cp := xdstest.New(t)
	cp.Set(xdstest.Cluster("blue"), xdstest.Endpoints(t, "blue", "10.0.0.1:80"), xdstest.Listener(t, "in", "127.0.0.1:1", "r"), xdstest.Routes("r", "blue"))
	with := func(o *client.Options) { o.Targets, o.StateFile = client.Plain(cp.Addr()), file }
	r := start(t, with)
	eventually(t, "ready", r.Ready)
	r.stop()
	require.FileExists(t, file)

	// The control plane is gone. What was good serves, at once.
	cp.Stop()
	r = start(t, with)
	eventually(t, "ready", r.Ready)
	require.Equal(t, "10.0.0.1:80", r.plane.endpoint("blue"))
	require.Empty(t, r.Versions(), "a control plane that counts anew must not think that it is known")

	// It returns, with something else.
	cp.Set(xdstest.Cluster("blue"), xdstest.Endpoints(t, "blue", "10.0.0.2:80"), xdstest.Listener(t, "in", "127.0.0.1:1", "r"), xdstest.Routes("r", "blue"))
	cp.Start()
	eventually(t, "followed again", func() bool { return r.plane.endpoint("blue") == "10.0.0.2:80" })
	r.stop()

	cp.Stop()
	r = start(t, with)
	eventually(t, "the newer one", func() bool { return r.plane.endpoint("blue") == "10.0.0.2:80" })
}
