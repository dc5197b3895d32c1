package tracing

import (
	"math/rand/v2"

	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/fridaymesh/friday/proxy"
	"github.com/fridaymesh/friday/proxy/span"
)

// Sampling is Envoy's: which of the requests are sampled whose callers have not decided.
// All are shares, from 0 to 1.
type Sampling struct {
	// Client is of those that ask for it by a header x-client-trace-id, Random of all others,
	// and neither is more than Overall.
	Client, Random, Overall float64
}

// forced is the header by which a caller asks for its request to be traced.
const forced = "x-client-trace-id"

// sampled decides.
func (s *Sampling) sampled(req *proxy.Request, parent trace.SpanContext) bool {
	if parent.IsValid() {
		return parent.IsSampled()
	}
	share := s.Random
	if id, ok := proxy.FieldValue(req.Header, forced); ok && id != "" {
		share = s.Client
	}
	share = min(share, s.Overall)
	return share >= 1 || rand.Float64() < share // #nosec G404 -- shares of traffic need no secrecy
}

// begin begins the span of a request that has just come.
func (t *Tracer) begin(req *proxy.Request, s *Sampling) *span.Span {
	parent := span.Incoming(req.Header)
	sampled := false
	if s != nil {
		sampled = s.sampled(req, parent)
	} else {
		sampled = t.samples(parent)
	}
	return span.Start(t.tracer, parent, sampled, string(req.Header.Method()), span.Server, req.Start)
}

// samples asks the environment's sampler.
func (t *Tracer) samples(parent trace.SpanContext) bool {
	p := sdk.SamplingParameters{ParentContext: trace.ContextWithRemoteSpanContext(background, parent), TraceID: parent.TraceID(), Kind: trace.SpanKindServer}
	if !parent.IsValid() {
		for i := range p.TraceID {
			p.TraceID[i] = byte(rand.Uint32()) // #nosec G115 G404 -- a draw
		}
	}
	return t.sampler.ShouldSample(p).Decision == sdk.RecordAndSample
}
