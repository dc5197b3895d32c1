package xdstest

import (
	"testing"
	"time"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

// patience is how long a Raw waits for the sidecar.
const patience = 10 * time.Second

// Raw is a control plane that is played by the test. Addr, Start and Stop are
// those of its server.
type Raw struct {
	*server
	streams chan *Stream
}

// NewRaw starts one.
func NewRaw(t testing.TB) *Raw {
	t.Helper()
	r := &Raw{streams: make(chan *Stream, 16)}
	r.server = newServer(t, &rawADS{streams: r.streams})
	return r
}

type rawADS struct {
	discoveryv3.UnimplementedAggregatedDiscoveryServiceServer
	streams chan *Stream
}

var _ discoveryv3.AggregatedDiscoveryServiceServer = (*rawADS)(nil)

func (a *rawADS) StreamAggregatedResources(ads discoveryv3.AggregatedDiscoveryService_StreamAggregatedResourcesServer) error {
	s := &Stream{ads: ads, requests: make(chan *discoveryv3.DiscoveryRequest, 256), end: make(chan error, 1)}
	a.streams <- s
	broke := make(chan error, 1)
	go func() {
		defer close(s.requests)
		for {
			req, err := ads.Recv()
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
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case s := <-r.streams:
		s.t = r.t
		return s
	case <-timer.C:
		require.FailNow(r.t, "no stream has been opened")
		return nil
	}
}

// Stream is one stream of a sidecar.
type Stream struct {
	t        testing.TB
	ads      discoveryv3.AggregatedDiscoveryService_StreamAggregatedResourcesServer
	requests chan *discoveryv3.DiscoveryRequest
	end      chan error
}

// Recv waits for the next request.
func (s *Stream) Recv() *discoveryv3.DiscoveryRequest {
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
func (s *Stream) Quiet(d time.Duration) bool {
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
func (s *Stream) Send(resp *discoveryv3.DiscoveryResponse) {
	s.t.Helper()
	require.NoError(s.t, s.ads.Send(resp))
}

// Break ends the stream with an error.
func (s *Stream) Break() { s.end <- status.Error(codes.Unavailable, "broken by the test") }

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
