package xdstest

import (
	"sync"
	"testing"
	"time"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/envoyproxy/go-control-plane/pkg/cache/v3"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

// patience is how long a Raw waits for the sidecar.
const patience = 2 * time.Minute // 100 MB under the race detector, beside other tests, take their time

// Raw is a control plane that is played by the test. Addr, Start and Stop are
// those of its server.
type Raw struct {
	*server
	streams chan *Stream
	deltas  chan *Delta
}

// NewRaw starts one.
func NewRaw(t testing.TB) *Raw {
	t.Helper()
	r := &Raw{streams: make(chan *Stream, 16), deltas: make(chan *Delta, 16)}
	r.server = newServer(t, "tcp", "127.0.0.1:0", &rawADS{streams: r.streams, deltas: r.deltas}, nil)
	return r
}

type rawADS struct {
	discoveryv3.UnimplementedAggregatedDiscoveryServiceServer
	streams chan *Stream
	deltas  chan *Delta
}

var _ discoveryv3.AggregatedDiscoveryServiceServer = (*rawADS)(nil)

func (a *rawADS) StreamAggregatedResources(ads discoveryv3.AggregatedDiscoveryService_StreamAggregatedResourcesServer) error {
	return play(ads, a.streams)
}

func (a *rawADS) DeltaAggregatedResources(ads discoveryv3.AggregatedDiscoveryService_DeltaAggregatedResourcesServer) error {
	return play(ads, a.deltas)
}

// play serves a stream until the test or the sidecar ends it.
func play[Q, S any](rpc grpc.BidiStreamingServer[Q, S], streams chan<- *Played[Q, S]) error {
	s := &Played[Q, S]{rpc: rpc, requests: make(chan *Q, 4096), end: make(chan error, 1)}
	streams <- s
	broke := make(chan error, 1)
	go func() {
		defer close(s.requests)
		for {
			req, err := rpc.Recv()
			if err != nil {
				broke <- err
				return
			}
			s.requests <- req
		}
	}()
	select {
	case err := <-s.end:
		return err
	case err := <-broke:
		return err
	}
}

// Stream waits for the next stream.
func (r *Raw) Stream() *Stream {
	r.t.Helper()
	return next(r.t, r.streams)
}

// Delta waits for the next stream of the incremental variant.
func (r *Raw) Delta() *Delta {
	r.t.Helper()
	return next(r.t, r.deltas)
}

func next[Q, S any](t testing.TB, streams <-chan *Played[Q, S]) *Played[Q, S] {
	t.Helper()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case s := <-streams:
		s.t = t
		return s
	case <-timer.C:
		require.FailNow(t, "no stream has been opened")
		return nil
	}
}

// Stream is one stream of a sidecar, Delta one of the incremental variant.
type (
	Stream = Played[discoveryv3.DiscoveryRequest, discoveryv3.DiscoveryResponse]
	Delta  = Played[discoveryv3.DeltaDiscoveryRequest, discoveryv3.DeltaDiscoveryResponse]
)

// Played is a stream that the test plays one side of.
type Played[Q, S any] struct {
	t        testing.TB
	rpc      grpc.BidiStreamingServer[Q, S]
	requests chan *Q
	seen     sync.Map // type URLs that Drop has seen
	end      chan error
}

// Recv waits for the next request.
func (s *Played[Q, S]) Recv() *Q {
	s.t.Helper()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case req, ok := <-s.requests:
		require.True(s.t, ok, "the stream is over")
		return req
	case <-timer.C:
		require.FailNow(s.t, "no request has come")
		return nil
	}
}

// Quiet says that no request has come for d.
func (s *Played[Q, S]) Quiet(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-s.requests:
		return false
	case <-timer.C:
		return true
	}
}

// Send sends a response.
func (s *Played[Q, S]) Send(resp *S) {
	s.t.Helper()
	require.NoError(s.t, s.rpc.Send(resp))
}

// Break ends the stream with an error.
func (s *Played[Q, S]) Break() { s.end <- status.Error(codes.Unavailable, "broken by the test") }

// Changes makes a response of the incremental variant.
func Changes(t testing.TB, typeURL, nonce string, removed []string, resources ...proto.Message) *discoveryv3.DeltaDiscoveryResponse {
	t.Helper()
	resp := &discoveryv3.DeltaDiscoveryResponse{TypeUrl: typeURL, SystemVersionInfo: "v" + nonce, Nonce: nonce, RemovedResources: removed}
	for _, m := range resources {
		if r, ok := m.(*discoveryv3.Resource); ok {
			resp.Resources = append(resp.Resources, r)
			continue
		}
		a, err := anypb.New(m)
		require.NoError(t, err)
		resp.Resources = append(resp.Resources, &discoveryv3.Resource{Name: cache.GetResourceName(m), Version: nonce, Resource: a})
	}
	return resp
}

// Response makes a response.
func Response(t testing.TB, typeURL, version, nonce string, resources ...proto.Message) *discoveryv3.DiscoveryResponse {
	t.Helper()
	resp := &discoveryv3.DiscoveryResponse{TypeUrl: typeURL, VersionInfo: version, Nonce: nonce}
	for _, m := range resources {
		if a, ok := m.(*anypb.Any); ok {
			resp.Resources = append(resp.Resources, a)
			continue
		}
		a, err := anypb.New(m)
		require.NoError(t, err)
		resp.Resources = append(resp.Resources, a)
	}
	return resp
}

// Await waits until the sidecar has asked for a type, as Drop has seen it.
func (s *Played[Q, S]) Await(typeURL string) {
	s.t.Helper()
	require.Eventually(s.t, func() bool {
		_, asked := s.seen.Load(typeURL)
		return asked
	}, patience, 200*time.Microsecond)
}

// Drop receives requests until the stream is over, for Await.
func (s *Played[Q, S]) Drop() {
	for req := range s.requests {
		if r, ok := any(req).(interface{ GetTypeUrl() string }); ok {
			s.seen.Store(r.GetTypeUrl(), true)
		}
	}
}

// Over says whether the sidecar has ended the stream.
func (s *Played[Q, S]) Over() bool {
	select {
	case _, ok := <-s.requests:
		return !ok
	default:
		return false
	}
}
