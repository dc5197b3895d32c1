package batch

import (
	"context"
	"errors"
	"io"
	"sync/atomic"
	"time"

	"github.com/fridaymesh/friday/proxy"
)

// serve sees e through, from the queue to its answer; force says that the queue
// may not refuse it.
func (g *group) serve(ctx context.Context, e *entry, force bool) (*proxy.Response, error) {
	if err := g.enter(e, force); err != nil {
		return nil, err
	}
	if !e.wait(ctx) {
		g.leave(ctx, e)
		return nil, proxy.AsError(ctx, context.Cause(ctx))
	}
	return g.finish(ctx, e)
}

// finish is what comes after ready has delivered. It gives e back.
func (g *group) finish(ctx context.Context, e *entry) (*proxy.Response, error) {
	defer g.state.free(e)
	g.model.wait.Observe(e.queued.Seconds())
	if e.place == granted {
		return sendAlone(ctx, e)
	}
	e.trace()
	return e.out.response()
}

// sendAlone sends a request as its caller sent it, in its caller's goroutine. The
// slot is held until the answer has been read, or given up.
func sendAlone(ctx context.Context, e *entry) (*proxy.Response, error) {
	req, s := e.req, e.slot
	req.Trace.BatchSize, req.Trace.Queued = s.items, e.queued
	if s.endpoint != nil {
		req.Endpoint = s.endpoint
	}
	handedOn := false
	defer func() {
		if !handedOn { // an error or a panic
			s.release(s.items, 0)
		}
	}()
	resp, err := e.next.Handle(ctx, req)
	if err != nil {
		return nil, err
	}
	handedOn = true
	good := resp.Header.StatusCode() < 300
	if whole(resp.Body) {
		s.release(s.items, s.took(good))
	} else {
		resp.Body = &slotBody{Body: resp.Body, slot: s, good: good}
	}
	return resp, nil
}

func (s *slot) took(good bool) time.Duration {
	if !good {
		return 0
	}
	return time.Since(s.start)
}

// whole says that a body is there already.
func whole(b proxy.Body) bool {
	_, ok := b.(*proxy.BytesBody)
	return ok || b == proxy.NoBody
}

// slotBody releases a slot at the end of an answer.
type slotBody struct {
	proxy.Body

	slot     slot
	good     bool
	released atomic.Bool
}

var _ proxy.Body = (*slotBody)(nil)

func (b *slotBody) Read(p []byte) (int, error) {
	n, err := b.Body.Read(p)
	if err != nil {
		b.release(b.good && errors.Is(err, io.EOF))
	}
	return n, err
}

func (b *slotBody) Close() error {
	err := b.Body.Close()
	b.release(false)
	return err
}

// Ready is how many bytes Read would return without waiting, where that is known.
func (b *slotBody) Ready() int {
	if r, ok := b.Body.(interface{ Ready() int }); ok {
		return r.Ready()
	}
	return 0
}

func (b *slotBody) release(good bool) {
	if b.released.CompareAndSwap(false, true) {
		b.slot.release(b.slot.items, b.slot.took(good))
	}
}
