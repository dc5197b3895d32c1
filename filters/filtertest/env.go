package filtertest

import (
	"context"
	"fmt"
	"io"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/fridaymesh/friday/proxy"
)

// House is what a filter is built in. What it keeps lives until the test ends.
type House struct {
	Registry *prometheus.Registry
	// Endpoints are those of every cluster.
	Endpoints []*proxy.Endpoint
	// Rest is what stands behind a filter that sends requests of its own.
	Rest proxy.Handler
	// StateDir is lent as it is.
	StateDir string

	moving sync.RWMutex // Endpoints, once filters are built

	mu   sync.Mutex
	kept map[string]io.Closer
}

// NewHouse has so many healthy endpoints, at 10.0.0.1:80 and so on.
func NewHouse(tb testing.TB, endpoints int) *House {
	tb.Helper()
	h := &House{Registry: prometheus.NewRegistry(), kept: make(map[string]io.Closer)}
	for i := range endpoints {
		ep := &proxy.Endpoint{Cluster: Cluster, Address: fmt.Sprintf("10.0.0.%d:80", i+1)}
		ep.Healthy.Store(true)
		h.Endpoints = append(h.Endpoints, ep)
	}
	tb.Cleanup(func() { h.Close(tb) })
	return h
}

// Close ends what is kept; the test's end does it as well.
func (h *House) Close(tb testing.TB) {
	tb.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, c := range h.kept {
		require.NoError(tb, c.Close())
	}
	clear(h.kept)
}

// Purge has what is kept drop what it has of a model.
func (h *House) Purge(model string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, c := range h.kept {
		if p, ok := c.(interface{ Purge(model string) int }); ok {
			p.Purge(model)
		}
	}
}

// Env is the house's.
func (h *House) Env() proxy.Env {
	return proxy.Env{
		StateDir: h.StateDir,
		Log:      zap.NewNop(),
		Metrics:  h.Registry,
		Picker:   func(string) (proxy.Picker, bool) { return picker{h}, true },
		Keep: func(name string, build func() (io.Closer, error)) (io.Closer, error) {
			h.mu.Lock()
			defer h.mu.Unlock()
			if c, ok := h.kept[name]; ok {
				return c, nil
			}
			c, err := build()
			if err == nil {
				h.kept[name] = c
			}
			return c, err
		},
		Origin: "test",
		Rest:   func() proxy.Handler { return h.Rest },
	}
}

type picker struct{ house *House }

var _ proxy.Picker = picker{}

// Pick picks the first.
func (p picker) Pick(context.Context, *proxy.Request) (*proxy.Endpoint, error) {
	for _, ep := range p.Endpoints() {
		if ep.Healthy.Load() {
			return ep, nil
		}
	}
	return nil, &proxy.Error{Status: 503, Flag: proxy.FlagNoHealthyUpstream, Message: "no healthy upstream", Unsent: true}
}

func (p picker) Endpoints() []*proxy.Endpoint {
	p.house.moving.RLock()
	defer p.house.moving.RUnlock()
	return p.house.Endpoints
}

// SetEndpoints has every cluster have other endpoints.
func (h *House) SetEndpoints(endpoints []*proxy.Endpoint) {
	h.moving.Lock()
	defer h.moving.Unlock()
	h.Endpoints = endpoints
}

// Push puts a snapshot in force as the real house does: build makes its filters, what it
// keeps is told, and what was kept and is asked for no more is closed.
func (h *House) Push(tb testing.TB, build func(env proxy.Env)) {
	tb.Helper()
	h.mu.Lock()
	old := h.kept
	h.kept = make(map[string]io.Closer)
	now := h.kept
	h.mu.Unlock()
	env := h.Env()
	env.Keep = func(name string, build func() (io.Closer, error)) (io.Closer, error) {
		if c, ok := now[name]; ok {
			return c, nil
		}
		c, ok := old[name]
		if !ok {
			var err error
			if c, err = build(); err != nil {
				return nil, err
			}
		}
		now[name] = c
		return c, nil
	}
	build(env)
	for _, c := range now {
		if k, ok := c.(interface{ InForce() }); ok {
			k.InForce()
		}
	}
	for name, c := range old {
		if now[name] == nil {
			require.NoError(tb, c.Close())
		}
	}
}

// Metric is the sum of all samples of a family whose labels include those given
// as name, value, name, value; of a histogram, the number of its observations.
func (h *House) Metric(tb testing.TB, family string, labels ...string) float64 {
	tb.Helper()
	families, err := h.Registry.Gather()
	require.NoError(tb, err)
	sum := 0.0
	for _, f := range families {
		if f.GetName() != family {
			continue
		}
	samples:
		for _, m := range f.GetMetric() {
			have := make(map[string]string)
			for _, l := range m.GetLabel() {
				have[l.GetName()] = l.GetValue()
			}
			for i := 0; i+1 < len(labels); i += 2 {
				if have[labels[i]] != labels[i+1] {
					continue samples
				}
			}
			sum += m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return sum
}

// Count is Metric for what counts whole things.
func (h *House) Count(tb testing.TB, family string, labels ...string) int {
	tb.Helper()
	return int(h.Metric(tb, family, labels...))
}

// Build parses text (a protobuf message as prototext, without its type) and
// builds the factory's filter in the house.
func (h *House) Build(tb testing.TB, f proxy.Factory, text string) proxy.Filter {
	tb.Helper()
	config, err := f.Parse(Any(tb, f, text))
	require.NoError(tb, err)
	filter, err := f.Build(config, h.Env())
	require.NoError(tb, err)
	return filter
}

// Any packs text, the prototext of the factory's configuration message.
func Any(tb testing.TB, f proxy.Factory, text string) *anypb.Any {
	tb.Helper()
	kind, err := protoregistry.GlobalTypes.FindMessageByURL(f.TypeURL())
	require.NoError(tb, err)
	m := kind.New().Interface()
	require.NoError(tb, prototext.Unmarshal([]byte(text), m))
	packed, err := anypb.New(m)
	require.NoError(tb, err)
	return packed
}
