package fidelity_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// embedding is a request of one text of a model, whose answer nobody else's has.
func embedding(model, text string, header ...string) *request {
	return post("/v1/embeddings", fmt.Sprintf(`{"model":%q,"input":%q}`, model, text), header...)
}

// numbered are n embeddings that tell each other apart.
func numbered(n int, model, text string, header ...string) []*request {
	list := make([]*request, n)
	for i := range list {
		list[i] = embedding(model, fmt.Sprintf("%s %d", text, i), header...)
	}
	return list
}

// slowly makes calls cost so much that requests meet in Friday, and lets it see
// that they do: what it knows of a server that answered at once says nothing of
// this one.
func (w *world) slowly() {
	w.t.Helper()
	w.cost(8*time.Millisecond, 100*time.Microsecond)
	for range 4 {
		w.good(w.through, numbered(24, "m", "warm up")...)
	}
	require.Greater(w.t, w.largest(), 1, "requests that meet share calls")
	w.forget()
}

// good asks all requests at the same time; each has to be answered 200.
func (w *world) good(address string, requests ...*request) []*answer {
	w.t.Helper()
	answers := all(w.t.Context(), w.t, address, requests...)
	for i, a := range answers {
		require.NoError(w.t, a.err)
		require.Equal(w.t, 200, a.status, "%s\n%s", requests[i], a)
	}
	return answers
}

// same asks all requests at the same time through Friday, and compares each with
// its direct answer, which is asked for alone and costs nothing. It returns what
// came through Friday, and how many calls that took.
func (w *world) same(e excuse, requests ...*request) ([]*answer, int) {
	w.t.Helper()
	w.forget()
	through := all(w.t.Context(), w.t, w.through, requests...)
	calls := len(w.calls())
	before := w.Cost()
	w.cost(0, 0)
	for i, r := range requests {
		direct := all(w.t.Context(), w.t, w.direct, r)[0]
		require.Empty(w.t, compare(direct, through[i], e), "request %d: %s", i, r)
	}
	require.NoError(w.t, w.SetCost(before))
	return through, calls
}

// queued is how many items wait in Friday, as its metrics tell.
func (w *world) queued() int {
	families, err := w.friday.Registry().Gather()
	require.NoError(w.t, err)
	n := 0.0
	for _, f := range families {
		if f.GetName() == "friday_batch_queued_items" {
			for _, m := range f.GetMetric() {
				n += m.GetGauge().GetValue()
			}
		}
	}
	return int(n)
}

// waitQueued waits until so many items wait in Friday.
func (w *world) waitQueued(n int) {
	w.t.Helper()
	eventually(w.t, fmt.Sprintf("%d items are queued", n), func() bool { return w.queued() == n })
}

// plug sends what the server never answers, and waits until it has it. With one
// call in flight at most, all of its group wait behind it until pull.
func (w *world) plug(model string) (pull func()) {
	w.t.Helper()
	before := w.Stats().Hung
	gone := w.leaver(embedding(model, "plug hangforever"))
	eventually(w.t, "the plug hangs", func() bool { return w.Stats().Hung == before+1 })
	return gone
}

// leaver sends a request whose caller leaves when the returned function is called,
// at the end of the test at the latest.
func (w *world) leaver(r *request) (leave func()) {
	w.t.Helper()
	c := newCaller(w.t, w.through)
	ctx, cancel := contextWithCancel(w.t)
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.ask(ctx, r)
		c.close()
	}()
	leave = func() {
		cancel()
		<-done
	}
	w.t.Cleanup(leave)
	return leave
}

// pending asks requests in the background; the function returns their answers.
func (w *world) pending(requests ...*request) (answers func() []*answer) {
	got := make(chan []*answer, 1)
	go func() { got <- all(w.t.Context(), w.t, w.through, requests...) }()
	return func() []*answer {
		w.t.Helper()
		timer := time.NewTimer(patience)
		defer timer.Stop()
		select {
		case a := <-got:
			return a
		case <-timer.C:
			require.FailNow(w.t, "no answers")
			return nil
		}
	}
}

func TestSlowlyMakesRequestsMeet(t *testing.T) {
	t.Parallel()
	w := newWorld(t, free)
	w.slowly()
	_, calls := w.same(excuse{usage: true}, numbered(32, "m", "text")...)
	require.Less(t, calls, 32)
}
