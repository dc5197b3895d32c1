package client

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"go.uber.org/zap"
	statuspb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
)

const (
	// maxWords bounds the text of a NACK.
	maxWords = 16 << 10
	// maxHold bounds how long a NACK is held back.
	maxHold = 5 * time.Second
)

// stream is one open stream. One goroutine runs it.
type stream struct {
	c   *Client
	ads discoveryv3.AggregatedDiscoveryService_StreamAggregatedResourcesClient
	// node is sent once.
	node     *corev3.Node
	received bool
	subs     [kinds]subscription
}

// subscription is one kind's part of a stream.
type subscription struct {
	open  bool
	names []string // as last sent
	nonce string   // of the last response

	// refused is the version of the last response, where that was refused, and
	// times how often in a row.
	//
	// A control plane may answer a NACK with the same response at once, and
	// go-control-plane does: the version that a NACK names is not the newest. The
	// two would keep each other busy for ever. So the second and later NACKs of
	// one version are held back, and go out at heldUntil.
	refused   string
	times     int
	heldUntil time.Time
	held      error
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
	s.c.retry = retry{} // the control plane sends again what is not in force
	s.c.change(func(st *state) { st.connected(time.Now()) })
	s.c.tick(time.Now())
	if err := s.subscribe(); err != nil {
		return err
	}
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		timer.Reset(s.wait())
		select {
		case <-ctx.Done():
			return ctx.Err()
		case now := <-timer.C:
			for _, k := range s.c.tick(now) {
				s.subs[k].times = 0
				if err := s.send(k, nil); err != nil {
					return err
				}
			}
			if err := s.release(now); err != nil {
				return err
			}
			if err := s.subscribe(); err != nil {
				return err
			}
		case resp, ok := <-responses:
			if !ok {
				return nil
			}
			if !s.received {
				s.received = true
				s.c.log.Info("control plane answers", zap.String("target", target), zap.String("control_plane", resp.GetControlPlane().GetIdentifier()))
			}
			if err := s.answer(resp); err != nil {
				return err
			}
		}
	}
}

// wait is the time until there is something to do without a response.
func (s *stream) wait() time.Duration {
	wait := time.Hour
	if at, ok := s.c.deadline(); ok {
		wait = min(wait, time.Until(at))
	}
	for k := range s.subs {
		if s.subs[k].held != nil {
			wait = min(wait, time.Until(s.subs[k].heldUntil))
		}
	}
	return max(wait, 0)
}

// answer takes a response, acknowledges or refuses it, and asks for what follows
// from it.
func (s *stream) answer(resp *discoveryv3.DiscoveryResponse) error {
	k, ok := kindOf(resp.GetTypeUrl())
	if !ok || !s.subs[k].open {
		s.c.log.Warn("response of a type that was not asked for", zap.String("type_url", resp.GetTypeUrl()))
		return nil
	}
	now := time.Now()
	refused := s.c.handle(k, resp, now)
	sub := &s.subs[k]
	sub.nonce, sub.held = resp.GetNonce(), nil
	again := sub.times > 0 && sub.refused == resp.GetVersionInfo()
	switch {
	case refused == nil:
		sub.times = 0
	case again:
		sub.times++
		sub.held = refused
		sub.heldUntil = now.Add(min(backoff(sub.times-1, .5), maxHold))
		return s.subscribe()
	default:
		sub.refused, sub.times = resp.GetVersionInfo(), 1
	}
	if err := s.send(k, refused); err != nil {
		return err
	}
	return s.subscribe()
}

// release sends the NACKs that have been held back for long enough.
func (s *stream) release(now time.Time) error {
	for k := range kinds {
		if sub := &s.subs[k]; sub.held != nil && !now.Before(sub.heldUntil) {
			if err := s.send(k, sub.held); err != nil {
				return err
			}
		}
	}
	return nil
}

// subscribe sends the requests whose names have changed, in the order of the
// kinds. A NACK carries the names of the last request, since a control plane
// need not look at those of a NACK; so a change of them is a request of its own,
// and a NACK that is still held goes before it.
func (s *stream) subscribe() error {
	st := s.c.state.Load()
	for k := range kinds {
		sub, names := &s.subs[k], st.names(k)
		if sub.open && slices.Equal(names, sub.names) || !sub.open && !k.whole() && len(names) == 0 {
			continue
		}
		if sub.held != nil {
			if err := s.send(k, sub.held); err != nil {
				return err
			}
		}
		sub.open, sub.names = true, names
		if err := s.send(k, nil); err != nil {
			return err
		}
	}
	return nil
}

// send sends a request of k: with the latest nonce and the version that is in
// force, and with refused as the reason where that is not the response's.
func (s *stream) send(k kind, refused error) error {
	sub := &s.subs[k]
	sub.held = nil
	req := &discoveryv3.DiscoveryRequest{
		TypeUrl:       k.typeURL(),
		Node:          s.node,
		ResourceNames: sub.names,
		VersionInfo:   s.c.state.Load().known[k].version,
		ResponseNonce: sub.nonce,
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
