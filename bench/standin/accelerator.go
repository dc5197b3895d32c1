package standin

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fridaymesh/friday/bench/clock"
)

// An accelerator runs calls in the order of their arrival, on a number of equal
// units, each of which runs one call at a time.
//
// Its schedule does not drift: a unit that ends a call at its due time hands that
// time, not the later moment at which somebody noticed, to the next in the queue,
// whose cost counts from there. So n queued calls take exactly n times the cost,
// however late each sleep returns, and throughput is the cost curve's own.
type accelerator struct {
	queued         atomic.Int64
	fixed, perItem atomic.Int64 // nanoseconds

	mu      sync.Mutex
	units   int
	surplus int       // units that go once they are free
	idle    []int64   // for each unit that does nothing, since when
	waiting []*ticket // in order of arrival; empty while a unit is idle
}

// ticket is a call's place in the queue. free gets the time at which a unit
// became free.
type ticket struct{ free chan int64 }

func newAccelerator(c Config) *accelerator {
	a := &accelerator{}
	a.set(Cost{c.Accelerators, c.Fixed, c.PerItem})
	return a
}

// set changes cost and units. Calls that run go on at the cost that they began
// with; units too many go when their calls end.
func (a *accelerator) set(c Cost) {
	a.fixed.Store(int64(c.Fixed))
	a.perItem.Store(int64(c.PerItem))
	a.mu.Lock()
	more := c.Accelerators - a.units
	a.units = c.Accelerators
	for ; more < 0; more++ {
		if n := len(a.idle); n > 0 {
			a.idle = a.idle[:n-1]
		} else {
			a.surplus++
		}
	}
	for ; more > 0 && a.surplus > 0; more-- {
		a.surplus--
	}
	a.mu.Unlock()
	for range more {
		a.release(0)
	}
}

func (a *accelerator) cost() Cost {
	a.mu.Lock()
	defer a.mu.Unlock()
	return Cost{a.units, time.Duration(a.fixed.Load()), time.Duration(a.perItem.Load())}
}

// costs says whether a call takes time at all.
func (a *accelerator) costs() bool { return a.fixed.Load() > 0 || a.perItem.Load() > 0 }

// run waits for a unit and then for the cost of n items. When ctx ends first it
// gives up the place or the unit and returns the cause.
func (a *accelerator) run(ctx context.Context, n int) error {
	if !a.costs() {
		return nil
	}
	start, err := a.acquire(ctx)
	if err != nil {
		return err
	}
	end := start + a.fixed.Load() + int64(n)*a.perItem.Load()
	if err := clock.SleepUntil(ctx, end); err != nil {
		a.release(min(end, clock.Now()))
		return err
	}
	a.release(end)
	return nil
}

// acquire takes a unit and returns the moment from which its work counts.
func (a *accelerator) acquire(ctx context.Context) (int64, error) {
	arrived := clock.Now()
	a.mu.Lock()
	if n := len(a.idle); n > 0 {
		free := a.idle[n-1]
		a.idle = a.idle[:n-1]
		a.mu.Unlock()
		return max(arrived, free), nil
	}
	t := &ticket{free: make(chan int64, 1)}
	a.waiting = append(a.waiting, t)
	a.mu.Unlock()

	a.queued.Add(1)
	defer a.queued.Add(-1)
	select {
	case free := <-t.free:
		return max(arrived, free), nil
	case <-ctx.Done():
	}
	if !a.forget(t) {
		a.release(<-t.free) // a unit was handed over at the same moment
	}
	return 0, context.Cause(ctx)
}

// forget takes t out of the queue and reports whether it was still there.
func (a *accelerator) forget(t *ticket) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	for i, w := range a.waiting {
		if w == t {
			a.waiting = append(a.waiting[:i], a.waiting[i+1:]...)
			return true
		}
	}
	return false
}

// release hands the unit that was free at the given moment to the next in the
// queue.
func (a *accelerator) release(free int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.surplus > 0 {
		a.surplus--
		return
	}
	if len(a.waiting) == 0 {
		a.idle = append(a.idle, free)
		return
	}
	next := a.waiting[0]
	a.waiting = a.waiting[1:]
	next.free <- free // never blocks: one place, one unit
}
