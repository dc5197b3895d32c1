package schedule

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const ms = time.Millisecond

func TestLinger(t *testing.T) {
	l := &linger{maxDelay: 5 * ms, returning: 1}
	now := 10 * ms
	l.arrived(now, true)
	until, why := l.decide(now, 1, false, now)
	require.Zero(t, until, "nobody is expected")
	require.Equal(t, Idle, why)

	now += 16 * ms
	l.completed(now, 3, 0.016) // three were answered
	for i := range 3 {
		l.arrived(now, i == 0)
		until, why = l.decide(now, i+1, false, now)
		if i < 2 {
			require.Equal(t, now+2*ms, until, "an eighth of the service time")
		}
	}
	require.Zero(t, until)
	require.Equal(t, Expected, why)

	l.completed(now, 3, 0.016)
	l.arrived(now, true)
	until, _ = l.decide(now, 1, false, now)
	require.Equal(t, now+2*ms, until)
	_, why = l.decide(now, 1, true, now)
	require.Equal(t, Full, why)
	until, _ = l.decide(now, 1, false, now)
	require.Positive(t, until)
	until, why = l.decide(now+2*ms, 1, false, now)
	require.Zero(t, until)
	require.Equal(t, Hold, why)
}

// TestLoneCallerNeverWaits, whatever it sends.
func TestLoneCallerNeverWaits(t *testing.T) {
	l := &linger{maxDelay: 5 * ms, returning: hopeful}
	for now := Instant(0); now < time.Second; now += 10 * ms {
		l.arrived(now, true)
		until, why := l.decide(now, 1, false, now)
		require.Zero(t, until)
		require.Equal(t, Idle, why)
		now += 10 * ms
		l.completed(now, 1, 0.010)
	}
}

// TestLingerBesideAFreeSlot is bounded by max_queue_delay, however often other calls
// complete.
func TestLingerBesideAFreeSlot(t *testing.T) {
	l := &linger{maxDelay: 4 * ms, returning: 1}
	from := Instant(0)
	for now := Instant(0); now < 4*ms; now += ms {
		l.completed(now, 5, 0.1)
		until, _ := l.decide(now, 1, false, from)
		require.Positive(t, until)
		require.LessOrEqual(t, until, 4*ms)
	}
	l.completed(4*ms, 5, 0.1)
	until, _ := l.decide(4*ms, 1, false, from)
	require.Zero(t, until)
}

// TestLingerLearnsWhoReturns: after callers who did not come back nobody is waited
// for; after some who did they are again.
func TestLingerLearnsWhoReturns(t *testing.T) {
	l := &linger{maxDelay: 5 * ms, returning: hopeful}
	now := Instant(0)
	waits := func(back int) bool {
		l.completed(now, 8, 0.010)
		l.arrived(now, true)
		until, _ := l.decide(now, 1, false, now)
		for range back - 1 {
			l.arrived(now, false)
		}
		now += 10 * ms
		return until > now-10*ms
	}
	for range 10 {
		waits(1)
	}
	require.False(t, waits(1))
	for range 10 {
		waits(8)
	}
	require.True(t, waits(8))
}

// TestLingerLearnsBursts: the first of many who always come together waits for them.
func TestLingerLearnsBursts(t *testing.T) {
	l := &linger{maxDelay: 5 * ms, returning: hopeful}
	now := Instant(0)
	burst := func() bool {
		l.arrived(now, true)
		until, _ := l.decide(now, 1, false, now)
		for range 9 {
			l.arrived(now+100*time.Microsecond, false)
		}
		l.completed(now+20*ms, 10, 0.016)
		now += 100 * ms
		return until > 0
	}
	require.False(t, burst())
	for range 10 {
		burst()
	}
	require.True(t, burst())
}
