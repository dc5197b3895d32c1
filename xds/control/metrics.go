package control

import (
	"github.com/prometheus/client_golang/prometheus"
)

// Metrics are all metrics of fridayd.
type Metrics struct {
	// Policies is how many policies are in force: current as their file says, or
	// stale, since their file has become faulty.
	Policies *prometheus.GaugeVec // state
	// Files is how many files of the folder are ok or refused.
	Files *prometheus.GaugeVec // state
	// Loads counts the files read that had changed: accepted or refused.
	Loads *prometheus.CounterVec // result
	// Nodes is how many nodes have a stream open, Streams how many streams.
	Nodes   prometheus.Gauge
	Streams *prometheus.GaugeVec // protocol
	// Responses counts the responses sent, Answers what became of them: ack or
	// nack.
	Responses *prometheus.CounterVec // type
	Answers   *prometheus.CounterVec // type, result
	// Version is the number of the version in force, RolledBack 1 while a rollback
	// holds, Rejected how many policies sidecars have refused.
	Version, RolledBack, Rejected prometheus.Gauge
	// Rollbacks counts them: asked for, or automatic.
	Rollbacks *prometheus.CounterVec // kind
	// ShiftWeight is the weight in force of each cluster of a route that a shift has
	// set, Shifts counts those that have ended: done or aborted.
	ShiftWeight *prometheus.GaugeVec   // route, cluster
	Shifts      *prometheus.CounterVec // result
	// Joins counts the streams by how they have proved who they are, and what came of
	// it; Certificates those issued to sidecars; AuthorityEnds is when the certificate
	// ends that signs them.
	Joins         *prometheus.CounterVec // way, result
	Certificates  *prometheus.CounterVec // result
	AuthorityEnds prometheus.Gauge
}

// NewMetrics makes the metrics and registers them.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		g := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels)
		reg.MustRegister(g)
		return g
	}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
		reg.MustRegister(c)
		return c
	}
	one := func(name, help string) prometheus.Gauge {
		g := prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
		reg.MustRegister(g)
		return g
	}
	m := &Metrics{
		Policies:  gauge("fridayd_policies", "Policies in force: current, or stale since their file has become faulty.", "state"),
		Files:     gauge("fridayd_policy_files", "Files of the policy folder.", "state"),
		Loads:     counter("fridayd_policy_loads_total", "Changed policy files read, by what became of them.", "result"),
		Nodes:     one("fridayd_nodes", "Nodes with a stream open."),
		Streams:   gauge("fridayd_streams", "Streams open.", "protocol"),
		Responses: counter("fridayd_xds_responses_total", "Responses sent to nodes.", "type"),
		Answers:   counter("fridayd_xds_answers_total", "What nodes made of responses.", "type", "result"),

		Version:     one("fridayd_version", "Number of the version in force."),
		RolledBack:  one("fridayd_rolled_back", "1 while a rollback holds."),
		Rejected:    one("fridayd_policies_rejected", "Policies whose version sidecars have refused."),
		Rollbacks:   counter("fridayd_rollbacks_total", "Rollbacks, asked for or automatic.", "kind"),
		ShiftWeight: gauge("fridayd_shift_weight", "Weights in force that a shift has set.", "route", "cluster"),
		Shifts:      counter("fridayd_shifts_total", "Shifts that have ended.", "result"),

		Joins:         counter("fridayd_joins_total", "Streams by how sidecars proved who they are.", "way", "result"),
		Certificates:  counter("fridayd_certificates_total", "Certificates for sidecars.", "result"),
		AuthorityEnds: one("fridayd_authority_end_timestamp_seconds", "When the certificate ends that signs those of sidecars."),
	}
	for _, kind := range []string{"asked", "automatic"} {
		m.Rollbacks.WithLabelValues(kind)
	}
	for _, result := range []string{ShiftDone, ShiftAborted} {
		m.Shifts.WithLabelValues(result)
	}
	for _, state := range []State{StateCurrent, StateStale} {
		m.Policies.WithLabelValues(string(state))
	}
	for _, result := range []string{loadAccepted, loadRefused} {
		m.Loads.WithLabelValues(result)
	}
	return m
}
