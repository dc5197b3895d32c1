package cluster

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"sync/atomic"

	"go.uber.org/zap"

	"github.com/fridaymesh/friday/proxy"
	"github.com/fridaymesh/friday/proxy/span"
	"github.com/fridaymesh/friday/proxy/telemetry"
)

// maxAttempts bounds the sends of one request.
const maxAttempts = 3

// Handle sends req to the endpoint that it is pinned to, else to one picked, and
// pins it. A request of which no byte can have been acted on ([proxy.Error.Unsent])
// is sent once more, to another endpoint where there is one, pinned or not: at
// most three times in all and at most once more than there are endpoints. It
// must still be possible to send its body from the beginning.
//
// The endpoint's Active counts the request until the response's body has been
// read to its end, has failed, or is closed, and so do the cluster's limits.
func (c *Cluster) Handle(ctx context.Context, req *proxy.Request) (*proxy.Response, error) {
	if c.cold.Load() {
		if err := c.await(ctx); err != nil {
			return nil, err
		}
	}
	if !c.used.Load() {
		c.used.Store(true)
	}
	v := c.view.Load()
	if v.drops {
		if err := c.drops(v.set.cfg); err != nil {
			return nil, err
		}
	}
	if req.Endpoint == nil {
		if req.Endpoint = c.pick(req, req.Avoid); req.Endpoint == nil {
			return nil, noHealthy()
		}
	}
	use := &c.usage[priority(req)]
	if !use.admit(&v.set.cfg.Limits[priority(req)]) {
		c.metrics.overflow(priority(req), limitRequests)
		return nil, overflow()
	}
	counts := true
	defer func() { // nor may a panic keep a place
		if counts {
			use.leave()
		}
	}()
	resp, err := c.send(ctx, req)
	if err != nil {
		return nil, err
	}
	if b, ok := resp.Body.(*countedBody); ok {
		b.use, counts = use, false
	}
	return resp, nil
}

// await waits until the names have been resolved and the endpoints been asked for the
// first time.
func (c *Cluster) await(ctx context.Context) error {
	select {
	case <-c.warm:
		return nil
	case <-ctx.Done():
		return proxy.AsError(ctx, context.Cause(ctx))
	}
}

// drops is the error of a request that the control plane wants dropped.
func (c *Cluster) drops(cfg *Config) error {
	for _, d := range cfg.Load.Drops {
		if rand.Uint32N(1_000_000) < d.PerMillion { // #nosec G404 -- shares of traffic need no secrecy
			c.metrics.dropped(d.Category)
			text := "drop overload"
			if d.PerMillion == 1_000_000 {
				text = "unconditional drop overload"
			}
			return &proxy.Error{Status: 503, Flag: proxy.FlagDropOverload, Message: text}
		}
	}
	return nil
}

// send makes the attempts.
func (c *Cluster) send(ctx context.Context, req *proxy.Request) (*proxy.Response, error) {
	watch(req)
	limit := min(maxAttempts, len(c.All())+1)
	var tried [maxAttempts]*proxy.Endpoint
	for n := 0; ; n++ {
		tried[n] = req.Endpoint
		resp, err := c.attempt(ctx, req.Endpoint, req)
		if err == nil {
			return resp, nil
		}
		pe, ok := errors.AsType[*proxy.Error](err)
		if !ok || !pe.Unsent || pe.Flag == proxy.FlagOverflow || n+1 >= limit || ctx.Err() != nil || !rewind(req.Body) {
			return nil, err
		}
		avoid := tried[:n+1]
		if len(req.Avoid) > 0 {
			avoid = append(avoid[:n+1:n+1], req.Avoid...)
		}
		// The endpoint may have failed because it is gone by now.
		next := c.pick(req, avoid)
		if next == nil {
			return nil, err
		}
		c.log.Debug("sent once more", zap.String(telemetry.FieldEndpoint, req.Endpoint.Address), zap.String("next", next.Address), zap.Error(err))
		if pe.Flag == proxy.FlagUpstreamConnection {
			c.metrics.retries.connect.Inc()
		} else {
			c.metrics.retries.reset.Inc()
		}
		req.Endpoint = next
	}
}

// attempt sends req to ep and keeps ep's counts and the request's trace. What
// counts attempts is the round trip itself.
func (c *Cluster) attempt(ctx context.Context, ep *proxy.Endpoint, req *proxy.Request) (*proxy.Response, error) {
	ep.Active.Add(1)
	ep.Total.Add(1)
	req.Trace.Upstream = ep.Address
	counts := true
	defer func() { // a panic must not leave the endpoint busy for ever
		if counts {
			ep.Active.Add(-1)
		}
	}()
	above := req.Span
	req.Span = spanOf(req, ep)
	resp, err := ep.Handler.Handle(ctx, req)
	own := req.Span
	req.Span = above
	c.judge(ctx, ep, resp, err)
	if err != nil {
		traceError(ctx, own, err)
		return nil, err
	}
	traceAnswer(own, resp)
	if _, whole := resp.Body.(*proxy.BytesBody); whole || resp.Body == proxy.NoBody {
		own.End()
		return resp, nil
	}
	resp.Body = &countedBody{Body: resp.Body, endpoint: ep, span: own}
	counts = false
	return resp, nil
}

// countedBody keeps its endpoint busy until its end.
type countedBody struct {
	proxy.Body

	endpoint *proxy.Endpoint
	span     *span.Span
	use      *usage // of the cluster; set before anybody reads
	ended    atomic.Bool
}

var _ proxy.Body = (*countedBody)(nil)

func (b *countedBody) Read(p []byte) (int, error) {
	n, err := b.Body.Read(p)
	if err != nil {
		if !errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			b.span.Fail(string(proxy.FlagUpstreamReset), "the answer was cut short")
		}
		b.end()
	}
	return n, err
}

// Ready is how many bytes Read would return without waiting, 0 where that is not
// known. The codec writes an answer in one piece where all of it is ready.
func (b *countedBody) Ready() int {
	if r, ok := b.Body.(interface{ Ready() int }); ok {
		return r.Ready()
	}
	return 0
}

func (b *countedBody) Close() error {
	err := b.Body.Close()
	b.end()
	return err
}

func (b *countedBody) end() {
	if b.ended.CompareAndSwap(false, true) {
		b.endpoint.Active.Add(-1)
		b.use.leave()
		b.span.End()
	}
}

// watch wraps a body that comes from the caller, to see whether somebody has
// begun to read it.
func watch(req *proxy.Request) {
	switch req.Body.(type) {
	case *proxy.BytesBody, *watchedBody: // the latter by an earlier Handle of req
	default:
		if req.Body != proxy.NoBody {
			req.Body = &watchedBody{Body: req.Body}
		}
	}
}

// rewind makes a body ready to be sent from its beginning, or says that it
// cannot be.
func rewind(body proxy.Body) bool {
	switch b := body.(type) {
	case *proxy.BytesBody:
		b.Rewind()
	case *watchedBody:
		return !b.touched.Load()
	}
	return true
}

// watchedBody knows whether it has been read from or closed.
type watchedBody struct {
	proxy.Body

	touched atomic.Bool
}

var _ proxy.Body = (*watchedBody)(nil)

func (b *watchedBody) Read(p []byte) (int, error) {
	// Before the Read, for one that fails or is cut off may have taken bytes.
	if !b.touched.Load() {
		b.touched.Store(true)
	}
	return b.Body.Read(p)
}

func (b *watchedBody) Close() error {
	b.touched.Store(true)
	return b.Body.Close()
}
