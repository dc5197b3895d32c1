package control

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	statuspb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/fridaymesh/friday/xds/resource"
)

// harness is a Server on a loopback socket.
type harness struct {
	*Server
	address string
	conn    *grpc.ClientConn
	logs    *observer.ObservedLogs
	stop    func() error
}

func serve(t *testing.T) *harness {
	t.Helper()
	return serveOver(t, nil, insecure.NewCredentials())
}

// serveOver is serve with transports.
func serveOver(t *testing.T, transport *Transport, creds credentials.TransportCredentials) *harness {
	t.Helper()
	return serveGated(t, nil, transport, creds)
}

// serveGated is serveOver where not everybody is let in.
func serveGated(t *testing.T, gate *Gate, transport *Transport, creds credentials.TransportCredentials) *harness {
	t.Helper()
	core, logs := observer.New(zap.InfoLevel)
	h := &harness{Server: NewServer(gate, zap.New(core), NewMetrics(prometheus.NewRegistry())), logs: logs}
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	h.address = l.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- h.Serve(ctx, l, transport) }()
	stopped := false
	h.stop = func() error {
		stopped = true
		cancel()
		return <-done
	}
	h.conn, err = grpc.NewClient("passthrough:///"+l.Addr().String(), grpc.WithTransportCredentials(creds))
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, h.conn.Close())
		if !stopped {
			require.NoError(t, h.stop())
		}
	})
	return h
}

// client is a raw ADS stream of a node, state of the world.
type client struct {
	t      *testing.T
	stream grpc.BidiStreamingClient[discoveryv3.DiscoveryRequest, discoveryv3.DiscoveryResponse]
	node   *corev3.Node // of the next request
	close  func()
}

func (h *harness) client(t *testing.T, id, cluster string) *client {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	stream, err := discoveryv3.NewAggregatedDiscoveryServiceClient(h.conn).StreamAggregatedResources(ctx)
	require.NoError(t, err)
	t.Cleanup(cancel)
	return &client{t: t, stream: stream, node: &corev3.Node{Id: id, Cluster: cluster}, close: cancel}
}

func (c *client) send(r *discoveryv3.DiscoveryRequest) {
	c.t.Helper()
	r.Node, c.node = c.node, nil
	require.NoError(c.t, c.stream.Send(r))
}

func (c *client) subscribe(typeURL string, names ...string) {
	c.t.Helper()
	c.send(&discoveryv3.DiscoveryRequest{TypeUrl: typeURL, ResourceNames: names})
}

// next is the next response, which must be of that type.
func (c *client) next(typeURL string) *discoveryv3.DiscoveryResponse {
	c.t.Helper()
	r, err := c.stream.Recv()
	require.NoError(c.t, err)
	require.Equal(c.t, typeURL, r.GetTypeUrl())
	return r
}

func (c *client) ack(r *discoveryv3.DiscoveryResponse, names ...string) {
	c.t.Helper()
	c.send(&discoveryv3.DiscoveryRequest{
		TypeUrl: r.GetTypeUrl(), VersionInfo: r.GetVersionInfo(), ResponseNonce: r.GetNonce(), ResourceNames: names,
	})
}

func (c *client) nack(r *discoveryv3.DiscoveryResponse, version, words string, names ...string) {
	c.t.Helper()
	c.send(&discoveryv3.DiscoveryRequest{
		TypeUrl: r.GetTypeUrl(), VersionInfo: version, ResponseNonce: r.GetNonce(), ResourceNames: names,
		ErrorDetail: &statuspb.Status{Code: int32(codes.InvalidArgument), Message: words},
	})
}

// held are the sorted names of a response's resources, by the sidecar's parser.
func held(t *testing.T, r *discoveryv3.DiscoveryResponse) string {
	t.Helper()
	parser := &resource.Parser{Registry: compiler().parser.Registry}
	found := map[string]bool{}
	for _, a := range r.GetResources() {
		name, _, err := parser.ParseAny(r.GetTypeUrl(), a)
		require.NoError(t, err)
		found[name] = true
	}
	var list []string
	for _, name := range []string{"digits", "other", "words"} {
		if found[name] {
			list = append(list, name)
		}
	}
	require.Len(t, list, len(r.GetResources()))
	return strings.Join(list, " ")
}

// start asks for everything, as a sidecar does, and acknowledges it.
func (c *client) start(names ...string) (versions map[string]string) {
	c.t.Helper()
	versions = map[string]string{}
	for _, typeURL := range []string{resource.ClusterType, resource.EndpointType, resource.ListenerType, resource.RouteType} {
		var asked []string
		if typeURL == resource.EndpointType || typeURL == resource.RouteType {
			if asked = names; len(names) == 0 {
				continue
			}
		}
		c.subscribe(typeURL, asked...)
		r := c.next(typeURL)
		require.Equal(c.t, strings.Join(names, " "), held(c.t, r))
		require.NotEmpty(c.t, r.GetVersionInfo())
		c.ack(r, asked...)
		versions[shortType(typeURL)] = r.GetVersionInfo()
	}
	return versions
}

// fields is node metadata, as JSON.
func fields(t *testing.T, text string) *structpb.Struct {
	t.Helper()
	out := &structpb.Struct{}
	require.NoError(t, out.UnmarshalJSON([]byte(text)))
	return out
}
