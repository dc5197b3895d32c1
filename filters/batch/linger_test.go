package batch

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestLingerDecides walks the rule through one moment after another.
func TestLingerDecides(t *testing.T) {
	const ms = time.Millisecond
	start := time.Unix(1000, 0)
	at := func(d time.Duration) time.Time { return start.Add(d) }

	l := linger{maxDelay: 5 * ms}
	decide := func(now time.Duration, items int, full bool, oldest time.Duration, wait time.Duration, reason why) {
		t.Helper()
		gotWait, gotReason := l.decide(at(now), items, full, at(oldest))
		require.Equal(t, wait, gotWait)
		if wait == 0 {
			require.Equal(t, reason, gotReason)
		}
	}
	// Nothing known: at once.
	decide(0, 1, false, 0, 0, whyIdle)
	// One was answered, nobody waits: the same one is expected, and comes.
	l.completed(at(10*ms), 1, 0, 10*ms, true)
	decide(10*ms, 1, false, 10*ms, 0, whyIdle)
	// Eight were answered: the first to come back waits for the others ...
	l.completed(at(30*ms), 8, 0, 10*ms, true)
	decide(30*ms, 1, false, 30*ms, 1250*time.Microsecond, 0)
	decide(31*ms, 7, false, 30*ms, 250*time.Microsecond, 0)
	// ... and is sent with the last.
	decide(31*ms, 8, false, 30*ms, 0, whyExpected)
	// Or without those who do not come in time.
	l.completed(at(50*ms), 8, 0, 10*ms, true)
	decide(50*ms, 3, false, 50*ms, 1250*time.Microsecond, 0)
	decide(51250*time.Microsecond, 3, false, 50*ms, 0, whyHold)
	// Whoever comes when the time is over is sent at once.
	decide(60*ms, 1, false, 60*ms, 0, whyIdle)
	// A full call waits for nobody.
	l.completed(at(70*ms), 32, 32, 10*ms, true)
	decide(70*ms, 32, true, 60*ms, 0, whyFull)
}

func TestLingerIsBounded(t *testing.T) {
	const ms = time.Millisecond
	start := time.Unix(1000, 0)

	l := linger{maxDelay: 20 * ms}
	l.completed(start, 8, 0, time.Second, true)
	wait, _ := l.decide(start, 1, false, start)
	require.Equal(t, 3*ms, wait, "3 ms at most")

	l = linger{maxDelay: ms}
	l.completed(start, 8, 0, time.Second, true)
	wait, _ = l.decide(start, 1, false, start)
	require.Equal(t, ms, wait, "max_queue_delay at most")

	l = linger{}
	l.completed(start, 8, 0, time.Second, true)
	wait, _ = l.decide(start, 1, false, start)
	require.Zero(t, wait, "never wait")

	// Completions of other calls do not keep one waiting beside a free slot.
	l = linger{maxDelay: 2 * ms}
	l.completed(start, 8, 0, time.Second, true)
	for d := range 5 {
		now := start.Add(time.Duration(d) * ms)
		l.completed(now, 8, 1, time.Second, false)
		wait, reason := l.decide(now, 1, false, start)
		if d < 2 {
			require.Positive(t, wait)
			continue
		}
		require.Zero(t, wait)
		require.NotEqual(t, whyExpected, reason)
		return
	}
}

func TestLingerLearns(t *testing.T) {
	l := linger{maxDelay: time.Second}
	now := time.Unix(1000, 0)
	l.completed(now, 1, 0, 8*time.Millisecond, true)
	require.Equal(t, 8*time.Millisecond, l.service)
	l.completed(now, 1, 0, 0, true)
	require.Equal(t, 8*time.Millisecond, l.service, "a failed call says nothing")
	l.completed(now, 1, 0, 18*time.Millisecond, true)
	require.Equal(t, 10*time.Millisecond, l.service)
}

func TestCost(t *testing.T) {
	var c cost
	for range 100 {
		_, _, ok := c.observe(8, 0.014)
		require.False(t, ok, "one size cannot tell a from b")
	}
	var a, b float64
	for i := range 100 {
		n := 1 + i%32
		a, b, _ = c.observe(n, 0.010+0.0005*float64(n))
	}
	require.InDelta(t, 0.010, a, 1e-6)
	require.InDelta(t, 0.0005, b, 1e-6)

	// A server that became slower is believed within some dozens of calls.
	for i := range 300 {
		n := 1 + i%32
		a, b, _ = c.observe(n, 0.020+0.001*float64(n))
	}
	require.InDelta(t, 0.020, a, 1e-3)
	require.InDelta(t, 0.001, b, 1e-4)

	// Neither term is ever negative.
	var down cost
	for i := range 32 {
		a, b, _ = down.observe(1+i, 1/float64(1+i))
		require.GreaterOrEqual(t, a, 0.0)
		require.GreaterOrEqual(t, b, 0.0)
	}
}

func BenchmarkCost(b *testing.B) {
	var c cost
	for i := range b.N {
		c.observe(i%32, 0.01)
	}
}
