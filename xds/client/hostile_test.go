package client_test

import (
	"bytes"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/fridaymesh/friday/xds/client"
	"github.com/fridaymesh/friday/xds/resource"
	"github.com/fridaymesh/friday/xds/xdstest"
)

// led is a client with a good configuration in force, on a stream that the test
// plays.
func led(t *testing.T, change ...func(*client.Options)) (*rig, *xdstest.Stream, *xdstest.Raw) {
	t.Helper()
	cp := xdstest.NewRaw(t)
	r := start(t, func(o *client.Options) {
		o.Targets = client.Plain(cp.Addr())
		for _, c := range change {
			c(o)
		}
	})
	s := cp.Stream()
	s.Recv()
	s.Recv()
	s.Send(xdstest.Response(t, resource.ClusterType, "c1", "n1", xdstest.Cluster("blue")))
	s.Recv()
	s.Recv()
	s.Send(xdstest.Response(t, resource.EndpointType, "e1", "n2", xdstest.Endpoints(t, "blue", "10.0.0.1:80")))
	s.Recv()
	s.Send(xdstest.Response(t, resource.ListenerType, "l1", "n3", xdstest.Listener(t, "in", "127.0.0.1:1", "r")))
	s.Recv()
	s.Recv()
	s.Send(xdstest.Response(t, resource.RouteType, "r1", "n4", xdstest.Routes("r", "blue")))
	s.Recv()
	eventually(t, "ready", r.Ready)
	return r, s, cp
}

// Whatever a control plane sends, the last good configuration serves, and the NACK
// says what is wrong.
func TestBadResponses(t *testing.T) {
	t.Parallel()
	r, s, _ := led(t)
	good, err := anypb.New(xdstest.Cluster("blue"))
	require.NoError(t, err)
	for i, tc := range []struct {
		name, url string
		resources []proto.Message
		says      string
	}{
		{"another type", resource.ClusterType, []proto.Message{xdstest.Routes("r", "x")}, `unexpected resource type: "type.googleapis.com/envoy.config.route.v3.RouteConfiguration"`},
		{"a truncated one", resource.ClusterType, []proto.Message{&anypb.Any{TypeUrl: good.TypeUrl, Value: good.Value[:len(good.Value)-1]}}, "resources[0]: not a envoy.config.cluster.v3.Cluster"},
		{"an empty one", resource.ClusterType, []proto.Message{&anypb.Any{}}, "resources[0]: "},
		{"an empty envelope", resource.ClusterType, []proto.Message{&discoveryv3.Resource{}}, "resources[0]: empty"},
		{"twice the same name", resource.ClusterType, []proto.Message{xdstest.Cluster("blue"), xdstest.Cluster("blue")}, `cluster "blue": stands twice in the response`},
		{"no name", resource.ListenerType, []proto.Message{xdstest.Listener(t, "", "127.0.0.1:1", "r")}, "name: missing"},
		{"an unknown cluster", resource.ListenerType, []proto.Message{xdstest.InlineListener(t, "in", "127.0.0.1:1", xdstest.Routes("i", "nowhere"))}, `"nowhere": unknown cluster`},
		{"no address", resource.EndpointType, []proto.Message{&endpointv3.ClusterLoadAssignment{ClusterName: "blue", Endpoints: []*endpointv3.LocalityLbEndpoints{{LbEndpoints: []*endpointv3.LbEndpoint{{}}}}}}, `endpoints "blue": `},
		{"junk", resource.RouteType, []proto.Message{&anypb.Any{TypeUrl: resource.RouteType, Value: bytes.Repeat([]byte{0xff}, 1<<20)}}, "resources[0]: not a envoy.config.route.v3.RouteConfiguration"},
	} {
		s.Send(xdstest.Response(t, tc.url, fmt.Sprint("bad", i), fmt.Sprint("b", i), tc.resources...))
		for {
			req := s.Recv()
			if req.GetTypeUrl() != tc.url || req.GetResponseNonce() != fmt.Sprint("b", i) {
				continue // a change of what is asked for
			}
			if req.GetErrorDetail() == nil && req.GetVersionInfo() != fmt.Sprint("bad", i) {
				continue // a change, after the NACK of this nonce
			}
			require.Contains(t, req.GetErrorDetail().GetMessage(), tc.says, tc.name)
			break
		}
		require.Equal(t, "10.0.0.1:80", r.plane.endpoint("blue"), tc.name)
	}
}

// A response of a type that nobody knows, or has asked for, ends nothing.
func TestResponsesOfOddTypes(t *testing.T) {
	t.Parallel()
	r, s, _ := led(t)
	for i, url := range []string{"", "type.googleapis.com/no.such.Type", resource.SecretType, resource.ExtensionType, strings.ToUpper(resource.ClusterType)} {
		s.Send(xdstest.Response(t, url, "1", "odd", &anypb.Any{TypeUrl: url, Value: []byte{0xff}}))
		endpoint := fmt.Sprintf("10.0.3.%d:80", i)
		s.Send(xdstest.Response(t, resource.EndpointType, fmt.Sprint("v", i), fmt.Sprint("n", i), xdstest.Endpoints(t, "blue", endpoint)))
		req := s.Recv()
		require.Equal(t, []string{resource.EndpointType, fmt.Sprint("n", i)}, []string{req.GetTypeUrl(), req.GetResponseNonce()}, "what was not asked for is not answered")
		require.Equal(t, endpoint, r.plane.endpoint("blue"))
	}
}

// The nonce that is answered is always the last one, however odd.
func TestLiesAboutNonces(t *testing.T) {
	t.Parallel()
	r, s, _ := led(t)
	for i, nonce := range []string{"n1", "", "n1", "n4", strings.Repeat("x", 1<<16), ""} {
		endpoint := fmt.Sprintf("10.0.1.%d:80", i)
		s.Send(xdstest.Response(t, resource.EndpointType, fmt.Sprint("v", i), nonce, xdstest.Endpoints(t, "blue", endpoint)))
		req := s.Recv()
		require.Equal(t, nonce, req.GetResponseNonce())
		require.Equal(t, fmt.Sprint("v", i), req.GetVersionInfo())
		require.Nil(t, req.GetErrorDetail())
		require.Equal(t, endpoint, r.plane.endpoint("blue"))
	}
}

// Of a flood no more is looked at than is bearable; what it says in the end counts.
func TestFlood(t *testing.T) {
	t.Parallel()
	r, s, _ := led(t)
	go s.Drop()
	began := time.Now()
	const flood = 1200
	for i := range flood {
		s.Send(xdstest.Response(t, resource.EndpointType, fmt.Sprint("f", i), "n", xdstest.Endpoints(t, "blue", fmt.Sprintf("10.0.2.%d:80", i%200))))
	}
	s.Send(xdstest.Response(t, resource.EndpointType, "end", "n", xdstest.Endpoints(t, "blue", "10.0.9.9:80")))
	eventually(t, "the end", func() bool { return r.plane.endpoint("blue") == "10.0.9.9:80" })
	require.Greater(t, time.Since(began), 500*time.Millisecond, "the last 200 are spread")
}

// A control plane that accepts a stream and says nothing is left for another,
// where there is one; what the state file has serves meanwhile.
func TestHang(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "state")
	r, _, _ := led(t, func(o *client.Options) { o.StateFile = file })
	r.stop()

	hung := xdstest.NewRaw(t)
	again := start(t, func(o *client.Options) { o.Targets, o.StateFile = client.Plain(hung.Addr()), file })
	hung.Stream()
	eventually(t, "ready", again.Ready)
	require.Equal(t, "10.0.0.1:80", again.plane.endpoint("blue"))
}

// A response of 100 MB is taken, or refused by name; the sidecar lives.
func TestHugeResponse(t *testing.T) {
	if testing.Short() {
		t.Skip("100 MB")
	}
	r, s, _ := led(t)
	s.Send(xdstest.Response(t, resource.ClusterType, "huge", "h1", &anypb.Any{TypeUrl: resource.ClusterType, Value: make([]byte, 100<<20)}))
	req := s.Recv()
	require.Equal(t, "h1", req.GetResponseNonce())
	require.Contains(t, req.GetErrorDetail().GetMessage(), "resources[0]: not a envoy.config.cluster.v3.Cluster")
	require.Equal(t, "10.0.0.1:80", r.plane.endpoint("blue"))

	big := xdstest.Cluster("blue")
	big.AltStatName = strings.Repeat("x", 100<<20)
	s.Send(xdstest.Response(t, resource.ClusterType, "big", "h2", big))
	req = s.Recv()
	require.Equal(t, []string{"big", "h2"}, []string{req.GetVersionInfo(), req.GetResponseNonce()})
	require.Nil(t, req.GetErrorDetail())

	// More than gRPC takes ends the stream, and nothing else.
	s.Send(xdstest.Response(t, resource.ClusterType, "more", "h3", &anypb.Any{TypeUrl: resource.ClusterType, Value: make([]byte, 300<<20)}))
	require.Eventually(t, func() bool { return s.Over() }, 30*time.Second, time.Millisecond)
	require.Equal(t, "10.0.0.1:80", r.plane.endpoint("blue"))
}
