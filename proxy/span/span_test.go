package span_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp"
	"go.opentelemetry.io/otel/propagation"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/fridaymesh/friday/proxy/span"
)

func recorder(t *testing.T) (trace.Tracer, *tracetest.InMemoryExporter) {
	t.Helper()
	to := tracetest.NewInMemoryExporter()
	p := sdk.NewTracerProvider(sdk.WithSyncer(to))
	t.Cleanup(func() { require.NoError(t, p.Shutdown(context.WithoutCancel(t.Context()))) })
	return p.Tracer("test"), to
}

func head(lines ...string) *fasthttp.RequestHeader {
	h := new(fasthttp.RequestHeader)
	h.DisableNormalizing()
	for _, l := range lines {
		name, value, _ := strings.Cut(l, ": ")
		h.Add(name, value)
	}
	return h
}

const (
	yes = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	no  = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"
)

func TestNobodyNeedsToAsk(t *testing.T) {
	var s *span.Span
	s.Set("a", 1)
	s.Link(s)
	s.Refer(yes)
	s.Fail("b", "c")
	s.Event("d")
	s.End()
	require.Nil(t, s.Child("e", span.Client))
	require.Nil(t, s.Dropped())
	require.Empty(t, s.TraceID())
	require.Empty(t, s.Traceparent())
	require.Empty(t, s.AppendFields(nil))
	require.Nil(t, span.Join("f", []*span.Span{nil, nil}, time.Now()))
}

// What a span is known by can be kept, and referred to when the span has long ended.
func TestRefer(t *testing.T) {
	tracer, to := recorder(t)
	first := span.Start(tracer, span.Incoming(head("traceparent: "+yes)), true, "first", span.Server, time.Now())
	known := first.Traceparent()
	first.End()
	require.Regexp(t, "^00-0af7651916cd43dd8448eb211c80319c-[0-9a-f]{16}-01$", known)
	unsampled := span.Start(tracer, span.Incoming(head()), false, "unsampled", span.Server, time.Now())
	require.Empty(t, unsampled.Traceparent())
	unsampled.Refer(known)
	later := span.Start(tracer, span.Incoming(head()), true, "later", span.Server, time.Now())
	later.Refer(known)
	later.Refer("")
	later.Refer("rubbish")
	later.End()
	got := to.GetSpans()
	require.Len(t, got, 2)
	require.Len(t, got[1].Links, 1)
	require.Equal(t, got[0].SpanContext.SpanID(), got[1].Links[0].SpanContext.SpanID())
	require.NotEqual(t, got[0].SpanContext.TraceID(), got[1].SpanContext.TraceID())
}

func TestDecisionsOfCallersGoOn(t *testing.T) {
	tracer, to := recorder(t)
	for _, c := range []struct {
		name    string
		head    *fasthttp.RequestHeader
		sampled bool
		want    string // of traceparent; *: a span of ours
		state   string
	}{
		{"nobody has decided", head(), false, "00-*-*-00", ""},
		{"not sampled", head("traceparent: " + no), false, no, ""},
		{"not sampled, in Go's spelling", head("Traceparent: " + no), false, no, ""},
		{"sampled", head("traceparent: "+yes, "tracestate: a=1,b=2"), true, "00-0af7651916cd43dd8448eb211c80319c-*-01", "a=1,b=2"},
		{"sampled, and not to be", head("traceparent: " + yes), false, no, ""},
		{"no trace", head("traceparent: 00-00000000000000000000000000000000-b7ad6b7169203331-01"), false, "00-*-*-00", ""},
		{"rubbish", head("traceparent: 00-xyz"), true, "00-*-*-01", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := span.Start(tracer, span.Incoming(c.head), c.sampled, "n", span.Server, time.Now())
			require.Equal(t, c.sampled, s.Sampled())
			lines := strings.Split(string(s.AppendFields(nil)), "\r\n")
			value, ok := strings.CutPrefix(lines[0], "traceparent: ")
			require.True(t, ok)
			got, want := strings.Split(value, "-"), strings.Split(c.want, "-")
			require.Len(t, got, 4)
			for i := range got {
				if want[i] == "*" {
					require.Regexp(t, "^[0-9a-f]+$", got[i])
					require.NotRegexp(t, "^0+$", got[i])
					continue
				}
				require.Equal(t, want[i], got[i])
			}
			if c.state != "" {
				require.Equal(t, "tracestate: "+c.state, lines[1])
			}
			s.End()
		})
	}
	require.Len(t, to.GetSpans(), 2)
}

func TestJoinLinksToItsMembers(t *testing.T) {
	tracer, to := recorder(t)
	begin := func(sampled bool) *span.Span {
		return span.Start(tracer, trace.SpanContext{}, sampled, "member", span.Server, time.Now())
	}
	a, b, dropped := begin(true), begin(true), begin(false)
	call := span.Join("call", []*span.Span{nil, a, dropped, b}, time.Now())
	require.True(t, call.Sampled())
	child := call.Child("child", span.Client)
	child.End()
	call.End()
	got := to.GetSpans()
	require.Len(t, got, 2)
	require.Equal(t, got[1].SpanContext.SpanID(), got[0].Parent.SpanID())
	require.False(t, got[1].Parent.IsValid(), "a trace of its own")
	links := []string{got[1].Links[0].SpanContext.TraceID().String(), got[1].Links[1].SpanContext.TraceID().String()}
	require.Equal(t, []string{a.TraceID(), b.TraceID()}, links)
	alone := span.Join("call", []*span.Span{nil, dropped}, time.Now())
	require.NotNil(t, alone)
	require.False(t, alone.Sampled())
	require.Contains(t, string(alone.AppendFields(nil)), "-00\r\n")
	require.False(t, a.Dropped().Sampled())
	require.Contains(t, string(a.Dropped().AppendFields(nil)), a.TraceID())
}

// It is read as OpenTelemetry's own propagator reads it.
func FuzzParseTraceparent(f *testing.F) {
	for _, s := range []string{yes, no, yes + "-more", "cc" + yes[2:] + "-what", "ff" + yes[2:], strings.ToUpper(yes), yes[:54], "", "00-x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		ctx := propagation.TraceContext{}.Extract(t.Context(), propagation.MapCarrier{"traceparent": text})
		want, got := trace.SpanContextFromContext(ctx), span.ParseTraceparent([]byte(text))
		if len(text) > 55 || len(text) >= 2 && text[:2] != "00" || len(text) == 55 && (text[53] != '0' || text[54] > '2') {
			// It takes version 00 with something behind it, and refuses flags that are not
			// defined, both of which the recommendation has the other way round.
			return
		}
		require.Equal(t, want.IsValid(), got.IsValid(), "%q", text)
		require.Equal(t, want.TraceID(), got.TraceID())
		require.Equal(t, want.SpanID(), got.SpanID())
		require.Equal(t, want.IsSampled(), got.IsSampled())
	})
}

func FuzzIncoming(f *testing.F) {
	f.Add(yes, "a=1")
	f.Add(no, "")
	f.Add("00-xyz", "=,=")
	tracer := sdk.NewTracerProvider().Tracer("test")
	f.Fuzz(func(t *testing.T, parent, state string) {
		h := new(fasthttp.RequestHeader)
		h.DisableNormalizing()
		h.Set("traceparent", parent)
		h.Set("tracestate", state)
		s := span.Start(tracer, span.Incoming(h), true, "n", span.Server, time.Now())
		text := string(s.AppendFields(nil))
		require.Regexp(t, `^traceparent: 00-[0-9a-f]{32}-[0-9a-f]{16}-0[0-9a-f]\r\n(tracestate: [^\r\n]+\r\n)?$`, text)
		s.End()
	})
}

func BenchmarkRequest(b *testing.B) {
	tracer := sdk.NewTracerProvider().Tracer("test")
	for _, c := range []struct {
		name    string
		sampled bool
	}{{"sampled", true}, {"unsampled", false}} {
		b.Run(c.name, func(b *testing.B) {
			h := head("traceparent: " + yes)
			var dst []byte
			b.ReportAllocs()
			for b.Loop() {
				s := span.Start(tracer, span.Incoming(h), c.sampled, "n", span.Server, time.Now())
				up := s.Child("up", span.Client)
				dst = up.AppendFields(dst[:0])
				up.End()
				s.End()
			}
		})
	}
}
