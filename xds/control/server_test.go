package control

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
	statuspb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/fridaymesh/friday/xds/resource"
)

func TestServe(t *testing.T) {
	h := serve(t)
	h.Update(compiled(t, doc("digits", "")))
	c := h.client(t, "n1", "vision")
	versions := c.start("digits")
	require.Eventually(t, func() bool {
		nodes := h.Nodes()
		return len(nodes) == 1 && nodes[0].Types["rds"].Acked == versions["rds"]
	}, 5*time.Second, time.Millisecond)
	n := h.Nodes()[0]
	require.Equal(t, "n1", n.ID)
	require.Equal(t, "vision", n.Cluster)
	require.Equal(t, 1, n.Streams)
	require.Equal(t, []string{"digits"}, n.Policies)
	for name, version := range versions {
		require.Equal(t, TypeStatus{Sent: version, Acked: version}, n.Types[name], name)
	}
	require.InDelta(t, 1, testutil.ToFloat64(h.metrics.Nodes), 0)
	require.InDelta(t, 1, testutil.ToFloat64(h.metrics.Answers.WithLabelValues("cds", "ack")), 0)

	c.close()
	require.Eventually(t, func() bool { return len(h.Nodes()) == 0 }, 5*time.Second, time.Millisecond)
	require.Empty(t, h.cache.GetStatusKeys())
	_, err := h.cache.GetSnapshot(nodeHash{}.ID(&corev3.Node{Id: "n1", Cluster: "vision"}))
	require.Error(t, err)
	require.InDelta(t, 0, testutil.ToFloat64(h.metrics.Streams.WithLabelValues("sotw")), 0)
}

// A change sends what changed, and only that.
func TestUpdate(t *testing.T) {
	h := serve(t)
	h.Update(compiled(t, doc("digits", "")))
	c := h.client(t, "n1", "")
	before := c.start("digits")
	h.Update(compiled(t, doc("digits", ""))) // nothing new
	h.Update(compiled(t, doc("digits", "  timeout: 5s\n")))
	r := c.next(resource.RouteType)
	require.NotEqual(t, before["rds"], r.GetVersionInfo())
	require.Equal(t, "digits", held(t, r))
	c.ack(r, "digits")
	h.Update(compiled(t, strings.Replace(doc("digits", "  timeout: 5s\n"), "8080", "8081", 1)))
	r = c.next(resource.EndpointType)
	require.Equal(t, "digits", held(t, r))
	require.NotEqual(t, before["eds"], r.GetVersionInfo())
}

// Make before break: what is new upstream comes first, what is gone goes last.
func TestUpdateOrder(t *testing.T) {
	h := serve(t)
	h.Update(compiled(t, doc("digits", "")))
	c := h.client(t, "n1", "")
	c.start("digits")
	h.Update(compiled(t, doc("words", "")))

	clusters := c.next(resource.ClusterType)
	require.Equal(t, "digits words", held(t, clusters))
	endpoints := c.next(resource.EndpointType)
	require.Equal(t, "digits", held(t, endpoints), "only what was asked for")
	listeners := c.next(resource.ListenerType)
	require.Equal(t, "words", held(t, listeners))
	routes := c.next(resource.RouteType)
	require.Empty(t, held(t, routes))

	c.ack(clusters)
	clusters = c.next(resource.ClusterType)
	require.Equal(t, "words", held(t, clusters))
	c.ack(endpoints, "digits", "words")
	endpoints = c.next(resource.EndpointType)
	require.Equal(t, "words", held(t, endpoints))
	c.ack(routes, "words")
	routes = c.next(resource.RouteType)
	require.Equal(t, "words", held(t, routes))
}

// What a node has refused is not sent again, neither because of the refusal nor
// because of what it asks for afterwards; the next version is.
func TestRefusal(t *testing.T) {
	h := serve(t)
	h.Update(compiled(t, doc("digits", "")))
	c := h.client(t, "n1", "")
	before := c.start("digits")
	h.Update(compiled(t, doc("digits", "")+"---\n"+doc("words", "  port: 1\n")))
	clusters := c.next(resource.ClusterType)
	require.Equal(t, "digits words", held(t, clusters))
	endpoints := c.next(resource.EndpointType)
	c.nack(clusters, before["cds"], `cluster "words": no`)
	c.ack(endpoints, "digits")
	listeners := c.next(resource.ListenerType)
	c.nack(listeners, before["lds"], `listener "words": no`)
	c.ack(c.next(resource.RouteType), "digits")
	require.Eventually(t, func() bool { return h.Nodes()[0].Types["rds"].Acked != before["rds"] }, 5*time.Second, time.Millisecond)
	require.Equal(t, TypeStatus{
		Sent: clusters.GetVersionInfo(), Acked: before["cds"],
		Rejected: clusters.GetVersionInfo(), Error: `cluster "words": no`,
	}, h.Nodes()[0].Types["cds"])
	require.Len(t, h.logs.FilterMessage("node refused a configuration").All(), 2)
	require.InDelta(t, 1, testutil.ToFloat64(h.metrics.Answers.WithLabelValues("cds", "nack")), 0)

	// It goes on hearing of what it has accepted.
	h.Update(compiled(t, strings.Replace(doc("digits", ""), "8080", "8081", 1)+"---\n"+doc("words", "  port: 1\n")))
	endpoints = c.next(resource.EndpointType)
	require.Equal(t, "digits", held(t, endpoints))
	c.ack(endpoints, "digits")
	// And of the correction.
	h.Update(compiled(t, strings.Replace(doc("digits", ""), "8080", "8081", 1)))
	listeners = c.next(resource.ListenerType)
	require.Equal(t, "digits", held(t, listeners))
	c.next(resource.RouteType)
	clusters = c.next(resource.ClusterType)
	require.Equal(t, "digits", held(t, clusters))
	c.ack(clusters)
	require.Eventually(t, func() bool {
		return h.Nodes()[0].Types["cds"] == TypeStatus{Sent: clusters.GetVersionInfo(), Acked: clusters.GetVersionInfo()}
	}, 5*time.Second, time.Millisecond)
}

// What a node has refused it may take later: then it is not behind any more. A
// change of the names it asks for is no such word.
func TestRefusalTakenBack(t *testing.T) {
	h := serve(t)
	h.Update(compiled(t, doc("digits", "")))
	c := h.client(t, "n1", "")
	before := c.start("digits")
	h.Update(compiled(t, doc("digits", "  port: 1\n")))
	listeners := c.next(resource.ListenerType)
	routes := c.next(resource.RouteType)
	c.ack(routes, "digits")
	c.nack(listeners, before["lds"], "address already in use")
	lds := func() TypeStatus { return h.Nodes()[0].Types["lds"] }
	version := listeners.GetVersionInfo()
	refused := TypeStatus{Sent: version, Acked: before["lds"], Rejected: version, Error: "address already in use"}
	require.Eventually(t, func() bool { return lds() == refused }, 5*time.Second, time.Millisecond)
	c.send(&discoveryv3.DiscoveryRequest{
		TypeUrl: resource.ListenerType, VersionInfo: before["lds"], ResponseNonce: listeners.GetNonce(), ResourceNames: []string{"*"},
	})
	c.subscribe(resource.EndpointType, "digits") // answered after that was seen
	c.next(resource.EndpointType)
	require.Equal(t, refused, lds())
	c.ack(listeners)
	require.Eventually(t, func() bool { return lds() == TypeStatus{Sent: version, Acked: version} }, 5*time.Second, time.Millisecond)
}

func TestSelectors(t *testing.T) {
	h := serve(t)
	h.Update(compiled(t, strings.Join([]string{
		doc("digits", "  selector: {node_cluster: vision}\n"),
		doc("other", "  selector: {node_id: n2}\n  port: 1\n"),
		doc("words", "  selector: {node_cluster: text, node_id: n3}\n"),
	}, "---\n")))
	h.client(t, "n1", "vision").start("digits")
	h.client(t, "n2", "vision").start("digits", "other")
	h.client(t, "n3", "text").start("words")
	nobody := h.client(t, "n1", "text")
	nobody.start() // it is told that there is nothing
	require.Len(t, h.Nodes(), 4)
	// Then there is.
	h.Update(compiled(t, doc("words", "")))
	require.Equal(t, "words", held(t, nobody.next(resource.ClusterType)))
	require.Equal(t, "words", held(t, nobody.next(resource.ListenerType)))
}

func TestTwoStreamsOfOneNode(t *testing.T) {
	h := serve(t)
	h.Update(compiled(t, doc("digits", "")))
	a, b := h.client(t, "n1", ""), h.client(t, "n1", "")
	a.start("digits")
	b.start("digits")
	require.Equal(t, 2, h.Nodes()[0].Streams)
	a.close()
	require.Eventually(t, func() bool { return h.Nodes()[0].Streams == 1 }, 5*time.Second, time.Millisecond)
	h.Update(compiled(t, doc("digits", "  timeout: 1s\n")))
	require.Equal(t, "digits", held(t, b.next(resource.RouteType)))
}

func TestStreamRefusals(t *testing.T) {
	h := serve(t)
	c := h.client(t, "", "")
	c.subscribe(resource.ClusterType)
	_, err := c.stream.Recv()
	require.Equal(t, codes.InvalidArgument, status.Code(err))
	require.ErrorContains(t, err, "node.id is missing")

	c = h.client(t, "n1", "a")
	c.subscribe(resource.ClusterType)
	c.next(resource.ClusterType)
	c.node = &corev3.Node{Id: "n2", Cluster: "a"}
	c.subscribe(resource.ListenerType)
	_, err = c.stream.Recv()
	require.Equal(t, codes.InvalidArgument, status.Code(err))
	require.ErrorContains(t, err, `node "n2" of cluster "a": the stream is that of node "n1"`)
}

func TestDelta(t *testing.T) {
	h := serve(t)
	h.Update(compiled(t, doc("digits", "")))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	stream, err := discoveryv3.NewAggregatedDiscoveryServiceClient(h.conn).DeltaAggregatedResources(ctx)
	require.NoError(t, err)
	send := func(r *discoveryv3.DeltaDiscoveryRequest) { require.NoError(t, stream.Send(r)) }
	receive := func(typeURL string) (*discoveryv3.DeltaDiscoveryResponse, string) {
		r, err := stream.Recv()
		require.NoError(t, err)
		require.Equal(t, typeURL, r.GetTypeUrl())
		var names []string
		for _, res := range r.GetResources() {
			names = append(names, res.GetName())
		}
		return r, strings.Join(names, " ")
	}
	send(&discoveryv3.DeltaDiscoveryRequest{Node: &corev3.Node{Id: "n1"}, TypeUrl: resource.ClusterType})
	r, names := receive(resource.ClusterType)
	require.Equal(t, "digits", names)
	send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: resource.ClusterType, ResponseNonce: r.GetNonce()})
	send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: resource.EndpointType, ResourceNamesSubscribe: []string{"digits"}})
	r, names = receive(resource.EndpointType)
	require.Equal(t, "digits", names)
	send(&discoveryv3.DeltaDiscoveryRequest{
		TypeUrl: resource.EndpointType, ResponseNonce: r.GetNonce(), ErrorDetail: &statuspb.Status{Message: "no"},
	})
	require.Eventually(t, func() bool {
		nodes := h.Nodes()
		return len(nodes) == 1 && nodes[0].Types["eds"].Error == "no" && nodes[0].Types["cds"].Acked != ""
	}, 5*time.Second, time.Millisecond)
	require.InDelta(t, 1, testutil.ToFloat64(h.metrics.Streams.WithLabelValues("delta")), 0)

	h.Update(compiled(t, doc("digits", "")+"---\n"+doc("words", "  port: 1\n")))
	r, names = receive(resource.ClusterType)
	require.Equal(t, "words", names)
	send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: resource.ClusterType, ResponseNonce: r.GetNonce()})
	h.Update(nil)
	removed := map[string][]string{}
	for range 2 { // of either type first
		r, err := stream.Recv()
		require.NoError(t, err)
		require.Empty(t, r.GetResources())
		removed[shortType(r.GetTypeUrl())] = slices.Sorted(slices.Values(r.GetRemovedResources()))
	}
	require.Equal(t, map[string][]string{"cds": {"digits", "words"}, "eds": {"digits"}}, removed)
}

// The end of the server ends the streams, and quickly.
func TestStop(t *testing.T) {
	h := serve(t)
	h.Update(compiled(t, doc("digits", "")))
	c := h.client(t, "n1", "")
	c.start("digits")
	began := time.Now()
	require.NoError(t, h.stop())
	require.Less(t, time.Since(began), stopping)
	_, err := c.stream.Recv()
	require.Error(t, err)
	require.Empty(t, h.Nodes())
}

// Nodes come and go while policies change; whoever is there ends with the last.
func TestChurn(t *testing.T) {
	h := serve(t)
	variants := [][]*Compiled{
		compiled(t, doc("digits", "")),
		compiled(t, doc("digits", "  timeout: 1s\n")+"---\n"+doc("words", "  port: 1\n")),
		compiled(t, doc("words", "  port: 1\n")),
	}
	last := version(whole(variants[0])[clusters])
	var updates, nodes sync.WaitGroup
	stop := make(chan struct{})
	updates.Go(func() {
		for i := 0; ; i++ {
			h.Update(variants[i%len(variants)])
			select {
			case <-stop:
				h.Update(variants[0])
				return
			default:
			}
		}
	})
	for i := range 16 {
		nodes.Go(func() {
			for range 5 {
				c := h.client(t, fmt.Sprint("n", i%8), "")
				c.subscribe(resource.ClusterType)
				c.subscribe(resource.ListenerType)
				for range 4 {
					r, err := c.stream.Recv()
					if err != nil {
						t.Error(err)
						return
					}
					c.ack(r)
				}
				c.close()
			}
		})
	}
	nodes.Wait()
	c := h.client(t, "n0", "")
	c.subscribe(resource.ClusterType)
	close(stop)
	updates.Wait()
	for {
		r := c.next(resource.ClusterType)
		if r.GetVersionInfo() == last {
			require.Equal(t, "digits", held(t, r))
			break
		}
		c.ack(r)
	}
	c.close()
	require.Eventually(t, func() bool { return len(h.Nodes()) == 0 }, patient, time.Millisecond)
	require.Empty(t, h.cache.GetStatusKeys())
}
