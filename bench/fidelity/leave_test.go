package fidelity_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A caller that leaves takes its items out of the queue; those beside it are
// served.
func TestTheItemsOfAGoneCallerLeaveTheQueue(t *testing.T) {
	t.Parallel()
	w := newWorld(t, free, maxInFlight(1))
	pull := w.plug("m")
	var leave []func()
	for i := range 6 {
		leave = append(leave, w.leaver(embedding("m", fmt.Sprint("leaver ", i))))
	}
	leave = append(leave, w.leaver(textsOf(5, "m", "leaver of five")))
	w.waitQueued(11)
	stayers := w.pending(numbered(6, "m", "stayer")...)
	w.waitQueued(17)
	for _, l := range leave {
		l()
	}
	w.waitQueued(6)
	pull()
	for _, a := range stayers() {
		require.NoError(t, a.err)
		require.Equal(t, 200, a.status)
	}
	require.Zero(t, w.holding("leaver"), "nobody works for who has left")
	require.Positive(t, w.holding("stayer"))
	w.waitQueued(0)
}

// The server's work goes on while one of a call's callers is still there, and ends
// with the last of them.
func TestACallIsCancelledWithItsLastCaller(t *testing.T) {
	t.Parallel()
	w := newWorld(t, free, maxInFlight(1))
	pull := w.plug("m")
	var leave []func()
	for i := range 4 {
		leave = append(leave, w.leaver(embedding("m", fmt.Sprint("hangforever ", i))))
	}
	w.waitQueued(4)
	pull()
	eventually(t, "they hang together", func() bool { return w.Stats().Hung == 1 && w.holding("hangforever 3") == 1 })
	require.Equal(t, 1, w.holding("hangforever 0"))
	cancelled := w.Stats().Cancelled
	for _, l := range leave[:3] {
		l()
	}
	require.Never(t, func() bool { return w.Stats().Cancelled > cancelled }, 150*time.Millisecond, 10*time.Millisecond, "one is still there")
	leave[3]()
	eventually(t, "the call is cancelled", func() bool { return w.Stats().Hung == 0 && w.Stats().Cancelled == cancelled+1 })
}

// One that leaves while its call is under way harms nobody: the answer is cut for
// those who stayed.
func TestLeavingInTheMiddleOfACall(t *testing.T) {
	t.Parallel()
	w := newWorld(t, free)
	w.slowly()
	w.cost(50*time.Millisecond, time.Millisecond)
	for range 3 {
		stayers := w.pending(numbered(20, "m", "stayer")...)
		var leave []func()
		for i := range 20 {
			leave = append(leave, w.leaver(embedding("m", fmt.Sprint("leaver ", i))))
		}
		eventually(t, "a call runs", func() bool { return w.Stats().Active > 0 })
		for _, l := range leave {
			l()
		}
		got := stayers()
		w.cost(0, 0)
		direct := w.good(w.direct, numbered(20, "m", "stayer")...)
		w.cost(50*time.Millisecond, time.Millisecond)
		for i := range got {
			require.Empty(t, compare(direct[i], got[i], excuse{usage: true}))
		}
	}
}

// A hung model blocks nobody but those who called it, and they get their 504 when
// their own time is over.
func TestAHungGroupBlocksNobody(t *testing.T) {
	t.Parallel()
	const limit = 600 * time.Millisecond
	w := newWorld(t, free, timeout(limit))
	begun := time.Now()
	var hung []func() []*answer
	for i := range 6 {
		hung = append(hung, w.pending(embedding("stuck", fmt.Sprint("hangforever ", i))))
	}
	late := w.pending(embedding("stuck", "innocent, behind those who hang"))
	eventually(t, "they hang", func() bool { return w.Stats().Hung > 0 })
	w.same(excuse{usage: true}, numbered(24, "m", "text")...)
	w.same(excuse{}, rowsOf(3, 1)...)
	for _, answers := range hung {
		a := answers()[0]
		require.NoError(t, a.err)
		require.Equal(t, 504, a.status)
	}
	require.GreaterOrEqual(t, time.Since(begun), limit, "not before their time")
	a := late()[0]
	require.NoError(t, a.err)
	require.Contains(t, []int{200, 504}, a.status, "it was with them, or behind them")
	eventually(t, "nobody works for them", func() bool { return w.Stats().Hung == 0 })
	// Later callers of the model are served again.
	w.same(excuse{usage: true}, numbered(8, "stuck", "text")...)
}

// Each caller's time is its own: who came later is answered later.
func TestDeadlinesAreEachCallersOwn(t *testing.T) {
	t.Parallel()
	const limit, apart = 500 * time.Millisecond, 250 * time.Millisecond
	w := newWorld(t, free, timeout(limit))
	type end struct {
		status int
		took   time.Duration
	}
	ends := make(chan end, 3)
	for i := range 3 {
		go func() {
			timer := time.NewTimer(time.Duration(i) * apart)
			defer timer.Stop()
			<-timer.C
			begun := time.Now()
			a := all(t.Context(), t, w.through, embedding("stuck", fmt.Sprint("hangforever ", i)))[0]
			ends <- end{a.status, time.Since(begun)}
		}()
	}
	for range 3 {
		e := <-ends
		require.Equal(t, 504, e.status)
		require.GreaterOrEqual(t, e.took, limit-50*time.Millisecond)
		require.Less(t, e.took, patience)
	}
}
