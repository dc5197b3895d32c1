package action

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/fridaymesh/friday/proxy"
	"github.com/fridaymesh/friday/proxy/format"
)

// Forward is how a route sends its requests on.
type Forward struct {
	Rewrite Rewrite
	// Levels are the header mutations, in the order in which they apply.
	Levels []Headers
	Hash   []HashPolicy
	// Retry, where not nil, sends a failed request once more.
	Retry *Retry
	// Mirrors get copies of the requests, and their answers are thrown away.
	Mirrors []Mirror
	// HighPriority has the cluster's limits of that priority count.
	HighPriority bool
	// CountAttempts tells the server in x-envoy-attempt-count which attempt it sees, and
	// CountForCaller the caller how many there were.
	CountAttempts, CountForCaller bool
	// Keep bounds how much of a body is kept for retries and mirrors; 0: 1 MiB.
	Keep int
}

// forward is a Forward, compiled.
type forward struct {
	Forward

	mutations mutations
	mirrors   []mirror
	next      proxy.Handler
	// copies says that the request is changed on its way, so that it goes as a copy:
	// filters may send one twice.
	copies bool
}

// attemptCount is Envoy's name for it.
const attemptCount = "x-envoy-attempt-count"

// NewForward compiles f, which sends to next. clusters finds those that mirrors name.
func NewForward(f *Forward, next proxy.Handler, clusters func(name string) (proxy.Handler, bool)) (proxy.Handler, error) {
	c := &forward{Forward: *f, next: next}
	var err error
	if c.mutations, err = newMutations(f.Levels); err != nil {
		return nil, err
	}
	for _, m := range f.Mirrors {
		c.mirrors = append(c.mirrors, newMirror(m, clusters))
	}
	if c.Keep <= 0 {
		c.Keep = 1 << 20
	}
	c.copies = c.Rewrite.any() || len(c.mutations.request) > 0 || c.CountAttempts
	if !c.copies && len(c.mutations.response)+len(c.Hash)+len(c.mirrors) == 0 && c.Retry == nil && !c.HighPriority && !c.CountForCaller {
		return next, nil // nothing is between the chain and the cluster
	}
	return c, nil
}

// Handle sends req on.
func (f *forward) Handle(ctx context.Context, req *proxy.Request) (*proxy.Response, error) {
	cookies := hash(f.Hash, req)
	req.HighPriority = f.HighPriority
	out := req
	if f.copies {
		out = f.change(req)
	}
	var body *replay
	if _, kept := out.Body.(*proxy.BytesBody); !kept && out.Body != proxy.NoBody && (f.Retry.mayRetry(req) || len(f.mirrors) > 0) {
		body = newReplay(out.Body, f.Keep)
	}
	resp, err := f.attempts(ctx, out, body)
	if f.copies {
		req.Trace, req.Endpoint, req.Avoid = out.Trace, out.Endpoint, out.Avoid
	}
	if body == nil || err != nil {
		f.mirror(out, body) //nolint:contextcheck // copies outlive their request
	} else { // the server may answer before it has read all of the request
		resp.Body = &endedBody{Body: resp.Body, end: func() { f.mirror(out, body) }} //nolint:contextcheck // as above
	}
	if err != nil {
		return nil, f.decorate(ctx, req, err, cookies)
	}
	f.mutations.respond(req, &resp.Header, nil)
	f.tell(&resp.Header, req, cookies)
	return resp, nil
}

// change makes the request that goes on.
func (f *forward) change(req *proxy.Request) *proxy.Request {
	out := *req
	out.Header = new(fasthttp.RequestHeader)
	req.Header.CopyTo(out.Header)
	out.Header.SetNoDefaultContentType(true)
	if len(f.mutations.request) > 0 {
		facts := &format.Facts{Request: req}
		for _, m := range f.mutations.request {
			m.Apply(out.Header, facts)
		}
	}
	if f.Rewrite.any() {
		f.Rewrite.apply(&out)
	}
	return &out
}

// tell adds what the answer says of the way.
func (f *forward) tell(h *fasthttp.ResponseHeader, req *proxy.Request, cookies []string) {
	for _, c := range cookies {
		proxy.AddField(h, "set-cookie", c)
	}
	if f.CountForCaller {
		proxy.SetField(h, attemptCount, strconv.Itoa(max(1, req.Trace.Attempts)))
	}
}

func (f *forward) decorate(ctx context.Context, req *proxy.Request, err error, cookies []string) error {
	if len(f.mutations.response)+len(cookies) == 0 && !f.CountForCaller {
		return err
	}
	pe := *f.mutations.decorate(req, proxy.AsError(ctx, err))
	inner := pe.Decorate
	pe.Decorate = func(h *fasthttp.ResponseHeader) {
		if inner != nil {
			inner(h)
		}
		f.tell(h, req, cookies)
	}
	return &pe
}

// budget is a cluster that bounds the retries in flight.
type budget interface {
	BeginRetry(req *proxy.Request) bool
	EndRetry(req *proxy.Request)
}

// attempts sends req until there is an answer to keep.
func (f *forward) attempts(ctx context.Context, req *proxy.Request, body *replay) (*proxy.Response, error) {
	retries := f.Retry.mayRetry(req)
	limit, _ := f.next.(budget)
	for n := uint32(1); ; n++ {
		if f.CountAttempts {
			proxy.SetField(req.Header, attemptCount, strconv.FormatUint(uint64(n), 10))
		}
		if body != nil {
			if req.Body = body.body(); req.Body == nil {
				return nil, errSuperseded // not reached: it was asked for before
			}
		}
		resp, err, again := f.attempt(ctx, req, retries && n <= f.Retry.Times)
		if n > 1 && limit != nil {
			endRetry(limit, req, resp)
		}
		if !again || !f.again(ctx, req, body, n, resp, limit) {
			return resp, err
		}
		if resp != nil {
			_ = resp.Close() // nobody will read it
		}
	}
}

// again says whether there can be one more attempt, and waits until it is time.
func (f *forward) again(ctx context.Context, req *proxy.Request, body *replay, n uint32, resp *proxy.Response, limit budget) bool {
	if body != nil && body.body() == nil || body == nil && !rewind(req.Body) {
		return false
	}
	if limit != nil && !limit.BeginRetry(req) {
		return false
	}
	timer := time.NewTimer(f.Retry.pause(n, resp))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		if limit != nil {
			limit.EndRetry(req)
		}
		return false
	}
	if f.Retry.Elsewhere && req.Endpoint != nil {
		req.Avoid = append(req.Avoid, req.Endpoint)
	}
	req.Endpoint = nil
	return true
}

func rewind(b proxy.Body) bool {
	if whole, ok := b.(*proxy.BytesBody); ok {
		whole.Rewind()
		return true
	}
	return b == proxy.NoBody
}

// attempt sends req once; again says that what came back is one to try again after.
func (f *forward) attempt(ctx context.Context, req *proxy.Request, mayRetry bool) (resp *proxy.Response, err error, again bool) { //nolint:revive // the error is a part of the verdict
	if f.Retry == nil || f.Retry.PerTry <= 0 {
		resp, err = f.next.Handle(ctx, req)
		if !mayRetry {
			return resp, err, false
		}
		if err != nil {
			return nil, err, f.Retry.judgeError(ctx, err, false)
		}
		return resp, nil, f.Retry.judgeAnswer(resp)
	}
	try, cancel := context.WithCancelCause(ctx)
	timer := time.AfterFunc(f.Retry.PerTry, func() { cancel(proxy.ErrTimeout) })
	resp, err = f.next.Handle(try, req)
	late := !timer.Stop() && ctx.Err() == nil
	if err != nil {
		err = proxy.AsError(try, err)
		cancel(nil)
		return nil, err, mayRetry && f.Retry.judgeError(ctx, err, late && isTimeout(err))
	}
	resp.Body = &cancelledBody{Body: resp.Body, cancel: cancel}
	return resp, nil, mayRetry && f.Retry.judgeAnswer(resp)
}

func isTimeout(err error) bool {
	pe, ok := errors.AsType[*proxy.Error](err)
	return ok && pe.Flag == proxy.FlagTimeout
}

// cancelledBody ends its attempt's context when it is closed.
type cancelledBody struct {
	proxy.Body

	cancel context.CancelCauseFunc
}

func (b *cancelledBody) Close() error {
	err := b.Body.Close()
	b.cancel(nil)
	return err
}

// Ready is the inner body's.
func (b *cancelledBody) Ready() int { return ready(b.Body) }

func ready(b proxy.Body) int {
	if r, ok := b.(interface{ Ready() int }); ok {
		return r.Ready()
	}
	return 0
}

// endRetry ends a retry with its answer's body.
func endRetry(limit budget, req *proxy.Request, resp *proxy.Response) {
	if resp == nil || resp.Body == proxy.NoBody {
		limit.EndRetry(req)
		return
	}
	resp.Body = &endedBody{Body: resp.Body, end: func() { limit.EndRetry(req) }}
}

// endedBody calls end when it is closed for the first time.
type endedBody struct {
	proxy.Body

	end func()
}

func (b *endedBody) Close() error {
	err := b.Body.Close()
	if b.end != nil {
		b.end()
		b.end = nil
	}
	return err
}

// Ready is the inner body's.
func (b *endedBody) Ready() int { return ready(b.Body) }
