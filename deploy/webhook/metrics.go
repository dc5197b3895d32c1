package webhook

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// What became of a review.
const (
	resultInjected  = "injected"
	resultUnchanged = "unchanged"
	resultRefused   = "refused"
	resultBad       = "bad"
)

// Metrics are of the webhook.
type Metrics struct {
	Reviews *prometheus.CounterVec
	Expiry  prometheus.Gauge
	Keeping *prometheus.CounterVec
}

// NewMetrics registers the metrics.
func NewMetrics(r prometheus.Registerer) *Metrics {
	f := promauto.With(r)
	m := &Metrics{
		Reviews: f.NewCounterVec(prometheus.CounterOpts{
			Name: "fridayd_webhook_reviews_total",
			Help: "Pods that the API server has asked about, by what became of them: injected, unchanged, refused; bad: not a question.",
		}, []string{"result"}),
		Expiry: f.NewGauge(prometheus.GaugeOpts{
			Name: "fridayd_webhook_certificate_expiry_timestamp_seconds",
			Help: "When the certificate that is served expires, in Unix time.",
		}),
		Keeping: f.NewCounterVec(prometheus.CounterOpts{
			Name: "fridayd_webhook_certificate_checks_total",
			Help: "Looks after the certificate, by how they went: ok or failed.",
		}, []string{"result"}),
	}
	for _, result := range []string{resultInjected, resultUnchanged, resultRefused, resultBad} {
		m.Reviews.WithLabelValues(result)
	}
	return m
}
