package tracing

import (
	"context"
	"errors"
	"io"
	"time"

	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// scope is what made the spans, as OpenTelemetry has it.
const scope = "github.com/fridaymesh/friday"

// Tracer makes spans and sends them to one collector. It is safe for concurrent use.
type Tracer struct {
	provider *sdk.TracerProvider
	tracer   trace.Tracer
	// sampler is for requests of which no listener says how they are sampled.
	sampler sdk.Sampler
}

var _ io.Closer = (*Tracer)(nil)

// New makes a Tracer that sends to exporter. Of the environment the SDK heeds what says how
// (OTEL_BSP_…) and how much a span may hold (OTEL_SPAN_…).
func New(exporter sdk.SpanExporter, of *resource.Resource, sampler sdk.Sampler) *Tracer {
	// What is sampled is decided before a span is begun.
	p := sdk.NewTracerProvider(sdk.WithBatcher(exporter), sdk.WithResource(of), sdk.WithSampler(sdk.AlwaysSample()))
	return &Tracer{provider: p, tracer: p.Tracer(scope), sampler: sampler}
}

// flushTimeout is how long the end waits for the collector.
const flushTimeout = 5 * time.Second

// Close sends what is still there, for five seconds at most.
func (t *Tracer) Close() error {
	if t == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), flushTimeout)
	defer cancel()
	if err := t.provider.Shutdown(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return nil
}

// Flush sends what is there now.
func (t *Tracer) Flush(ctx context.Context) error { return t.provider.ForceFlush(ctx) }
