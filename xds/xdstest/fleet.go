package xdstest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	statuspb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/fridaymesh/friday/xds/resource"
)

// Fleet is many sidecars as a control plane sees them: each has a connection of
// its own, asks for everything as Friday does, keeps what it gets and
// acknowledges it. Every second one speaks delta.
type Fleet struct {
	// Refuse, where not nil, says in which words a sidecar refuses a resource.
	refuse func(node string, m proto.Message) string

	wg     sync.WaitGroup
	cancel context.CancelFunc

	mu     sync.Mutex
	cond   *sync.Cond
	routes map[string]map[string]*routev3.RouteConfiguration // by node and name; accepted
	broken error                                             // the first stream that ended by itself
}

// NewFleet connects n sidecars, node-0 and so on, to the control plane at target.
// refuse, where not nil, says in which words one refuses a resource; empty: it
// does not.
func NewFleet(target string, n int, refuse func(node string, m proto.Message) string) (*Fleet, error) {
	ctx, cancel := context.WithCancel(context.Background())
	f := &Fleet{refuse: refuse, cancel: cancel, routes: map[string]map[string]*routev3.RouteConfiguration{}}
	f.cond = sync.NewCond(&f.mu)
	for i := range n {
		conn, err := grpc.NewClient("passthrough:///"+target, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			f.Close()
			return nil, err
		}
		s := &simulated{fleet: f, node: &corev3.Node{Id: fmt.Sprint("node-", i), Cluster: "fleet"}, held: map[string]map[string]bool{}}
		f.wg.Go(func() {
			defer conn.Close() //nolint:errcheck // nothing can be done about it
			run := s.sotw
			if i%2 == 1 {
				run = s.delta
			}
			if err := run(ctx, discoveryv3.NewAggregatedDiscoveryServiceClient(conn)); ctx.Err() == nil {
				f.mu.Lock()
				f.broken = errors.Join(f.broken, fmt.Errorf("%s: %w", s.node.GetId(), err))
				f.cond.Broadcast()
				f.mu.Unlock()
			}
		})
	}
	return f, nil
}

// Close ends every stream.
func (f *Fleet) Close() {
	f.cancel()
	f.mu.Lock()
	f.cond.Broadcast()
	f.mu.Unlock()
	f.wg.Wait()
}

// Await waits until n sidecars have acknowledged a route table of which that is
// true, or ctx ends, or a stream does.
func (f *Fleet) Await(ctx context.Context, n int, is func(*routev3.RouteConfiguration) bool) error {
	stop := context.AfterFunc(ctx, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.cond.Broadcast()
	})
	defer stop()
	f.mu.Lock()
	defer f.mu.Unlock()
	for {
		count := 0
		for _, tables := range f.routes {
			for _, t := range tables {
				if is(t) {
					count++
					break
				}
			}
		}
		if count >= n {
			return nil
		}
		if err := errors.Join(f.broken, ctx.Err()); err != nil {
			return fmt.Errorf("%d of %d sidecars: %w", count, n, err)
		}
		f.cond.Wait()
	}
}

// simulated is one sidecar of a fleet.
type simulated struct {
	fleet *Fleet
	node  *corev3.Node
	held  map[string]map[string]bool // names by type
}

// take keeps resources; whole: they are all that there are of the type. It
// returns why they are refused, and the names of another type that they ask for.
func (s *simulated) take(typeURL string, list []*anypb.Any, whole bool, removed []string) (words, next string, names []string) {
	var routes []*routev3.RouteConfiguration
	held := map[string]bool{}
	if !whole {
		maps.Copy(held, s.held[typeURL])
	}
	for _, name := range removed {
		delete(held, name)
	}
	for _, a := range list {
		m, err := a.UnmarshalNew()
		if err != nil {
			return err.Error(), "", nil
		}
		if s.fleet.refuse != nil {
			if words := s.fleet.refuse(s.node.GetId(), m); words != "" {
				return words, "", nil
			}
		}
		if named, ok := m.(interface{ GetName() string }); ok {
			held[named.GetName()] = true
		}
		if t, ok := m.(*routev3.RouteConfiguration); ok {
			routes = append(routes, t)
		}
	}
	s.held[typeURL] = held
	if typeURL == resource.RouteType {
		s.fleet.keep(s.node.GetId(), routes, whole, removed)
	}
	next = map[string]string{resource.ClusterType: resource.EndpointType, resource.ListenerType: resource.RouteType}[typeURL]
	return "", next, slices.Sorted(maps.Keys(held))
}

func (f *Fleet) keep(node string, routes []*routev3.RouteConfiguration, whole bool, removed []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if whole || f.routes[node] == nil {
		f.routes[node] = map[string]*routev3.RouteConfiguration{}
	}
	for _, name := range removed {
		delete(f.routes[node], name)
	}
	for _, t := range routes {
		f.routes[node][t.GetName()] = t
	}
	f.cond.Broadcast()
}

func detail(words string) *statuspb.Status {
	if words == "" {
		return nil
	}
	return &statuspb.Status{Code: 3, Message: words}
}

func (s *simulated) sotw(ctx context.Context, c discoveryv3.AggregatedDiscoveryServiceClient) error {
	stream, err := c.StreamAggregatedResources(ctx, grpc.WaitForReady(true))
	if err != nil {
		return err
	}
	node, versions, nonces, asked := s.node, map[string]string{}, map[string]string{}, map[string][]string{}
	send := func(typeURL, words string) error {
		r := &discoveryv3.DiscoveryRequest{
			Node: node, TypeUrl: typeURL, ResourceNames: asked[typeURL], VersionInfo: versions[typeURL], ResponseNonce: nonces[typeURL], ErrorDetail: detail(words),
		}
		node = nil
		return stream.Send(r)
	}
	err = errors.Join(send(resource.ClusterType, ""), send(resource.ListenerType, ""))
	for err == nil {
		var r *discoveryv3.DiscoveryResponse
		if r, err = stream.Recv(); err != nil {
			break
		}
		words, next, names := s.take(r.GetTypeUrl(), r.GetResources(), r.GetTypeUrl() != resource.RouteType, nil)
		nonces[r.GetTypeUrl()] = r.GetNonce()
		if words == "" {
			versions[r.GetTypeUrl()] = r.GetVersionInfo()
		}
		err = send(r.GetTypeUrl(), words)
		if next != "" && words == "" && !slices.Equal(asked[next], names) {
			asked[next] = names
			err = errors.Join(err, send(next, ""))
		}
	}
	return err
}

func (s *simulated) delta(ctx context.Context, c discoveryv3.AggregatedDiscoveryServiceClient) error {
	stream, err := c.DeltaAggregatedResources(ctx, grpc.WaitForReady(true))
	if err != nil {
		return err
	}
	err = errors.Join(
		stream.Send(&discoveryv3.DeltaDiscoveryRequest{Node: s.node, TypeUrl: resource.ClusterType}),
		stream.Send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: resource.ListenerType}),
	)
	asked := map[string]map[string]bool{resource.EndpointType: {}, resource.RouteType: {}}
	for err == nil {
		var r *discoveryv3.DeltaDiscoveryResponse
		if r, err = stream.Recv(); err != nil {
			break
		}
		list := make([]*anypb.Any, 0, len(r.GetResources()))
		for _, res := range r.GetResources() {
			list = append(list, res.GetResource())
		}
		words, next, names := s.take(r.GetTypeUrl(), list, false, r.GetRemovedResources())
		err = stream.Send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: r.GetTypeUrl(), ResponseNonce: r.GetNonce(), ErrorDetail: detail(words)})
		if next == "" || words != "" || err != nil {
			continue
		}
		change := &discoveryv3.DeltaDiscoveryRequest{TypeUrl: next}
		for _, name := range names {
			if !asked[next][name] {
				asked[next][name] = true
				change.ResourceNamesSubscribe = append(change.ResourceNamesSubscribe, name)
			}
		}
		for name := range asked[next] {
			if !slices.Contains(names, name) {
				delete(asked[next], name)
				change.ResourceNamesUnsubscribe = append(change.ResourceNamesUnsubscribe, name)
			}
		}
		if len(change.GetResourceNamesSubscribe())+len(change.GetResourceNamesUnsubscribe()) > 0 {
			err = stream.Send(change)
		}
	}
	return err
}
