package cluster

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/fridaymesh/friday/proxy/telemetry"
)

// metrics are the cluster's own of the house's metrics.
type metrics struct {
	name    string
	m       *telemetry.Metrics
	retries struct{ connect, reset prometheus.Counter }
	states  [4]prometheus.Gauge
}

// The states of endpoints.
const (
	stateHealthy = iota
	stateDegraded
	stateUnhealthy
	stateEjected
)

func newMetrics(name string, m *telemetry.Metrics) metrics {
	out := metrics{name: name, m: m}
	out.retries.connect = m.UpstreamRetries.WithLabelValues(name, "connect-failure")
	out.retries.reset = m.UpstreamRetries.WithLabelValues(name, "reset-before-request")
	for i, state := range [...]string{"healthy", "degraded", "unhealthy", "ejected"} {
		out.states[i] = m.Endpoints.WithLabelValues(name, state)
	}
	return out
}

// show counts the endpoints by state.
func (m *metrics) show(s *set) {
	var n [4]int
	for _, e := range s.members {
		switch f := e.health(); {
		case f&failedOutlier != 0:
			n[stateEjected]++
		case !f.healthy():
			n[stateUnhealthy]++
		case f.degraded():
			n[stateDegraded]++
		default:
			n[stateHealthy]++
		}
	}
	for i := range n {
		m.states[i].Set(float64(n[i]))
	}
}

func (m *metrics) resolution(result string) { m.m.Resolutions.WithLabelValues(m.name, result).Inc() }

func (m *metrics) checked(result string)   { m.m.HealthChecks.WithLabelValues(m.name, result).Inc() }
func (m *metrics) ejection(reason string)  { m.m.Ejections.WithLabelValues(m.name, reason).Inc() }
func (m *metrics) dropped(category string) { m.m.Dropped.WithLabelValues(m.name, category).Inc() }

func (m *metrics) overflow(priority int, limit string) {
	m.m.UpstreamOverflow.WithLabelValues(m.name, [...]string{"default", "high"}[priority], limit).Inc()
}
