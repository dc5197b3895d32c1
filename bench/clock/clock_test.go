package clock_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/bench/clock"
)

func TestSleepUntilIsNeverEarly(t *testing.T) {
	for _, d := range []time.Duration{-time.Second, 0, 50 * time.Microsecond, 2 * time.Millisecond, 5 * time.Millisecond} {
		end := clock.Now() + int64(d)
		require.NoError(t, clock.SleepUntil(t.Context(), end))
		require.GreaterOrEqual(t, clock.Now(), end, "slept for %v", d)
	}
}

func TestSleepUntilEndsWithItsContext(t *testing.T) {
	gone := errors.New("gone")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(gone)
	start := time.Now()
	require.ErrorIs(t, clock.SleepUntil(ctx, clock.Now()+int64(time.Minute)), gone)
	require.Less(t, time.Since(start), 30*time.Second)
}

func BenchmarkSleepUntil500us(b *testing.B) {
	for b.Loop() {
		_ = clock.SleepUntil(b.Context(), clock.Now()+int64(500*time.Microsecond))
	}
}

func BenchmarkNow(b *testing.B) {
	for b.Loop() {
		_ = clock.Now()
	}
}
