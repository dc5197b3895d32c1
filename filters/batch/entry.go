package batch

import (
	"context"
	"errors"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/fridaymesh/friday/filters/batch/schedule"
	"github.com/fridaymesh/friday/filters/inference"
	"github.com/fridaymesh/friday/proxy"
	"github.com/fridaymesh/friday/proxy/span"
)

// errDropped says that a group was dropped between finding and entering it.
var errDropped = errors.New("group dropped")

// entry is one request, or a piece of one, on its way through a group.
type entry struct {
	// The scheduler's, guarded by model.mu.
	schedule.Entry

	// Set once, before it enters. They are the caller's: once it has left, only
	// what belongs to a batch, under the batch's lock, may still look at call, and
	// nobody at req.
	req     *proxy.Request
	next    proxy.Handler
	picker  proxy.Picker
	arrived time.Time
	debug   bool // the caller asked for the debug headers
	// piece: call is one part of the call whole, from its item from on.
	piece bool
	whole *inference.Call
	from  int
	// ready delivers once: granted, or answered with out.
	ready chan struct{}

	// Guarded by model.mu.
	group *group
	place place
	slot  slot // where granted

	// batch is written under the locks of the model and of the batch, so that
	// holding either is enough to read it.
	batch *batch

	// Guarded by batch.mu while batch is set.
	call *inference.Call
	left bool // the caller has gone
	done bool // answered, or back in the queue

	// Written before ready delivers, read after.
	out      outcome
	queued   time.Duration
	expected time.Duration // of its call, as [proxy.Trace]'s
}

// place is where an entry is.
type place uint8

const (
	outside place = iota
	inQueue
	// granted: it goes alone, by its caller, with the slot.
	granted
	inBatch
)

// outcome is what became of an entry in a merged call: an error, or an answer
// whose head and trailer are shared with others and must not be changed.
type outcome struct {
	head    *fasthttp.ResponseHeader
	body    []byte
	trailer *fasthttp.ResponseHeader // nil: none
	err     error
	// good: a part of an answer that was cut, not of one that everybody gets.
	good bool
	// sized: the head tells how long the JSON in the body is, and each body's is its own.
	sized bool

	// usage, where tokens were shared out.
	usage usage

	items    int
	attempts int
	upstream string
	call     *span.Span
}

// newEntry makes an entry, or takes one that was freed.
func (s *state) newEntry(call *inference.Call, req *proxy.Request, next proxy.Handler) *entry {
	e, ok := s.entries.Get().(*entry)
	if !ok {
		e = &entry{ready: make(chan struct{}, 1)}
	}
	e.call, e.req, e.next, e.arrived = call, req, next, time.Now()
	return e
}

// free takes e back. REQUIRES: ready has delivered and nobody else knows e.
func (s *state) free(e *entry) {
	*e = entry{ready: e.ready}
	s.entries.Put(e)
}

// wait is true once ready has delivered, and false where ctx is done before.
func (e *entry) wait(ctx context.Context) bool {
	select {
	case <-e.ready:
		return true
	default:
	}
	select {
	case <-e.ready:
		return true
	case <-ctx.Done():
		return false
	}
}

// trace tells the request what became of it.
func (e *entry) trace() {
	t := &e.req.Trace
	t.BatchSize, t.Queued, t.Expected = e.out.items, e.queued, e.expected
	t.Attempts += e.out.attempts
	if e.out.upstream != "" {
		t.Upstream = e.out.upstream
	}
	e.traceBatch()
}

// response makes the caller's own Response of an outcome.
func (e *entry) response(o *outcome) (*proxy.Response, error) {
	if o.err != nil {
		return nil, o.err
	}
	r := proxy.NewResponse()
	o.head.CopyTo(&r.Header)
	if e.debug && o.usage != "" {
		r.Header.Set("x-friday-usage", string(o.usage))
	}
	if o.sized {
		inference.DescribeAnswer(&r.Header, o.body)
	}
	switch {
	case o.trailer != nil:
		trailer := new(fasthttp.ResponseHeader)
		o.trailer.CopyTo(trailer)
		if r.Header.ContentLength() > 0 {
			r.Header.SetContentLength(-1) // it was the merged answer's
		}
		r.Body = &trailedBody{Body: proxy.NewBytesBody(o.body), trailer: trailer}
	case len(o.body) > 0:
		r.Header.SetContentLength(len(o.body))
		r.Body = proxy.NewBytesBody(o.body)
	}
	return r, nil
}
