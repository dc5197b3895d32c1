package span

import (
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"

	"github.com/valyala/fasthttp"
	"go.opentelemetry.io/otel/trace"
)

// Incoming is what a request's traceparent and tracestate say
// (https://www.w3.org/TR/trace-context/); not valid where they say nothing, or not well.
func Incoming(h *fasthttp.RequestHeader) trace.SpanContext {
	c := ParseTraceparent(field(h, "traceparent", "Traceparent"))
	if !c.IsValid() {
		return c
	}
	if text := field(h, "tracestate", "Tracestate"); len(text) > 0 {
		if state, err := trace.ParseTraceState(string(text)); err == nil { // else only that is lost
			c = c.WithTraceState(state)
		}
	}
	return c
}

// field looks for the two spellings that libraries write: going over all fields would
// parse Cookie.
func field(h *fasthttp.RequestHeader, lower, title string) []byte {
	if v := h.Peek(lower); v != nil {
		return v
	}
	return h.Peek(title)
}

// Where the parts of a traceparent stand: version, trace, parent, flags.
const (
	traceAt, parentAt, flagsAt = 3, 36, 53
	traceparentLen             = 55
)

// ParseTraceparent reads the field (section 3.2 there). Of a later version, which may be
// longer, it takes the parts that there are now. What it returns is not valid where the text is
// not.
func ParseTraceparent(text []byte) trace.SpanContext {
	var version, flags [1]byte
	c := trace.SpanContextConfig{Remote: true}
	if len(text) < traceparentLen || text[traceAt-1] != '-' || text[parentAt-1] != '-' || text[flagsAt-1] != '-' {
		return trace.SpanContext{}
	}
	for _, part := range []struct {
		dst []byte
		at  int
	}{{version[:], 0}, {c.TraceID[:], traceAt}, {c.SpanID[:], parentAt}, {flags[:], flagsAt}} {
		digits := text[part.at : part.at+2*len(part.dst)]
		for _, d := range digits {
			if d >= 'A' && d <= 'F' {
				return trace.SpanContext{} // lower case, says section 3.2.1
			}
		}
		if _, err := hex.Decode(part.dst, digits); err != nil {
			return trace.SpanContext{}
		}
	}
	longer := len(text) > traceparentLen
	if version[0] == 0xff || longer && (version[0] == 0 || text[traceparentLen] != '-') {
		return trace.SpanContext{}
	}
	c.TraceFlags = trace.TraceFlags(flags[0]) & trace.FlagsSampled
	if of := trace.NewSpanContext(c); of.IsValid() {
		return of
	}
	return trace.SpanContext{}
}

// AppendFields appends the two fields, as lines of a head, by which the server goes on with
// the trace; those that the request came with must not stand there, too. It appends
// nothing where the request is not traced.
func (s *Span) AppendFields(dst []byte) []byte {
	if s == nil {
		return dst
	}
	dst = append(s.appendTraceparent(append(dst, "traceparent: "...)), "\r\n"...)
	if state := s.self.TraceState(); state.Len() > 0 {
		dst = append(append(append(dst, "tracestate: "...), state.String()...), "\r\n"...)
	}
	return dst
}

// appendTraceparent appends the field's value.
func (s *Span) appendTraceparent(dst []byte) []byte {
	traceID, spanID := s.self.TraceID(), s.self.SpanID()
	dst = append(dst, "00-"...)
	dst = append(hex.AppendEncode(dst, traceID[:]), '-')
	dst = append(hex.AppendEncode(dst, spanID[:]), '-')
	return hex.AppendEncode(dst, []byte{byte(s.self.TraceFlags())})
}

// Traceparent is the span for [Span.Refer] to find, later and elsewhere; empty where it is
// not sampled.
func (s *Span) Traceparent() string {
	if !s.Sampled() {
		return ""
	}
	return string(s.appendTraceparent(make([]byte, 0, traceparentLen)))
}

// unsampled is the identity of a request for which nobody records anything.
func unsampled() trace.SpanContext {
	var c trace.SpanContextConfig
	for i := 0; i < len(c.TraceID); i += 8 {
		binary.NativeEndian.PutUint64(c.TraceID[i:], rand.Uint64()|1) // #nosec G404 -- it need only be another
	}
	binary.NativeEndian.PutUint64(c.SpanID[:], rand.Uint64()|1) // #nosec G404 -- as above
	return trace.NewSpanContext(c)
}
