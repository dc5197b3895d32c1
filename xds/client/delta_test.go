package client_test

import (
	"testing"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/fridaymesh/friday/xds/client"
	"github.com/fridaymesh/friday/xds/resource"
	"github.com/fridaymesh/friday/xds/xdstest"
)

func incremental(addr string) func(*client.Options) {
	return func(o *client.Options) { o.Targets, o.Delta = client.Plain(addr), true }
}

func TestDeltaAgainstGoControlPlane(t *testing.T) {
	t.Parallel()
	cp := xdstest.New(t)
	cp.Set(xdstest.Cluster("blue"), xdstest.Endpoints(t, "blue", "10.0.0.1:80"), xdstest.Listener(t, "in", "127.0.0.1:1", "r"), xdstest.Routes("r", "blue"))
	r := start(t, incremental(cp.Addr()))
	eventually(t, "ready", r.Ready)
	require.Equal(t, "10.0.0.1:80", r.plane.endpoint("blue"))
	cp.Set(xdstest.Cluster("green"), xdstest.Endpoints(t, "green", "10.0.0.2:80"), xdstest.Listener(t, "in", "127.0.0.1:1", "r"), xdstest.Routes("r", "green"))
	eventually(t, "the shift", func() bool { return r.plane.endpoint("green") != "" && r.plane.endpoint("blue") == "" })

	// What was there before a break is named with its version, and not sent again.
	cp.Stop()
	before := len(cp.Deltas())
	cp.Start()
	eventually(t, "the names", func() bool {
		for _, req := range cp.Deltas()[before:] {
			if req.GetTypeUrl() == resource.ClusterType && len(req.GetInitialResourceVersions()) > 0 {
				require.Contains(t, req.GetInitialResourceVersions(), "green")
				require.NotEmpty(t, req.GetNode().GetId())
				return true
			}
		}
		return false
	})
	cp.Set()
	eventually(t, "the removal", func() bool { return r.plane.endpoint("green") == "" })
}

func TestRequestsOfADeltaStream(t *testing.T) {
	t.Parallel()
	cp := xdstest.NewRaw(t)
	r := start(t, incremental(cp.Addr()))
	s := cp.Delta()
	req := s.Recv()
	require.Equal(t, resource.ClusterType, req.GetTypeUrl())
	require.Equal(t, "friday", req.GetNode().GetUserAgentName())
	require.Empty(t, req.GetResourceNamesSubscribe(), "all of them")
	require.Equal(t, resource.ListenerType, s.Recv().GetTypeUrl())

	s.Send(xdstest.Changes(t, resource.ClusterType, "n1", nil, xdstest.Cluster("blue"), xdstest.Cluster("green")))
	req = s.Recv()
	require.Equal(t, []string{resource.ClusterType, "n1"}, []string{req.GetTypeUrl(), req.GetResponseNonce()})
	require.Nil(t, req.GetNode(), "in the first request only")
	req = s.Recv()
	require.Equal(t, resource.EndpointType, req.GetTypeUrl())
	require.Equal(t, []string{"blue", "green"}, req.GetResourceNamesSubscribe())
	require.Empty(t, req.GetResponseNonce(), "a request of its own")
	s.Send(xdstest.Changes(t, resource.EndpointType, "n2", []string{"green"}, xdstest.Endpoints(t, "blue", "10.0.0.1:80")))
	require.Equal(t, "n2", s.Recv().GetResponseNonce())
	s.Send(xdstest.Changes(t, resource.ListenerType, "n3", nil, xdstest.Listener(t, "in", "127.0.0.1:1", "r")))
	require.Equal(t, "n3", s.Recv().GetResponseNonce())
	require.Equal(t, []string{"r"}, s.Recv().GetResourceNamesSubscribe())
	s.Send(xdstest.Changes(t, resource.RouteType, "n4", nil, xdstest.Routes("r", "blue")))
	require.Equal(t, "n4", s.Recv().GetResponseNonce())
	eventually(t, "ready: green is known not to be there", r.Ready)

	// A bad one is named, its good siblings apply, and what was there stays.
	bad := xdstest.Cluster("blue")
	bad.LbPolicy = clusterv3.Cluster_LOAD_BALANCING_POLICY_CONFIG
	s.Send(xdstest.Changes(t, resource.ClusterType, "n5", []string{"green"}, bad, xdstest.Cluster("red")))
	req = s.Recv()
	require.Equal(t, "n5", req.GetResponseNonce())
	require.Contains(t, req.GetErrorDetail().GetMessage(), `cluster "blue": load_balancing_policy: missing`)
	req = s.Recv()
	require.Equal(t, []string{"red"}, req.GetResourceNamesSubscribe())
	require.Equal(t, []string{"green"}, req.GetResourceNamesUnsubscribe())
	require.Nil(t, req.GetErrorDetail())
	require.Equal(t, "10.0.0.1:80", r.plane.endpoint("blue"))

	// An envelope of another name than what is in it is no way to replace another.
	lie := xdstest.Changes(t, resource.EndpointType, "n6", nil, xdstest.Endpoints(t, "red", "10.0.0.9:80"))
	lie.Resources[0].Name = "blue"
	s.Send(lie)
	require.Contains(t, s.Recv().GetErrorDetail().GetMessage(), `endpoints "red": the envelope has another name: "blue"`)

	// On a new stream: all names, and the versions of what there is.
	s.Break()
	s = cp.Delta()
	req = s.Recv()
	require.Equal(t, map[string]string{"blue": "n1", "red": "n5"}, req.GetInitialResourceVersions())
	req = s.Recv()
	require.Equal(t, []string{"blue", "red"}, req.GetResourceNamesSubscribe())
	require.Equal(t, map[string]string{"blue": "n2"}, req.GetInitialResourceVersions())
}

func TestTTL(t *testing.T) {
	t.Parallel()
	cp := xdstest.NewRaw(t)
	r := start(t, incremental(cp.Addr()))
	s := cp.Delta()
	s.Recv()
	s.Recv()
	up := xdstest.Changes(t, resource.ClusterType, "n1", nil, xdstest.StaticCluster(t, "blue", "10.0.0.1:80"))
	up.Resources[0].Ttl = durationpb.New(time.Second)
	s.Send(up)
	require.Equal(t, "n1", s.Recv().GetResponseNonce())
	s.Send(xdstest.Changes(t, resource.ListenerType, "n2", nil))
	require.Equal(t, "n2", s.Recv().GetResponseNonce())
	eventually(t, "ready", r.Ready)
	sent := time.Now()
	s.Send(xdstest.Changes(t, resource.ClusterType, "n3", nil, &discoveryv3.Resource{Name: "blue", Version: "n1", Ttl: durationpb.New(2 * time.Second)}))
	require.Nil(t, s.Recv().GetErrorDetail())
	eventually(t, "gone", func() bool { return r.plane.endpoint("blue") == "" })
	require.GreaterOrEqual(t, time.Since(sent), 2*time.Second, "the heartbeat counts")
}

func TestFailoverAndReturn(t *testing.T) {
	t.Parallel()
	first, second := xdstest.New(t), xdstest.New(t)
	config := func(cp *xdstest.ControlPlane, endpoint string) {
		cp.Set(xdstest.StaticCluster(t, "blue", endpoint), xdstest.Listener(t, "in", "127.0.0.1:1", "r"), xdstest.Routes("r", "blue"))
	}
	config(first, "10.0.0.1:80")
	config(second, "10.0.0.2:80")
	first.Stop()
	r := start(t, func(o *client.Options) {
		o.Targets = client.Plain(first.Addr(), second.Addr())
		o.ReturnAfter = 50 * time.Millisecond
	})
	eventually(t, "the second", func() bool { return r.plane.endpoint("blue") == "10.0.0.2:80" })
	first.Start()
	eventually(t, "the first is back", func() bool { return r.plane.endpoint("blue") == "10.0.0.1:80" })
	first.Stop()
	config(second, "10.0.0.3:80")
	eventually(t, "the second again", func() bool { return r.plane.endpoint("blue") == "10.0.0.3:80" })
}
