package batch

import (
	"time"

	"github.com/fridaymesh/friday/proxy/span"
)

// trace begins the call's span, which links to those of the requests that it is for.
func (m *merged) trace(members []*span.Span) {
	m.span = span.Join("batch call", members, time.Now())
	m.req.Span = m.span
	if m.span.Sampled() {
		m.span.Set("friday.cluster", m.req.Cluster)
		m.span.Set("friday.batch.size", m.items)
		m.span.Set("friday.batch.requests", len(members))
		m.span.Set("gen_ai.request.model", m.req.Trace.Model)
	}
}

// traceQueue is the span of e's wait, once that has ended; it returns when it did.
func (e *entry) traceQueue() time.Time {
	sent := e.arrived.Add(e.queued)
	e.req.Span.ChildAt("queue", span.Internal, e.arrived).EndAt(sent)
	return sent
}

// traceBatch is the spans of e's wait and of the call that served it with others.
func (e *entry) traceBatch() {
	if !e.req.Span.Sampled() {
		return
	}
	s := e.req.Span.ChildAt("batch", span.Internal, e.traceQueue())
	s.Set("friday.batch.size", e.out.items)
	s.Link(e.out.call)
	s.End()
}
