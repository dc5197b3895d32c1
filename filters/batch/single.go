package batch

import (
	"context"

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
	return e.response(&e.out)
}

// sendAlone sends a request as its caller sent it, in its caller's goroutine. The
// slot is held until the server has done its part, whatever the caller's pace: an
// answer that is short is read here, and of any other the slot is held until its
// end, or until its caller has left it unread for a while.
func sendAlone(ctx context.Context, e *entry) (*proxy.Response, error) {
	req, s := e.req, e.slot
	if req.Span.Sampled() {
		e.traceQueue()
	}
	req.Trace.BatchSize, req.Trace.Queued, req.Trace.Expected = e.Items, e.queued, e.expected
	if s.endpoint != nil {
		req.Endpoint = s.endpoint
	}
	handedOn := false
	defer func() {
		if !handedOn { // an error or a panic
			s.release(1, false)
		}
	}()
	resp, err := e.next.Handle(ctx, req)
	if err != nil {
		return nil, err
	}
	good := resp.Header.StatusCode() < 300
	switch n := resp.Body.Len(); {
	case arrived(resp.Body):
	case n >= 0 && n <= maxReadHere:
		var end error
		resp.Body, end = readHere(resp.Body)
		good = good && end == nil
	default:
		handedOn = true
		resp.Body = newSlotBody(resp, e.call.GRPC, s, good)
		return resp, nil
	}
	handedOn = true
	s.release(1, good)
	return resp, nil
}
