package gate_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/filters/admission/gate"
)

func TestAllowance(t *testing.T) {
	limits := gate.PerMinute{Requests: 60, Tokens: 1200}
	var a gate.Allowance
	take := func(now time.Duration, tokens int64, kind gate.Kind, after time.Duration) {
		t.Helper()
		gotKind, gotAfter := a.Take(now, limits, tokens)
		require.Equal(t, kind, gotKind)
		require.Equal(t, after, gotAfter)
	}
	take(0, 1201, gate.Tokens, gate.Never)
	take(0, 600, gate.None, 0)
	take(0, 600, gate.None, 0)
	take(0, 1, gate.Tokens, 50*time.Millisecond)
	left, reset := a.Left(0, limits, gate.Requests)
	require.Equal(t, uint64(58), left, "what was refused took nothing")
	require.Equal(t, 2*time.Second, reset)
	left, reset = a.Left(0, limits, gate.Tokens)
	require.Zero(t, left)
	require.Equal(t, time.Minute, reset)

	take(50*time.Millisecond, 1, gate.None, 0)
	require.False(t, a.Full(50*time.Millisecond, limits))
	require.True(t, a.Full(2*time.Minute, limits))
	for range 60 {
		take(2*time.Minute, 1, gate.None, 0)
	}
	take(2*time.Minute, 1, gate.Requests, time.Second)
	a.Return(limits, 1)
	take(2*time.Minute, 1, gate.None, 0)
	take(3*time.Minute, 1200, gate.None, 0)
}

func TestNoLimits(t *testing.T) {
	var a gate.Allowance
	for range 1000 {
		kind, _ := a.Take(0, gate.PerMinute{}, 1<<40)
		require.Equal(t, gate.None, kind)
	}
	left, reset := a.Left(0, gate.PerMinute{}, gate.Tokens)
	require.Zero(t, left)
	require.Zero(t, reset)
}
