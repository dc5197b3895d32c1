package gate_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/filters/admission/gate"
)

// world is a gate whose tickets are told apart by their names.
type world struct {
	*testing.T

	gate *gate.Gate
	now  gate.Instant
	rule gate.Rules
}

func newWorld(t *testing.T, rules gate.Rules) *world {
	t.Helper()
	return &world{t, gate.New(), 0, rules}
}

func (w *world) ticket(tenant string, p gate.Priority, cost int64) *gate.Ticket {
	return &gate.Ticket{Tenant: tenant, Priority: p, Cost: cost, Rules: &w.rule}
}

// enter enters a ticket that is expected to get a verdict.
func (w *world) enter(want gate.Verdict, t *gate.Ticket) *gate.Ticket {
	w.Helper()
	v, evicted := w.gate.Enter(w.now, t)
	require.Nil(w, evicted)
	require.Equal(w, want, v)
	return t
}

// served lets in who waits, one after another, each for a millisecond, and returns their
// tenants.
func (w *world) served(first *gate.Ticket) (order string) {
	w.Helper()
	for t := first; t != nil; {
		w.now += time.Millisecond
		w.gate.Begun(w.now, t, gate.Sample{Took: time.Millisecond, Service: time.Millisecond})
		w.gate.End(w.now, t)
		next, v := w.gate.Next(w.now)
		if t = next; t != nil {
			require.Equal(w, gate.Admitted, v)
			order += t.Tenant
		}
	}
	return order
}

func TestTurns(t *testing.T) {
	type load struct {
		tenant   string
		priority gate.Priority
		cost     int64
		times    int
	}
	for name, test := range map[string]struct {
		loads []load
		want  string
	}{
		"one tenant, in order of arrival": {[]load{{"a", gate.Normal, 10, 3}}, "aaa"},
		"one has more waiting":            {[]load{{"a", gate.Normal, 10, 5}, {"b", gate.Normal, 10, 2}}, "ababaaa"},
		"one asks for more at once":       {[]load{{"a", gate.Normal, 30, 3}, {"b", gate.Normal, 10, 6}}, "bbabbbaba"},
		"what is urgent first":            {[]load{{"a", gate.Low, 1, 2}, {"b", gate.Normal, 1, 2}, {"c", gate.High, 99, 2}}, "ccbbaa"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, gate.Rules{MaxConcurrency: 1, MaxQueue: 100})
			first := w.enter(gate.Admitted, w.ticket("first", gate.Normal, 1))
			for _, l := range test.loads {
				for range l.times {
					w.enter(gate.Waiting, w.ticket(l.tenant, l.priority, l.cost))
				}
			}
			require.Equal(t, test.want, w.served(first))
		})
	}
}

func TestRoomInTheQueue(t *testing.T) {
	w := newWorld(t, gate.Rules{MaxConcurrency: 1, MaxQueue: 2})
	first := w.enter(gate.Admitted, w.ticket("a", gate.Normal, 1))
	w.enter(gate.Waiting, w.ticket("a", gate.Normal, 1))
	last := w.enter(gate.Waiting, w.ticket("a", gate.Normal, 1))
	w.enter(gate.Full, w.ticket("a", gate.Normal, 1))
	w.enter(gate.Full, w.ticket("b", gate.Low, 1))

	// b has nothing waiting: the last of a makes room.
	v, evicted := w.gate.Enter(w.now, w.ticket("b", gate.Normal, 1))
	require.Equal(t, gate.Waiting, v)
	require.Same(t, last, evicted)
	require.False(t, w.gate.Leave(last), "it is out already")
	// Now each has one, and nobody more than another.
	w.enter(gate.Full, w.ticket("c", gate.Normal, 1))
	w.enter(gate.Full, w.ticket("b", gate.Normal, 1))
	// What is urgent takes the place of what is not.
	v, evicted = w.gate.Enter(w.now, w.ticket("c", gate.High, 1))
	require.Equal(t, gate.Waiting, v)
	require.NotNil(t, evicted)
	require.Equal(t, gate.Normal, evicted.Priority)
	require.Equal(t, "c", w.served(first)[:1])
}

func TestLeaving(t *testing.T) {
	w := newWorld(t, gate.Rules{MaxConcurrency: 1, MaxQueue: 10})
	first := w.enter(gate.Admitted, w.ticket("a", gate.Normal, 1))
	b := w.enter(gate.Waiting, w.ticket("b", gate.Normal, 1))
	w.enter(gate.Waiting, w.ticket("c", gate.Normal, 1))
	d := w.enter(gate.Waiting, w.ticket("d", gate.Normal, 1))
	require.True(t, w.gate.Leave(b))
	require.False(t, w.gate.Leave(b))
	require.True(t, w.gate.Leave(d))
	require.False(t, w.gate.Leave(first), "it does not wait")
	require.Equal(t, "c", w.served(first))
}

func TestObjective(t *testing.T) {
	w := newWorld(t, gate.Rules{MaxConcurrency: 1, MaxQueue: 1000, Objective: 100 * time.Millisecond})
	for range 100 { // each takes 10 ms, always
		one := w.enter(gate.Admitted, w.ticket("a", gate.Normal, 1))
		w.now += 10 * time.Millisecond
		w.gate.Begun(w.now, one, gate.Sample{Took: 10 * time.Millisecond})
		w.gate.End(w.now, one)
	}
	running := w.enter(gate.Admitted, w.ticket("a", gate.Normal, 1))
	waiting := 0
	for {
		ticket := w.ticket("a", gate.Normal, 1)
		v, _ := w.gate.Enter(w.now, ticket)
		if v == gate.Late {
			after := w.gate.RetryAfter(ticket)
			require.Positive(t, after)
			require.LessOrEqual(t, after, 20*time.Millisecond, "one more answer makes room")
			break
		}
		require.Equal(t, gate.Waiting, v)
		at, ok := ticket.Deadline()
		require.True(t, ok)
		require.Greater(t, at, w.now)
		waiting++
		require.Less(t, waiting, 11)
	}
	require.GreaterOrEqual(t, waiting, 8, "each of them can be answered within 100 ms")
	// Another tenant waits for its own only, and as many of the first.
	w.enter(gate.Waiting, w.ticket("b", gate.Normal, 1))

	// The server stops for a second: who is next is late.
	w.now += time.Second
	w.gate.End(w.now, running)
	for late := 0; ; late++ {
		next, v := w.gate.Next(w.now)
		if next == nil {
			require.Equal(t, waiting+1, late)
			break
		}
		require.Equal(t, gate.Late, v)
	}
}

func TestNoTimeToWait(t *testing.T) {
	w := newWorld(t, gate.Rules{MaxConcurrency: 1, MaxQueue: 1000, Objective: 5 * time.Millisecond})
	one := w.enter(gate.Admitted, w.ticket("a", gate.Normal, 1))
	w.now += 10 * time.Millisecond
	w.gate.Begun(w.now, one, gate.Sample{Took: 10 * time.Millisecond})
	w.gate.End(w.now, one)
	w.enter(gate.Admitted, w.ticket("a", gate.Normal, 1))
	w.enter(gate.Late, w.ticket("a", gate.Normal, 1))
}

// TestWhateverHappens: in any order of events each ticket gets one verdict, nobody waits
// while there is room, and the bounds hold.
func TestWhateverHappens(t *testing.T) {
	for seed := range uint64(8) {
		r := rand.New(rand.NewPCG(seed, 1)) // #nosec G404 -- repeatable on purpose
		w := newWorld(t, gate.Rules{MaxQueue: 20, Objective: time.Duration(seed%2) * 50 * time.Millisecond})
		if seed%4 > 1 {
			w.rule.MaxConcurrency = 3
		}
		flying, waiting := map[*gate.Ticket]bool{}, map[*gate.Ticket]bool{}
		some := func(of map[*gate.Ticket]bool) *gate.Ticket {
			for t := range of {
				return t
			}
			return nil
		}
		for range 800 {
			w.now += time.Duration(r.IntN(3000)) * time.Microsecond
			switch r.IntN(4) {
			case 0, 1:
				one := w.ticket(string(rune('a'+r.IntN(5))), gate.Priority(r.IntN(3)), 1+r.Int64N(1000)) // #nosec G115 -- below 3
				v, evicted := w.gate.Enter(w.now, one)
				if evicted != nil {
					require.True(t, waiting[evicted])
					delete(waiting, evicted)
				}
				switch v {
				case gate.Admitted:
					flying[one] = true
				case gate.Waiting:
					waiting[one] = true
				case gate.Full, gate.Late:
				}
			case 2:
				if one := some(flying); one != nil {
					delete(flying, one)
					w.gate.Begun(w.now, one, gate.Sample{Took: w.now - one.Admitted, Overloaded: r.IntN(50) == 0})
					w.gate.End(w.now, one)
				}
			case 3:
				if one := some(waiting); one != nil && r.IntN(3) == 0 {
					require.True(t, w.gate.Leave(one))
					delete(waiting, one)
				}
			}
			for {
				next, v := w.gate.Next(w.now)
				if next == nil {
					break
				}
				require.True(t, waiting[next])
				delete(waiting, next)
				if v == gate.Admitted {
					flying[next] = true
				}
			}
			level, n, queued := w.gate.Seen(w.now, &w.rule)
			require.Equal(t, len(flying), n)
			require.Equal(t, len(waiting), queued)
			require.LessOrEqual(t, queued, w.rule.MaxQueue)
			if queued > 0 {
				require.GreaterOrEqual(t, n, level, "nobody waits while there is room")
			}
		}
	}
}
