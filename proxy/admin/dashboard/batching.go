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
	// Learned says that it is known what a call costs, and each item of it. Then Alone is what the
	// server takes for an item by itself, Shared for one in a batch of the mean size (NaN where
	// there were no calls), and Times how many times as many items it gets through.
	Learned              bool
	Alone, Shared, Times float64
	// Bought says that there is something to tell of what waiting brought.
	Bought bool
	// Limit is how many calls an endpoint gets at once; 0: any number.
	Limit float64
}

// learn takes what a call costs, and each item of it; NaN: not learned.
func (b *batched) learn(call, item float64) {
	b.Alone = call + item
	b.Learned = known(b.Alone) && b.Alone > 0
	b.Shared = call/max(1, b.Size.Mean()) + item
	b.Times = b.Alone / b.Shared
	b.Bought = !b.Aside && b.Learned && known(b.Times)
}

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
		model := batched{Cluster: c, Model: m, Size: g, Wait: waits(c, m), Aside: aside(c, m).Value == 1, Limit: limits(c, m).Value}
		model.learn(term(c, m, "a"), term(c, m, "b"))
		b.Models = append(b.Models, model)
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
