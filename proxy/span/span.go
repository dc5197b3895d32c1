package span

import (
	"context"
	"fmt"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

// Kind is whose work a span is of.
type Kind = trace.SpanKind

// The kinds.
const (
	// Internal is work of this process.
	Internal = trace.SpanKindInternal
	// Server is a request of somebody else's, Client one of our own.
	Server = trace.SpanKindServer
	Client = trace.SpanKindClient
)

// background is what spans begin in: which one they are children of is said each time.
var background = context.Background() //nolint:gochecknoglobals // immutable

// Span is one part of a request's way. It is safe for concurrent use.
type Span struct {
	tracer trace.Tracer
	span   trace.Span // nil: not sampled
	self   trace.SpanContext

	// By is for who began it, to find what it needs for the end.
	By any
}

// Start begins the span of a request that has just come, whose caller's own is parent.
// Where it is not sampled, sampled being false, what the caller has decided goes on.
func Start(tracer trace.Tracer, parent trace.SpanContext, sampled bool, name string, kind Kind, start time.Time) *Span {
	if !sampled {
		if !parent.IsValid() {
			parent = unsampled()
		}
		return &Span{self: parent.WithTraceFlags(parent.TraceFlags() &^ trace.FlagsSampled)}
	}
	ctx := trace.ContextWithRemoteSpanContext(background, parent)
	_, s := tracer.Start(ctx, name, trace.WithSpanKind(kind), trace.WithTimestamp(start))
	return &Span{tracer: tracer, span: s, self: s.SpanContext()}
}

// Join begins the span of work that is done once for several: a trace of its own, which
// links to each of those that are sampled. It is nil where none of them is traced, and not
// sampled where none of them is.
func Join(name string, spans []*Span, start time.Time) *Span {
	var (
		links  []trace.Link
		traced bool
		tracer trace.Tracer
	)
	for _, s := range spans {
		traced = traced || s != nil
		if s.Sampled() {
			tracer = s.tracer
			links = append(links, trace.Link{SpanContext: s.self})
		}
	}
	switch {
	case !traced:
		return nil
	case tracer == nil:
		return &Span{self: unsampled()}
	}
	_, s := tracer.Start(background, name, trace.WithNewRoot(), trace.WithLinks(links...), trace.WithTimestamp(start))
	return &Span{tracer: tracer, span: s, self: s.SpanContext()}
}

// Sampled says that the span is recorded.
func (s *Span) Sampled() bool { return s != nil && s.span != nil }

// Child begins a span below s.
func (s *Span) Child(name string, kind Kind) *Span { return s.ChildAt(name, kind, time.Now()) }

// ChildAt is Child at a time that may be past.
func (s *Span) ChildAt(name string, kind Kind, start time.Time) *Span {
	if !s.Sampled() {
		return s
	}
	ctx := trace.ContextWithSpanContext(background, s.self)
	_, child := s.tracer.Start(ctx, name, trace.WithSpanKind(kind), trace.WithTimestamp(start))
	return &Span{tracer: s.tracer, span: child, self: child.SpanContext()}
}

// Dropped is a span in whose place nothing is recorded, here or by whoever is called.
func (s *Span) Dropped() *Span {
	if !s.Sampled() {
		return s
	}
	return &Span{self: s.self.WithTraceFlags(s.self.TraceFlags() &^ trace.FlagsSampled)}
}

// Link refers to another span, of another trace perhaps.
func (s *Span) Link(to *Span) {
	if s.Sampled() && to.Sampled() {
		s.span.AddLink(trace.Link{SpanContext: to.self})
	}
}

// Refer is Link to what a [Span.Traceparent] was of; nothing where it is empty.
func (s *Span) Refer(traceparent string) {
	if !s.Sampled() {
		return
	}
	if to := ParseTraceparent([]byte(traceparent)); to.IsValid() {
		s.span.AddLink(trace.Link{SpanContext: to})
	}
}

// Name changes the name.
func (s *Span) Name(name string) {
	if s.Sampled() {
		s.span.SetName(name)
	}
}

// Set notes an attribute: a string, an int, an int64, a float64, a bool or a []string.
func (s *Span) Set(key string, value any) {
	if s.Sampled() {
		s.span.SetAttributes(attributeOf(key, value))
	}
}

// Event notes that something happened just now.
func (s *Span) Event(name string) {
	if s.Sampled() {
		s.span.AddEvent(name)
	}
}

// Fail says that the work failed; kind is a word for why (error.type), of few.
func (s *Span) Fail(kind, text string) {
	if s.Sampled() {
		s.span.SetAttributes(attribute.String("error.type", kind))
		s.span.SetStatus(codes.Error, text)
	}
}

// End ends the span. What is called on it afterwards does nothing.
func (s *Span) End() {
	if s.Sampled() {
		s.span.End()
	}
}

// EndAt is End at a time that may be past.
func (s *Span) EndAt(t time.Time) {
	if s.Sampled() {
		s.span.End(trace.WithTimestamp(t))
	}
}

// TraceID is the trace's, in hex; empty where the span is not sampled.
func (s *Span) TraceID() string {
	if !s.Sampled() {
		return ""
	}
	return s.self.TraceID().String()
}

func attributeOf(key string, value any) attribute.KeyValue {
	switch v := value.(type) {
	case string:
		return attribute.String(key, v)
	case int:
		return attribute.Int(key, v)
	case int64:
		return attribute.Int64(key, v)
	case float64:
		return attribute.Float64(key, v)
	case bool:
		return attribute.Bool(key, v)
	case []string:
		return attribute.StringSlice(key, v)
	default:
		return attribute.String(key, fmt.Sprint(v))
	}
}
