package jobs

import (
	"strconv"
	"time"

	"github.com/fridaymesh/friday/filters/jobs/store"
)

// mostCollected is how many outcomes are written together.
const mostCollected = 256

// collect hands outcomes to the store: all that have come while the ones before were being
// written. What cannot be written is kept, and its lease with it, until it can.
func (w *worker) collect(st *store.Store) {
	for {
		var results []store.Result
		var backs []store.Return
		add := func(o outcome) {
			if o.result != nil {
				results = append(results, *o.result)
			} else {
				backs = append(backs, *o.back)
			}
		}
		select {
		case o := <-w.outcomes:
			add(o)
		case <-w.ctx.Done():
			return
		}
	more:
		for len(results)+len(backs) < mostCollected {
			select {
			case o := <-w.outcomes:
				add(o)
			default:
				break more
			}
		}
		if !w.persist("results cannot be written", func() error { return w.finish(st, results) }) ||
			!w.persist("lines cannot be put back", func() error { return st.PutBack(w.ctx, backs) }) {
			return
		}
		for _, b := range backs {
			w.forget(b.Job, b.N, b.Token)
			w.later(b.NotBefore)
		}
	}
}

// persist does it until it succeeds; false: the state has been closed.
func (w *worker) persist(what string, do func() error) bool {
	for {
		err := do()
		if err == nil {
			return true
		}
		w.failed(what, err)
		if !w.sleep(w.tempo.open) {
			return false
		}
	}
}

func (w *worker) finish(st *store.Store, results []store.Result) error {
	if len(results) == 0 {
		return nil
	}
	done, err := st.Finish(w.ctx, results)
	if err != nil {
		return err
	}
	stale := map[flightKey]bool{}
	for _, r := range done.Stale {
		stale[flightKey{r.Job, r.N}] = true
		w.metrics.JobLines.WithLabelValues("stale").Inc()
	}
	for i := range results {
		r := &results[i]
		w.forget(r.Job, r.N, r.Token)
		switch {
		case stale[flightKey{r.Job, r.N}]:
		case r.OK():
			w.metrics.JobLines.WithLabelValues("completed").Inc()
		default:
			w.metrics.JobLines.WithLabelValues("failed").Inc()
			w.metrics.JobLineFailures.WithLabelValues(reason(r)).Inc()
		}
	}
	if len(done.Full) > 0 {
		w.care()
	}
	w.wakeUp()
	return nil
}

// reason is bounded in number: a status, or a word of ours.
func reason(r *store.Result) string {
	if r.Code != "" {
		return r.Code
	}
	if r.Status < 100 || r.Status > 599 {
		return "other"
	}
	return strconv.Itoa(r.Status)
}

// later wakes the worker when a line that was put back may run, where that is before it
// looks by itself.
func (w *worker) later(at time.Time) {
	if d := time.Until(at); d < w.poll {
		time.AfterFunc(max(0, d)+time.Millisecond, w.wakeUp)
	}
}
