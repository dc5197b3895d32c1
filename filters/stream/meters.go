package stream

import (
	"io"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/fridaymesh/friday/proxy/span"
	"github.com/fridaymesh/friday/proxy/telemetry"
)

const (
	maxModels    = 100
	maxModelName = 128
)

// meters resolves the metrics of a cluster and a model once.
type meters struct {
	metrics *telemetry.Metrics

	// Guarded by mu.
	mu    sync.RWMutex
	found map[meterKey]*meter
	named map[string]struct{}
}

type meterKey struct{ cluster, model string }

type meter struct {
	metrics        *telemetry.Metrics
	cluster, model string
	first, gap     prometheus.Observer
	cancelled      prometheus.Counter
	apis           sync.Map // *api to *apiMeter; looking labels up costs more than counting
}

// apiMeter is what is counted of one API, in OpenTelemetry's words.
type apiMeter struct {
	input, output           prometheus.Observer // tokens
	seconds                 prometheus.Observer // of answers that are none of an error
	firstToken, outputToken prometheus.Observer // of streams, in seconds
}

func (m *meter) api(a *api) *apiMeter {
	found, ok := m.apis.Load(a)
	if !ok {
		of := func(kind string) prometheus.Observer {
			return m.metrics.TokenUsage.WithLabelValues(m.cluster, a.operation, a.provider, m.model, kind)
		}
		found, _ = m.apis.LoadOrStore(a, &apiMeter{
			input: of("input"), output: of("output"),
			seconds:     m.metrics.OperationSeconds.WithLabelValues(m.cluster, a.operation, a.provider, m.model, ""),
			firstToken:  m.metrics.FirstTokenSeconds.WithLabelValues(m.cluster, a.operation, a.provider, m.model),
			outputToken: m.metrics.OutputTokenSeconds.WithLabelValues(m.cluster, a.operation, a.provider, m.model),
		})
	}
	t, _ := found.(*apiMeter)
	return t
}

// failed counts a request of one of the APIs that was answered with an error, or cut short;
// kind is a word for why, of few.
func (m *meter) failed(a *api, start time.Time, kind string) {
	m.metrics.OperationSeconds.WithLabelValues(m.cluster, a.operation, a.provider, m.model, kind).Observe(since(start))
}

// since is 0 where a request does not say when it began.
func since(start time.Time) float64 {
	if start.IsZero() {
		return 0
	}
	return time.Since(start).Seconds()
}

// use counts the tokens that an answer says it took.
func (m *meter) use(a *api, u usage) {
	t := m.api(a)
	if u.input >= 0 {
		t.input.Observe(float64(u.input))
	}
	if u.output >= 0 {
		t.output.Observe(float64(u.output))
	}
}

// traceUsage notes them in the request's span, in OpenTelemetry's words
// (https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans/).
func traceUsage(s *span.Span, a *api, u usage) {
	if !s.Sampled() {
		return
	}
	s.Set("gen_ai.operation.name", a.operation)
	s.Set("gen_ai.provider.name", a.provider)
	if u.input >= 0 {
		s.Set("gen_ai.usage.input_tokens", u.input)
	}
	if u.output >= 0 {
		s.Set("gen_ai.usage.output_tokens", u.output)
	}
}

var _ io.Closer = (*meters)(nil)

func newMeters(reg prometheus.Registerer) *meters {
	return &meters{
		metrics: telemetry.New(reg),
		found:   make(map[meterKey]*meter), named: make(map[string]struct{}),
	}
}

// of counts the models beyond the first hundred as one.
func (m *meters) of(cluster, model string) *meter {
	m.mu.RLock()
	found := m.found[meterKey{cluster, model}]
	m.mu.RUnlock()
	if found != nil {
		return found
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.named[model]; !ok {
		if len(m.named) == maxModels || len(model) > maxModelName || !utf8.ValidString(model) {
			model = "other"
		} else {
			m.named[model] = struct{}{}
		}
	}
	k := meterKey{cluster, model}
	if m.found[k] == nil {
		m.found[k] = &meter{
			metrics: m.metrics, cluster: cluster, model: model,
			first:     m.metrics.FirstChunk.WithLabelValues(cluster, model),
			gap:       m.metrics.ChunkGap.WithLabelValues(cluster, model),
			cancelled: m.metrics.StreamsCancelled.WithLabelValues(cluster, model),
		}
	}
	return m.found[k]
}

// Close has nothing to let go of.
func (m *meters) Close() error { return nil }
