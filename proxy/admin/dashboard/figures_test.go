package dashboard

import (
	"math"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
)

func TestQuantile(t *testing.T) {
	h := histogram{bounds: []float64{1, 2, 4}, counts: []float64{10, 30, 40}, total: 50, sum: 100}
	for q, want := range map[float64]float64{.1: .5, .2: 1, .4: 1.5, .6: 2, .7: 3, .8: 4, .9: math.Inf(1)} {
		require.InDelta(t, want, h.Quantile(q), 1e-9, "%v", q)
	}
	require.InDelta(t, 2.0, h.Mean(), 1e-9)
	var empty histogram
	require.True(t, math.IsNaN(empty.Quantile(.5)))
	require.True(t, math.IsNaN(empty.Mean()))
}

func TestWindow(t *testing.T) {
	reg := prometheus.NewRegistry()
	c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "friday_x_total", Help: "X."}, []string{"l"})
	h := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "friday_x_seconds", Help: "X.", Buckets: []float64{1, 2}})
	reg.MustRegister(c, h)
	start := time.Unix(1000, 0)
	var r readings
	at := func(s int) *figures { return r.take(reg, start.Add(time.Duration(s)*time.Second), start) }
	c.WithLabelValues("a").Add(100)
	h.Observe(.5)

	f := at(10) // nobody has looked before: since the start
	require.Nil(t, f.then)
	require.InDelta(t, 10.0, f.sum("friday_x_total").Rate, 1e-9)
	f = at(11) // too soon after it to compare
	require.Nil(t, f.then)

	c.WithLabelValues("a").Add(20)
	h.Observe(1.5)
	f = at(14)
	require.Equal(t, 4*time.Second, f.window)
	x := f.sum("friday_x_total")
	require.InDelta(t, 5.0, x.Rate, 1e-9)
	require.InDelta(t, 120.0, x.Value, 1e-9)
	g := f.sum("friday_x_seconds")
	require.InDelta(t, 1.5, g.Quantile(.5), 1e-9, "only what came since")

	for s := 17; s < 300; s += 3 { // somebody looks on
		c.WithLabelValues("b").Add(3)
		f = at(s)
		require.LessOrEqual(t, f.window, window+apart)
		require.LessOrEqual(t, len(r.kept), 15)
	}
	require.GreaterOrEqual(t, f.window, window-apart)
	require.InDelta(t, 1.0, f.sum("friday_x_total").Rate, .1)
	require.InDelta(t, 1.0, f.sum("friday_x_total", "l", "b").Rate, .1)
	require.Zero(t, f.sum("friday_x_total", "l", "a").Rate)

	c.Reset() // label sets go with what they were of
	require.Zero(t, at(303).sum("friday_x_total").Rate)
	f = at(900) // nobody has looked for long
	require.Nil(t, f.then)
	r.drop()
	require.Empty(t, r.kept)
	r.forget.Stop()
}

func TestWords(t *testing.T) {
	for v, want := range map[float64]string{
		0: "0 s", .000_012_34: "12.3 µs", .000_999_7: "1 ms", .01: "10 ms", .999_6: "1 s", 3.456: "3.46 s", 90: "90 s", 600: "10 min", 7200 * 3: "6 h",
		86400 * 3: "3 days", math.Inf(1): "over 1 min",
	} {
		require.Equal(t, want, seconds(v))
	}
	for v, want := range map[float64]string{0: "0", 1234: "1234", 12345: "12.3 k", 2.5e6: "2.5 M", 3e9: "3 G", .333333: "0.33", 99.95: "100", 10: "10"} {
		require.Equal(t, want, number(v))
	}
	for v, want := range map[float64]string{0: "0 %", .00001: "< 0.01 %", .5: "50 %", 1: "100 %"} {
		require.Equal(t, want, percent(v))
	}
	require.Equal(t, "1.5 MiB", sizeOf(3<<19))
	for _, s := range []string{seconds(math.NaN()), number(math.NaN()), percent(math.NaN())} {
		require.Equal(t, none, s)
	}
}
