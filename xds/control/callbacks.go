package control

import (
	"context"
	"net/netip"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	serverv3 "github.com/envoyproxy/go-control-plane/pkg/server/v3"
	"google.golang.org/grpc/peer"
)

// The protocols, as the metric's label.
const (
	protocolSotW  = "sotw"
	protocolDelta = "delta"
)

// callbacks are how the ADS server tells of its streams. They are called from
// the streams' goroutines, and a request's before it is answered.
func (s *Server) callbacks() serverv3.Callbacks {
	state := func(n int64) streamID { return streamID{protocolSotW, n} }
	delta := func(n int64) streamID { return streamID{protocolDelta, n} }
	return serverv3.CallbackFuncs{
		StreamOpenFunc:      func(ctx context.Context, n int64, _ string) error { return s.opened(ctx, state(n)) },
		DeltaStreamOpenFunc: func(ctx context.Context, n int64, _ string) error { return s.opened(ctx, delta(n)) },
		StreamRequestFunc: func(n int64, r *discoveryv3.DiscoveryRequest) error {
			seen, err := s.request(state(n), request{
				node: r.GetNode(), typeURL: r.GetTypeUrl(), nonce: r.GetResponseNonce(), version: r.GetVersionInfo(), refusal: r.GetErrorDetail(),
			})
			if seen != "" {
				// A refusal names the version before. The cache would take it for a
				// node that is behind, and send the refused version again and again.
				r.VersionInfo = seen
			}
			return err
		},
		StreamResponseFunc: func(_ context.Context, n int64, _ *discoveryv3.DiscoveryRequest, r *discoveryv3.DiscoveryResponse) {
			s.sent(state(n), r.GetTypeUrl(), r.GetNonce(), r.GetVersionInfo())
		},
		StreamClosedFunc: func(n int64, _ *corev3.Node) { s.detach(state(n)) },

		StreamDeltaRequestFunc: func(n int64, r *discoveryv3.DeltaDiscoveryRequest) error {
			_, err := s.request(delta(n), request{node: r.GetNode(), typeURL: r.GetTypeUrl(), nonce: r.GetResponseNonce(), refusal: r.GetErrorDetail()})
			return err
		},
		StreamDeltaResponseFunc: func(n int64, _ *discoveryv3.DeltaDiscoveryRequest, r *discoveryv3.DeltaDiscoveryResponse) {
			s.sent(delta(n), r.GetTypeUrl(), r.GetNonce(), r.GetSystemVersionInfo())
		},
		DeltaStreamClosedFunc: func(n int64, _ *corev3.Node) { s.detach(delta(n)) },
	}
}

// opened notes who has opened a stream.
func (s *Server) opened(ctx context.Context, id streamID) error {
	who := caller{guest: guestOf(ctx)}
	if from, ok := peer.FromContext(ctx); ok {
		if at, err := netip.ParseAddrPort(from.Addr.String()); err == nil {
			who.address = at.Addr().Unmap().WithZone("").String()
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.peers[id] = who
	return nil
}
