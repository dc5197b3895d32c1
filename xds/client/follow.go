package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"go.uber.org/zap"
	statuspb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
)

const (
	// maxResponse bounds one response of the control plane.
	maxResponse = 256 << 20
	// maxWords bounds the text of a NACK.
	maxWords = 16 << 10
	// pingAfter and pingTimeout find out that a silent control plane is gone.
	pingAfter, pingTimeout = 30 * time.Second, 10 * time.Second
)

// backoff is how long to wait before the next attempt after so many failures: 1 s
// × 1.6, at most 30 s, ± 20%. jitter is 0 to 1.
func backoff(failures int, jitter float64) time.Duration {
	seconds := min(math.Pow(1.6, float64(failures-1)), 30)
	return time.Duration(seconds * (0.8 + 0.4*jitter) * float64(time.Second))
}

// afterSuccess is how long to wait after a stream that was of use, so that a
// control plane that restarts does not get all its sidecars at once. jitter is 0
// to 1.
func afterSuccess(jitter float64) time.Duration {
	return time.Duration(jitter * float64(200*time.Millisecond))
}

// follow opens one stream after another.
func (c *Client) follow(ctx context.Context) {
	failures := 0
	for attempt := 0; ctx.Err() == nil; attempt++ {
		target := c.opts.Targets[attempt%len(c.opts.Targets)]
		received, err := c.stream(ctx, target)
		if ctx.Err() != nil {
			return
		}
		jitter := rand.Float64() // #nosec G404 -- spreads load
		wait := afterSuccess(jitter)
		if received {
			failures = 0
		} else {
			failures++
			wait = backoff(failures, jitter)
		}
		c.log.Warn("no stream to the control plane; what is in force goes on",
			zap.String("target", target), zap.Error(err), zap.Duration("retry_in", wait))
		c.wait(ctx, wait)
	}
}

// wait lets time pass without a stream.
func (c *Client) wait(ctx context.Context, d time.Duration) {
	end := time.Now().Add(d)
	for {
		now := time.Now()
		if !now.Before(end) {
			return
		}
		until := end
		if at, ok := c.state.Load().deadline(); ok && at.Before(until) {
			until = at
		}
		timer := time.NewTimer(time.Until(until))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case now = <-timer.C:
			if now.Before(end) {
				c.tick(now)
			}
		}
	}
}

// stream opens one stream and follows it to its end. received says whether it
// was of any use.
func (c *Client) stream(ctx context.Context, target string) (received bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	// A connection for each attempt: the name is resolved anew, and gRPC's own
	// back-off does not add itself to ours.
	conn, err := grpc.NewClient(target, append([]grpc.DialOption{
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: pingAfter, Timeout: pingTimeout}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxResponse)),
		grpc.WithNoProxy(),
	}, c.opts.DialOptions...)...)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	ads, err := discoveryv3.NewAggregatedDiscoveryServiceClient(conn).StreamAggregatedResources(ctx)
	if err != nil {
		return false, err
	}
	s := &stream{c: c, ads: ads, node: c.opts.Node}
	responses := make(chan *discoveryv3.DiscoveryResponse)
	var wg sync.WaitGroup
	defer wg.Wait() // after cancel: defers run last to first, so cancel here too
	defer cancel()
	var broke error
	wg.Go(func() {
		defer close(responses)
		for {
			resp, err := ads.Recv()
			if err != nil {
				broke = err
				return
			}
			select {
			case responses <- resp:
			case <-ctx.Done():
				broke = ctx.Err()
				return
			}
		}
	})
	err = s.run(ctx, target, responses)
	if err == nil || errors.Is(err, io.EOF) {
		// The stream is over, and only Recv says why. It closes responses when it
		// has.
		for range responses { //nolint:revive // thrown away
		}
		err = broke
	}
	return s.received, err
}

// stream is one open stream.
type stream struct {
	c   *Client
	ads discoveryv3.AggregatedDiscoveryService_StreamAggregatedResourcesClient
	// node is sent once.
	node     *corev3.Node
	received bool

	nonces     [kinds]string
	names      [kinds][]string
	subscribed [kinds]bool
}

// run subscribes and answers until the stream ends: nil where responses is
// closed.
func (s *stream) run(ctx context.Context, target string, responses <-chan *discoveryv3.DiscoveryResponse) error {
	up := s.c.metrics.XDSConnected.WithLabelValues(target)
	up.Set(1)
	defer func() {
		up.Set(0)
		s.c.change((*state).disconnected)
	}()
	s.c.change(func(st *state) { st.connected(time.Now()) })
	s.c.tick(time.Now())
	if err := s.subscribe(); err != nil {
		return err
	}
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		wait := time.Hour
		if at, ok := s.c.state.Load().deadline(); ok {
			wait = time.Until(at)
		}
		timer.Reset(wait)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case now := <-timer.C:
			s.c.tick(now)
		case resp, ok := <-responses:
			if !ok {
				return nil
			}
			if !s.received {
				s.received = true
				s.c.log.Info("control plane answers", zap.String("control_plane", resp.GetControlPlane().GetIdentifier()))
			}
			if err := s.answer(resp); err != nil {
				return err
			}
		}
	}
}

// answer takes a response, acknowledges or refuses it, and asks for what follows
// from it.
func (s *stream) answer(resp *discoveryv3.DiscoveryResponse) error {
	k, ok := kindOf(resp.GetTypeUrl())
	if !ok || !s.subscribed[k] {
		s.c.log.Warn("response of a type that was not asked for", zap.String("type_url", resp.GetTypeUrl()))
		return nil
	}
	s.nonces[k] = resp.GetNonce()
	// The names are those of the last request: a control plane need not look at
	// those of a NACK, so a change of them is a request of its own.
	if err := s.send(k, s.c.handle(k, resp, time.Now())); err != nil {
		return err
	}
	return s.subscribe()
}

// subscribe sends the requests whose names have changed, in the order of the
// kinds.
func (s *stream) subscribe() error {
	st := s.c.state.Load()
	for k := range kinds {
		names := st.names(k)
		if s.subscribed[k] && slices.Equal(names, s.names[k]) || !s.subscribed[k] && !k.whole() && len(names) == 0 {
			continue
		}
		s.subscribed[k], s.names[k] = true, names
		if err := s.send(k, nil); err != nil {
			return err
		}
	}
	return nil
}

// send sends a request of k: with the latest nonce and the version that is in
// force, and with refused as the reason where that is not the response's.
func (s *stream) send(k kind, refused error) error {
	req := &discoveryv3.DiscoveryRequest{
		TypeUrl:       k.typeURL(),
		Node:          s.node,
		ResourceNames: s.names[k],
		VersionInfo:   s.c.state.Load().known[k].version,
		ResponseNonce: s.nonces[k],
	}
	if refused != nil {
		req.ErrorDetail = &statuspb.Status{Code: int32(codes.InvalidArgument), Message: cut(refused.Error())}
	}
	s.node = nil
	if err := s.ads.Send(req); err != nil {
		// The reason is what Recv returns; Send knows only that it is over.
		return fmt.Errorf("send: %w", err)
	}
	return nil
}

func cut(words string) string {
	if len(words) > maxWords {
		words = words[:maxWords] + "…"
	}
	return strings.ToValidUTF8(words, "?")
}
