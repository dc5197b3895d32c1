// Package clock is time as the measurements need it: a clock that all processes
// of one machine share, and a sleep that ends when it should.
package clock

import (
	"context"
	"time"
)

// coarse is how long before the end SleepUntil leaves the runtime's timers,
// whose resolution is the poller's millisecond, for the kernel's.
const coarse = 1500 * time.Microsecond

// SleepUntil returns at t, a moment of [Now], or earlier with the context's
// cause. It overshoots by tens of microseconds, where a timer does by up to a
// millisecond. A context that ends within the last 1.5 ms is noticed at t.
func SleepUntil(ctx context.Context, t int64) error {
	if err := WaitUntil(ctx, t-int64(coarse)); err != nil {
		return err
	}
	if rest := time.Duration(t - Now()); rest > 0 {
		precise(rest)
	}
	return context.Cause(ctx)
}

// WaitUntil is SleepUntil with the runtime's timers alone: up to a millisecond
// late, and no thread is held, so any number may wait at once.
func WaitUntil(ctx context.Context, t int64) error {
	if d := time.Duration(t - Now()); d > 0 {
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
	}
	return context.Cause(ctx)
}
