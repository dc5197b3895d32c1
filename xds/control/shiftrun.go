package control

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/fridaymesh/friday/xds/control/history"
)

const (
	// watchEvery is how often the metrics are read while a shift runs.
	watchEvery = time.Second
	// blindness is how long a shift waits for metrics that cannot be read before it
	// is aborted.
	blindness = time.Minute
)

// watching is what is known of a running shift's sidecars; it does not outlive
// the process.
type watching struct {
	began, step Reading // when it, and its present step, began
	blindSince  time.Time
}

// Shift begins to move a route's weights. It reads the sidecars' metrics once, so
// that a shift that could not be watched does not begin.
func (r *Rollout) Shift(ctx context.Context, q ShiftRequest, by string) (*Shift, error) {
	r.mu.Lock()
	s, err := r.newShift(q, by)
	r.mu.Unlock()
	if err != nil {
		return nil, err
	}
	first := r.meter.Read(ctx, r.nodes.sidecars(s.Policy))
	if !q.Unwatched && !first.clear() {
		return nil, fmt.Errorf("%w: %s: the metrics of %d of its %d sidecars cannot be read, the first: %w", ErrShift, q.Route,
			first.Of-len(first.Nodes), first.Of, first.Err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if s, err = r.newShift(q, by); err != nil { // the folder may have changed
		return nil, err
	}
	r.state.Shifts = slices.DeleteFunc(r.state.Shifts, func(other *Shift) bool { return other.Route == q.Route })
	r.state.Shifts = append(r.state.Shifts, s)
	r.watches[s.Route] = &watching{began: first, step: first}
	r.log.Named("audit").Info("shift begins", zap.String("route", s.Route), zap.String("from", history.Shares(s.Before)),
		zap.String("to", history.Shares(percent(s.Target))), zap.Duration("over", s.over()), zap.Int("steps", s.Steps), zap.String("by", by))
	r.advance(s, first)
	select {
	case r.begun <- struct{}{}:
	default:
	}
	return s.copy(), nil
}

func (s *Shift) copy() *Shift {
	c := *s
	return &c
}

// advance puts a shift's next step in force, or ends it. r.mu is held.
func (r *Rollout) advance(s *Shift, now Reading) {
	s.Stepped = time.Now().UTC()
	if s.Step == s.Steps || s.Over == 0 {
		s.Step, s.State, s.Weights, s.Seen = s.Steps, ShiftDone, percent(s.Target), ""
		delete(r.watches, s.Route)
		r.metrics.Shifts.WithLabelValues(ShiftDone).Inc()
		r.log.Named("audit").Info("shift done", zap.String("route", s.Route), zap.String("weights", history.Shares(s.Weights)))
		r.enter(fmt.Sprintf("shift: %s to %s", s.Route, history.Shares(s.Weights)), 0)
		return
	}
	s.Step++
	s.Weights, s.Seen = s.at(s.Step), ""
	if w := r.watches[s.Route]; w != nil {
		w.step = now
	}
	r.log.Info("shift goes on", zap.String("route", s.Route), zap.Int("step", s.Step), zap.Int("steps", s.Steps), zap.String("weights", history.Shares(s.Weights)))
	r.enter(stepOrigin, 0)
}

// AbortShift gives the old weights of a route back; of an empty name, those of
// the one shift that is running.
func (r *Rollout) AbortShift(route, by string) (*Shift, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var found *Shift
	for _, s := range r.state.Shifts {
		if s.State != ShiftRunning || route != "" && s.Route != route {
			continue
		}
		if found != nil {
			return nil, fmt.Errorf("%w: several shifts are running: name the route", ErrShift)
		}
		found = s
	}
	if found == nil {
		return nil, fmt.Errorf("%w: no such shift is running", ErrNothing)
	}
	r.abort(found, "asked for", by)
	r.enter("shift aborted", 0)
	return found.copy(), nil
}

// Shifts are those of the weights in force, and the latest aborted ones.
func (r *Rollout) Shifts() []*Shift {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := make([]*Shift, 0, len(r.state.Shifts))
	for _, s := range r.state.Shifts {
		list = append(list, s.copy())
	}
	return list
}

// runShifts watches over the shifts until ctx ends. Those that were running when
// the process ended go on with the step that they were at.
func (r *Rollout) runShifts(ctx context.Context) {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		r.mu.Lock()
		running := r.shifting()
		r.mu.Unlock()
		if !running {
			select {
			case <-ctx.Done():
				return
			case <-r.begun:
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			for _, s := range r.Shifts() {
				if s.State == ShiftRunning {
					r.watch(ctx, s)
				}
			}
		}
	}
}

// watch reads the metrics for a shift and acts upon them.
func (r *Rollout) watch(ctx context.Context, seen *Shift) {
	now := r.meter.Read(ctx, r.nodes.sidecars(seen.Policy))
	if ctx.Err() != nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	i := slices.IndexFunc(r.state.Shifts, func(s *Shift) bool {
		return s.Route == seen.Route && s.State == ShiftRunning && s.Step == seen.Step && s.Began.Equal(seen.Began)
	})
	if i < 0 {
		return // it went on, or ended, in the meantime
	}
	s := r.state.Shifts[i]
	w := r.watches[s.Route]
	if w == nil { // it was running when the process ended
		w = &watching{began: now, step: now}
		r.watches[s.Route] = w
		s.Stepped = time.Now().UTC()
	}
	if !now.clear() && !s.Unwatched {
		if w.blindSince.IsZero() {
			w.blindSince = time.Now()
			r.log.Warn("shift waits, since metrics cannot be read", zap.String("route", s.Route), zap.Error(now.Err))
		}
		if time.Since(w.blindSince) > blindness {
			r.abort(s, fmt.Sprintf("for %v the metrics of %d of %d sidecars could not be read: %v", blindness, now.Of-len(now.Nodes), now.Of, now.Err), "")
			r.enter("shift aborted", 0)
		}
		return
	}
	w.blindSince = time.Time{}
	var reason error
	if s.Seen, reason = s.judge(w, now); reason != nil {
		r.abort(s, reason.Error(), "")
		r.enter("shift aborted", 0)
		return
	}
	if time.Since(s.Stepped) >= s.over()/time.Duration(s.Steps) {
		r.advance(s, now)
	}
}

const (
	// fewErrors are no reason: one failure is not a trend.
	fewErrors = 3
	// manyRequests are enough to speak of a p99: a few are beyond it.
	manyRequests = 300
	// Without a limit of its own, a p99 is too long at slower times that of the
	// servers it leaves, and at least so many seconds longer: a server that has just
	// got its first requests is slower for a while.
	slower     = 3
	noticeable = 0.25
)

// judge says what the metrics tell of a shift's present step, and why it must not
// go on. Failures are held against the limit and against twice those of the
// servers that it leaves: where they fail as often, the shift is not to blame.
func (s *Shift) judge(w *watching, now Reading) (seen string, reason error) {
	gains, loses := s.gains()
	fresh, old := now.since(w.step, gains), now.since(w.began, loses)
	seen = fmt.Sprintf("%d requests, %d failed", fresh.Requests, fresh.Errors)
	if fresh.Errors >= fewErrors && fresh.rate() > s.MaxErrors && fresh.rate() > 2*old.rate() {
		return seen, fmt.Errorf("%d of %d requests to %s failed (%.1f%%): more than %.1f%%, and than twice the %.1f%% of %s",
			fresh.Errors, fresh.Requests, list(gains), 100*fresh.rate(), 100*s.MaxErrors, 100*old.rate(), list(loses))
	}
	if fresh.Requests < manyRequests {
		return seen, nil
	}
	p99 := fresh.quantile(.99)
	seen += fmt.Sprintf(", p99 %.0f ms", 1000*p99)
	if s.MaxP99 > 0 {
		if p99 > s.MaxP99 {
			return seen, fmt.Errorf("the p99 of %s is %.0f ms: more than %.0f ms", list(gains), 1000*p99, 1000*s.MaxP99)
		}
		return seen, nil
	}
	if old.Requests < manyRequests {
		return seen, nil
	}
	if before := old.quantile(.99); p99 > slower*before && p99 > before+noticeable {
		return seen, fmt.Errorf("the p99 of %s is %.0f ms: more than %d times the %.0f ms of %s", list(gains), 1000*p99, slower, 1000*before, list(loses))
	}
	return seen, nil
}

var errNoMetrics = errors.New("its metrics are nowhere to be read")
