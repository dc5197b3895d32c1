package jobs

import (
	"time"

	"github.com/fridaymesh/friday/filters/jobs/store"
)

// tidy looks after the store as a whole, until the state is closed: leases that have run
// out, what is past its time, what is to be counted.
func (s *state) tidy() {
	st := s.store.Load()
	var swept time.Time
	for {
		now := time.Now()
		if n, err := st.Recover(s.ctx, now); err != nil {
			s.failed("leases cannot be looked at", err)
		} else if n > 0 {
			s.metrics.JobLines.WithLabelValues("recovered").Add(float64(n))
		}
		if now.Sub(swept) >= s.tempo.sweep {
			swept = now
			if err := st.Expire(s.ctx, now); err != nil {
				s.failed("what has expired cannot be cleared away", err)
			}
		}
		for more := true; more && s.ctx.Err() == nil; {
			var err error
			if more, err = st.Sweep(s.ctx); err != nil {
				s.failed("what has expired cannot be cleared away", err)
				break
			}
		}
		s.count(st, now)
		if !s.sleep(s.poll) {
			return
		}
	}
}

func (s *state) count(st *store.Store, now time.Time) {
	stats, err := st.Stats(s.ctx)
	if err != nil {
		s.failed("jobs cannot be counted", err)
		return
	}
	for _, status := range []store.Status{store.Validating, store.InProgress, store.Finalizing, store.Cancelling} {
		s.metrics.JobsOpen.WithLabelValues(string(status)).Set(float64(stats.Jobs[status]))
	}
	s.metrics.JobLinesWaiting.WithLabelValues().Set(float64(stats.Waiting))
	age := 0.0
	if !stats.Oldest.IsZero() {
		age = now.Sub(stats.Oldest).Seconds()
	}
	s.metrics.JobsOldest.WithLabelValues().Set(age)
}
