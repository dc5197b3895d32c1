package cache

import (
	"context"
	"runtime/debug"
	"time"

	"github.com/valyala/fasthttp"
	"go.uber.org/zap"

	"github.com/fridaymesh/friday/filters/cache/shared"
	"github.com/fridaymesh/friday/filters/inference"
	"github.com/fridaymesh/friday/proxy"
	"github.com/fridaymesh/friday/proxy/span"
	"github.com/fridaymesh/friday/proxy/telemetry"
)

// flight is one call to the server, and those who wait for its answer. It has a
// goroutine of its own, so that no caller's leaving ends it while another waits.
//
// A life: claim makes it, and enters its keys into the state's flights, so that others
// join. Its goroutine sends the call and lands it: the answers go into the store first,
// then the keys leave the flights, then done is closed. So whoever finds neither an
// entry nor a flight for a key, with the state locked, may be sure that nobody computes
// it. Whoever waits leaves once; when the last one has left, nobody can join any more
// and the call is cancelled.
type flight struct {
	// Set once.
	state *state
	keys  []key
	// cluster and model are whom it asks.
	cluster, model string
	generation     uint64
	// tier, where not nil, gets what is computed, under the stamp, to be found for late
	// longer than it is fresh.
	tier   *shared.Store
	stamp  shared.Stamp
	late   time.Duration
	ctx    context.Context //nolint:containedctx // the call's own, ended by those who wait together
	cancel context.CancelCauseFunc
	done   chan struct{} // closed when out is there
	// span is that of the request that made the call necessary. It is written before done is
	// closed.
	span *span.Span

	// Guarded by state.mu.
	users int
	gone  bool // its keys are no longer among the flights

	// Written before done is closed.
	out outcome
}

// outcome is what became of a call. What it refers to is shared and must not be changed.
type outcome struct {
	err *proxy.Error
	// head and body are the answer as it came; tape is there in the place of body where
	// it comes piece by piece. trailer is nil where there is none.
	head    *fasthttp.ResponseHeader
	body    []byte
	tape    *tape
	trailer *fasthttp.ResponseHeader
	// entries are the answers to the keys, where the answer is a good one.
	entries []*entry
	// alone: only who leads may have it; the others ask for themselves. again: nobody
	// can, and everybody asks for himself.
	alone, again bool
	trace        proxy.Trace
}

// failed says that the server gave no answer, or one that is its own fault.
func (o *outcome) failed() bool { return o.err != nil || o.head != nil && o.head.StatusCode() >= 500 }

// newFlight has one user. REQUIRES: s.mu is held.
func newFlight(s *state, a *ask) *flight {
	f := &flight{
		state: s, cluster: a.cluster, model: a.model, generation: s.generation(a.model), tier: a.tier, stamp: a.stamp,
		late: max(a.config.StaleIfError, a.config.StaleWhileRevalidate), done: make(chan struct{}), users: 1,
	}
	f.ctx, f.cancel = context.WithCancelCause(context.Background())
	return f
}

// leave is for who waits no more.
func (f *flight) leave(cause error) {
	f.state.mu.Lock()
	defer f.state.mu.Unlock()
	if f.users--; f.users == 0 {
		f.withdraw()
		if cause == nil {
			cause = proxy.ErrCallerGone
		}
		f.cancel(cause)
	}
}

// withdraw takes the keys out of the flights. REQUIRES: state.mu is held.
func (f *flight) withdraw() {
	if f.gone {
		return
	}
	f.gone = true
	for _, k := range f.keys {
		if f.state.flights[k].flight == f {
			delete(f.state.flights, k)
		}
	}
}

// close is withdraw for who does not hold state.mu.
func (f *flight) close() {
	f.state.mu.Lock()
	defer f.state.mu.Unlock()
	f.withdraw()
}

// keep stores what was computed, unless the model was purged in between.
func (f *flight) keep(entries []*entry) {
	if f.keepHere(entries) {
		f.write(entries)
	}
}

func (f *flight) keepHere(entries []*entry) bool {
	f.state.mu.Lock()
	defer f.state.mu.Unlock()
	if f.state.generation(f.model) != f.generation {
		return false
	}
	for i, e := range entries {
		if e.fresh > 0 {
			f.state.store.set(f.keys[i], e)
		}
	}
	return true
}

// land ends the flight, but for a tape that still runs.
func (f *flight) land(out outcome) {
	if out.tape == nil {
		f.close()
	}
	f.out = out
	close(f.done)
}

// launch sends the request in a goroutine of its own; read makes an outcome of the
// answer, lands the flight with it and closes the answer.
func (f *flight) launch(own *proxy.Request, next proxy.Handler, read func(resp *proxy.Response, took time.Duration)) {
	f.span = own.Span
	go func() {
		defer func() {
			if v := recover(); v != nil {
				f.crash(proxy.PanicError(v, debug.Stack()))
			}
		}()
		began := time.Now()
		resp, err := next.Handle(f.ctx, own)
		if err != nil {
			f.land(outcome{err: proxy.AsError(f.ctx, err), trace: own.Trace})
			return
		}
		read(resp, time.Since(began))
	}()
}

// crash ends a call in which there was a panic.
func (f *flight) crash(err *proxy.Error) {
	f.state.log.Error("panic in a call", zap.String(telemetry.FieldModel, f.model), zap.Error(err))
	select {
	case <-f.done:
		f.close()
		if f.out.tape != nil {
			f.out.tape.finish(err, nil)
		}
	default:
		f.land(outcome{err: err})
	}
}

// wait is true once out is there, and false where ctx is done before.
func (f *flight) wait(ctx context.Context) bool {
	select {
	case <-f.done:
		return true
	case <-ctx.Done():
		return false
	}
}

// await is wait for a request that may have to wait for somebody else's call.
func (l *lookup) await(ctx context.Context, f *flight) bool {
	if !l.req.Span.Sampled() {
		return f.wait(ctx)
	}
	began := time.Now()
	if !f.wait(ctx) {
		return false
	}
	if f.span != l.req.Span {
		waits := l.req.Span.ChildAt("wait for another's call", span.Internal, began)
		waits.Link(f.span)
		waits.End()
	}
	return true
}

// detach makes a request of its own memory, which stays when the caller has gone.
func detach(req *proxy.Request, body []byte) *proxy.Request {
	own := *req
	own.Header = new(fasthttp.RequestHeader)
	req.Header.CopyTo(own.Header)
	inference.Describe(own.Header, body)
	own.Body = proxy.NewBytesBody(body)
	own.Caller, own.Call, own.Trace = nil, nil, proxy.Trace{Model: req.Trace.Model}
	return &own
}
