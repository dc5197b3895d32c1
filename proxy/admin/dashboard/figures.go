package dashboard

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	dto "github.com/prometheus/client_model/go"
)

// figures are the metrics as they are, and as they were a while ago.
type figures struct {
	now, then families // then is nil where the window began with the process
	window    time.Duration
}

// group is the sum of a metric's samples that have the same values of some labels.
type group struct {
	Labels []string
	// Value is a gauge's or a counter's, or the number of a histogram's observations.
	Value float64
	// Grown is how much of Value came within the window, Rate that by the second.
	Grown, Rate float64
	// histogram is what a histogram observed within the window.
	histogram
}

// histogram is the observations up to each of some bounds, and their sum.
type histogram struct {
	bounds, counts []float64
	total, sum     float64
}

func (f *figures) has(name string) bool { return len(f.now[name]) > 0 }

// by groups a metric by labels, sorted by their values.
func (f *figures) by(name string, labels ...string) []*group {
	groups := make(map[string]*group)
	for _, m := range f.now[name] {
		g, _ := groupOf(groups, m, labels, true)
		v := value(m)
		g.Value += v
		g.Grown += v
		g.add(m.GetHistogram(), 1)
	}
	for _, m := range f.then[name] {
		if g, ok := groupOf(groups, m, labels, false); ok {
			g.Grown -= value(m)
			g.add(m.GetHistogram(), -1)
		}
	}
	out := make([]*group, 0, len(groups))
	for _, key := range slices.Sorted(maps.Keys(groups)) {
		g := groups[key]
		g.Grown = max(0, g.Grown) // less where a label set has gone
		if s := f.window.Seconds(); s > 0 {
			g.Rate = g.Grown / s
		}
		out = append(out, g)
	}
	return out
}

// sum is the group of all samples of a metric whose labels have some values, given in pairs.
func (f *figures) sum(name string, pairs ...string) group {
	labels := make([]string, 0, len(pairs)/2)
	for i := 0; i < len(pairs); i += 2 {
		labels = append(labels, pairs[i])
	}
	all := group{}
	for _, g := range f.by(name, labels...) {
		same := true
		for i := range labels {
			same = same && g.Labels[i] == pairs[2*i+1]
		}
		if !same {
			continue
		}
		all.Value += g.Value
		all.Grown += g.Grown
		all.Rate += g.Rate
		all.merge(g.histogram, 1)
	}
	return all
}

// groupOf finds a sample's group; where there is none it may make one.
func groupOf(groups map[string]*group, m *dto.Metric, labels []string, create bool) (*group, bool) {
	values := make([]string, len(labels))
	for i, name := range labels {
		values[i] = label(m, name)
	}
	key := strings.Join(values, "\xff") // not in UTF-8, as labels are
	g := groups[key]
	if g == nil && create {
		g = &group{Labels: values}
		groups[key] = g
	}
	return g, g != nil
}

func label(m *dto.Metric, name string) string {
	for _, l := range m.GetLabel() {
		if l.GetName() == name {
			return l.GetValue()
		}
	}
	return ""
}

func value(m *dto.Metric) float64 {
	return m.GetCounter().GetValue() + m.GetGauge().GetValue() + m.GetUntyped().GetValue() + float64(m.GetHistogram().GetSampleCount())
}

// add takes the observations of h, sign times.
func (g *group) add(h *dto.Histogram, sign float64) {
	if h == nil {
		return
	}
	o := histogram{total: float64(h.GetSampleCount()), sum: h.GetSampleSum()}
	for _, b := range h.GetBucket() {
		if !math.IsInf(b.GetUpperBound(), 1) {
			o.bounds = append(o.bounds, b.GetUpperBound())
			o.counts = append(o.counts, float64(b.GetCumulativeCount()))
		}
	}
	g.merge(o, sign)
}

// merge adds o, sign times. All histograms of a metric have the same bounds.
func (h *histogram) merge(o histogram, sign float64) {
	if h.bounds == nil {
		h.bounds, h.counts = o.bounds, make([]float64, len(o.counts))
	}
	for i := range min(len(h.counts), len(o.counts)) {
		h.counts[i] += sign * o.counts[i]
	}
	h.total += sign * o.total
	h.sum += sign * o.sum
}

// Mean is NaN where nothing was observed.
func (h *histogram) Mean() float64 {
	if h.total <= 0 {
		return math.NaN()
	}
	return h.sum / h.total
}

// Quantile is where the observations reach a share q, taken to lie evenly between the bounds,
// as Prometheus' histogram_quantile does; NaN where there are none, infinite where it is
// beyond the last bound.
func (h *histogram) Quantile(q float64) float64 {
	if h.total <= 0 {
		return math.NaN()
	}
	rank := q * h.total
	i := slices.IndexFunc(h.counts, func(c float64) bool { return c >= rank })
	if i < 0 {
		return math.Inf(1)
	}
	low, below := 0.0, 0.0
	if i > 0 {
		low, below = h.bounds[i-1], h.counts[i-1]
	}
	if h.counts[i] <= below {
		return low
	}
	return low + (h.bounds[i]-low)*(rank-below)/(h.counts[i]-below)
}

// busiest sorts by what came within the window, then by all, the greatest first.
func busiest(groups []*group) []*group {
	slices.SortStableFunc(groups, func(a, b *group) int {
		return cmp.Or(cmp.Compare(b.Grown, a.Grown), cmp.Compare(b.Value, a.Value))
	})
	return groups
}

// byLabels finds groups by the values of their labels.
func byLabels(groups []*group) func(values ...string) *group {
	found := make(map[string]*group, len(groups))
	for _, g := range groups {
		found[strings.Join(g.Labels, "\xff")] = g
	}
	return func(values ...string) *group {
		if g := found[strings.Join(values, "\xff")]; g != nil {
			return g
		}
		return &group{Labels: values}
	}
}
