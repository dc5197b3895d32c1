package dashboard

import "math"

type batching struct {
	Size, Wait group
	// Items is how many a second went through shared calls, or alone.
	Items, Queued     float64
	Models            []batched
	Reasons, Fallback []reason
}

// reason is why calls were sent, or sent again.
type reason struct {
	Name, Words string
	*group
	// Share is of all within the window.
	Share float64
}

// batched is a model's batches, and what is known of its server.
type batched struct {
	Cluster, Model string
	Size, Wait     *group
	// Aside says that requests pass unread, because batching does not pay.
	Aside bool
	// Fixed and Each are what a call costs, and each item of it; NaN: not learned.
	Fixed, Each float64
	// Limit is how many calls an endpoint gets at once; 0: any number.
	Limit float64
}

// Learned says that the cost of a call is known.
func (b *batched) Learned() bool { return known(b.Fixed) && known(b.Each) && b.Fixed+b.Each > 0 }

// Alone is what the server takes for an item by itself, Shared for one in a batch of the mean size.
func (b *batched) Alone() float64 { return b.Fixed + b.Each }

// Shared is NaN where there were no calls.
func (b *batched) Shared() float64 { return b.Fixed/max(1, b.Size.Mean()) + b.Each }

// Times is how many times as many items the server gets through.
func (b *batched) Times() float64 { return b.Alone() / b.Shared() }

// Bought says that there is something to tell of what waiting brought.
func (b *batched) Bought() bool { return !b.Aside && b.Learned() && known(b.Times()) }

func batchingOf(f *figures) *batching {
	if !f.has("friday_batch_size") && !f.has("friday_batch_dispatch_total") {
		return nil
	}
	b := &batching{
		Size: f.sum("friday_batch_size"), Wait: f.sum("friday_batch_wait_seconds"), Queued: f.sum("friday_batch_queued_items").Value,
		Reasons:  reasonsOf(f.by("friday_batch_dispatch_total", "reason"), dispatchWords),
		Fallback: reasonsOf(f.by("friday_batch_fallback_total", "reason"), fallbackWords),
	}
	b.Items = b.Size.histogram.sum / f.window.Seconds()
	waits := byLabels(f.by("friday_batch_wait_seconds", "cluster", "model"))
	aside := byLabels(f.by("friday_batch_aside", "cluster", "model"))
	limits := byLabels(f.by("friday_batch_in_flight_limit", "cluster", "model"))
	terms := make(map[[3]string]float64)
	for _, g := range f.by("friday_batch_model_seconds", "cluster", "model", "term") {
		terms[[3]string(g.Labels)] = g.Value
	}
	term := func(c, m, name string) float64 {
		if v, ok := terms[[3]string{c, m, name}]; ok {
			return v
		}
		return math.NaN()
	}
	for _, g := range busiest(f.by("friday_batch_size", "cluster", "model")) {
		c, m := g.Labels[0], g.Labels[1]
		b.Models = append(b.Models, batched{
			c, m, g, waits(c, m), aside(c, m).Value == 1, term(c, m, "a"), term(c, m, "b"), limits(c, m).Value,
		})
	}
	return b
}

func reasonsOf(groups []*group, words func(string) string) (out []reason) {
	all := 0.0
	for _, g := range groups {
		all += g.Grown
	}
	for _, g := range busiest(groups) {
		if g.Value > 0 {
			out = append(out, reason{g.Labels[0], words(g.Labels[0]), g, g.Grown / all})
		}
	}
	return out
}
