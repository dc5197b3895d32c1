package admin

import (
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	dto "github.com/prometheus/client_model/go"
)

// stats writes one metric a line, as "name{label="value"}: 5"; a histogram is its
// count and sum.
func (d *door) stats(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	switch format := q.Get("format"); format {
	case "", "text":
	case "prometheus":
		promhttp.HandlerFor(d.o.Registry, promhttp.HandlerOpts{EnableOpenMetrics: true}).ServeHTTP(w, r)
		return
	default:
		text(w, http.StatusBadRequest, "format: "+strconv.Quote(format)+" is neither text nor prometheus\n")
		return
	}
	filter, err := regexp.Compile(q.Get("filter"))
	if err != nil {
		text(w, http.StatusBadRequest, "filter: "+err.Error()+"\n")
		return
	}
	families, err := d.o.Registry.Gather()
	if err != nil {
		text(w, http.StatusInternalServerError, err.Error()+"\n")
		return
	}
	var b strings.Builder
	line := func(name string, m *dto.Metric, value float64) {
		if s := name + labels(m); filter.MatchString(s) {
			fmt.Fprintf(&b, "%s: %s\n", s, strconv.FormatFloat(value, 'f', -1, 64))
		}
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			switch f.GetType() {
			case dto.MetricType_COUNTER:
				line(f.GetName(), m, m.GetCounter().GetValue())
			case dto.MetricType_GAUGE:
				line(f.GetName(), m, m.GetGauge().GetValue())
			case dto.MetricType_UNTYPED:
				line(f.GetName(), m, m.GetUntyped().GetValue())
			case dto.MetricType_HISTOGRAM, dto.MetricType_GAUGE_HISTOGRAM:
				line(f.GetName()+"_count", m, float64(m.GetHistogram().GetSampleCount()))
				line(f.GetName()+"_sum", m, m.GetHistogram().GetSampleSum())
			case dto.MetricType_SUMMARY:
				line(f.GetName()+"_count", m, float64(m.GetSummary().GetSampleCount()))
				line(f.GetName()+"_sum", m, m.GetSummary().GetSampleSum())
			}
		}
	}
	text(w, http.StatusOK, b.String())
}

func labels(m *dto.Metric) string {
	if len(m.GetLabel()) == 0 {
		return ""
	}
	pairs := make([]string, 0, len(m.GetLabel()))
	for _, l := range m.GetLabel() {
		pairs = append(pairs, l.GetName()+"="+strconv.Quote(l.GetValue()))
	}
	return "{" + strings.Join(pairs, ",") + "}"
}
