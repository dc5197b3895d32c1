package stream

import (
	"io"
	"sync"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"

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
	tokens         sync.Map // *api to tokens; looking labels up costs more than counting
}

type tokens struct{ input, output prometheus.Observer }

// use counts the tokens that an answer says it took.
func (m *meter) use(a *api, u usage) {
	found, ok := m.tokens.Load(a)
	if !ok {
		of := func(kind string) prometheus.Observer {
			return m.metrics.TokenUsage.WithLabelValues(m.cluster, a.operation, a.provider, m.model, kind)
		}
		found, _ = m.tokens.LoadOrStore(a, tokens{of("input"), of("output")})
	}
	t, _ := found.(tokens)
	if u.input >= 0 {
		t.input.Observe(float64(u.input))
	}
	if u.output >= 0 {
		t.output.Observe(float64(u.output))
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
