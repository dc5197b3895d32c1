package schedule

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// box is a target.
type box struct{ down bool }

func (b *box) Healthy() bool { return !b.down }
func (*box) Active() int64   { return 0 }

func rules(most int) Rules {
	return Rules{MaxItems: most, MaxBytes: 1 << 20, MaxDelay: 5 * ms}
}

// drive is a pool in front of one server that takes one call at a time.
type drive struct {
	*testing.T
	*Pool

	now Instant
}

func newDrive(t *testing.T, servers int) *drive {
	t.Helper()
	d := &drive{T: t, Pool: NewPool()}
	targets := make([]Target, servers)
	for i := range targets {
		targets[i] = &box{}
	}
	d.Serve(targets)
	return d
}

func (d *drive) enter(q *Queue, items int) *Entry {
	e := &Entry{Items: items, Bytes: 10}
	d.Enter(d.now, q, e)
	return e
}

func (d *drive) next() ([]*Entry, *Flight, Reason) {
	d.Helper()
	return d.Next(d.now, nil)
}

// end ends f after it took so long.
func (d *drive) end(f *Flight, took time.Duration) {
	d.now = max(d.now, f.Began+took)
	d.End(d.now, f, f.Callers, true)
}

func TestPoolSendsAPrefix(t *testing.T) {
	d := newDrive(t, 1)
	q := NewQueue(rules(8), nil)
	d.enter(q, 1)
	_, f, why := d.next()
	require.NotNil(t, f)
	require.Equal(t, Idle, why)
	require.False(t, d.Free(q))
	var entries []*Entry
	for _, n := range []int{3, 3, 3, 20, 1} {
		entries = append(entries, d.enter(q, n))
	}
	batch, none, _ := d.next()
	require.Empty(t, batch)
	require.Nil(t, none)
	for _, want := range [][]*Entry{entries[:2], entries[2:3], entries[3:4], entries[4:]} {
		d.end(f, ms)
		var got []*Entry
		got, f, _ = d.next()
		require.Equal(t, want, got)
	}
}

func TestPoolSoloAndApart(t *testing.T) {
	d := newDrive(t, 1)
	q := NewQueue(rules(8), nil)
	d.enter(q, 1)
	_, f, _ := d.next()
	a := &Entry{Items: 1, Solo: true, Why: Alone}
	d.Enter(d.now, q, a)
	b := d.enter(q, 1)
	c := d.enter(q, 1)
	d.Leave(c)
	d.end(f, ms)
	got, f, why := d.next()
	require.Equal(t, []*Entry{a}, got)
	require.Equal(t, Alone, why)
	d.Return(a)
	d.end(f, ms)
	got, f, _ = d.next()
	require.Equal(t, []*Entry{a}, got, "it is at the front again")
	d.Apart = true
	d.enter(q, 1)
	d.end(f, ms)
	got, _, why = d.next()
	require.Equal(t, []*Entry{b}, got)
	require.Equal(t, Unbatchable, why)
}

// TestPoolIsFair in time: of two queues that always have something waiting, one with
// small calls and one with large ones, each gets half of the server.
func TestPoolIsFair(t *testing.T) {
	d := newDrive(t, 1)
	small, large := NewQueue(rules(4), nil), NewQueue(rules(64), nil)
	small.MaxFlights, large.MaxFlights = 1, 1
	spent := map[*Queue]time.Duration{}
	fill := func(q *Queue) {
		for q.entries < 200 {
			d.enter(q, 1)
		}
	}
	for range 2000 {
		fill(small)
		fill(large)
		_, f, _ := d.next()
		require.NotNil(t, f)
		took := 5*ms + time.Duration(f.Items)*ms
		spent[f.Queue] += took
		d.end(f, took)
	}
	require.InDelta(t, 1, float64(spent[small])/float64(spent[large]), 0.05)
}

// TestPoolDoesNotWaitForTheHung: after a while others get their slots, but the queue
// whose calls hang gets no more than there are.
func TestPoolDoesNotWaitForTheHung(t *testing.T) {
	d := newDrive(t, 1)
	hung, other := NewQueue(rules(1), nil), NewQueue(rules(1), nil)
	for range 5 {
		d.enter(hung, 1)
	}
	_, stuck, _ := d.next()
	require.NotNil(t, stuck)
	d.enter(other, 1)
	_, f, _ := d.next()
	require.Nil(t, f)
	wake, ok := d.Wake()
	require.True(t, ok)
	require.LessOrEqual(t, wake, 200*ms)
	d.now = wake
	sent := map[*Queue]int{}
	for range 10 {
		_, f, _ := d.next()
		if f == nil {
			if wake, ok = d.Wake(); !ok || wake > d.now {
				break
			}
			continue
		}
		sent[f.Queue]++
		if f.Queue == other {
			d.end(f, ms)
			d.enter(other, 1)
		}
	}
	require.GreaterOrEqual(t, sent[other], 3)
	require.Zero(t, sent[hung])
	d.end(stuck, time.Second)
	_, f, _ = d.next()
	require.NotNil(t, f)
}

func TestPoolWithoutHealthyServers(t *testing.T) {
	d := newDrive(t, 2)
	for _, s := range d.servers {
		s.Target.(*box).down = true
	}
	q := NewQueue(rules(1), nil)
	require.True(t, d.Free(q))
	d.enter(q, 1)
	d.enter(q, 1)
	_, f, _ := d.next()
	require.NotNil(t, f, "one goes out to be told so")
	require.Nil(t, f.Server.Target)
	_, none, _ := d.next()
	require.Nil(t, none)
	d.End(d.now, f, 0, false)
	d.servers[1].Target.(*box).down = false
	_, f, _ = d.next()
	require.Same(t, d.servers[1], f.Server)
}

// TestPoolKeepsTheObjective: calls are no larger than two of them fit in it, and what
// cannot be answered in time any more under a load that is too much is refused.
func TestPoolKeepsTheObjective(t *testing.T) {
	d := newDrive(t, 1)
	r := rules(64)
	r.Objective, r.MaxFlights = 60*ms, 1
	q := NewQueue(r, nil)
	time := func(n int) time.Duration { return 10*ms + time.Duration(n)*ms/2 }
	for n := range 20 { // learn
		d.enter(q, n+1)
		_, f, _ := d.next()
		d.end(f, time(n+1))
	}
	for range 500 {
		d.enter(q, 1)
	}
	refused, most, answered := 0, 0, 0
	for !q.Empty() {
		batch, f, why := d.next()
		if f == nil {
			require.Equal(t, Late, why)
			require.Len(t, batch, 1)
			refused++
			continue
		}
		most = max(most, f.Items)
		require.LessOrEqual(t, d.now+time(f.Items)-batch[0].Arrived, r.Objective)
		answered += f.Items
		d.end(f, time(f.Items))
	}
	require.InDelta(t, 35, most, 1, "two of 27.6 ms in 0.92 × 60 ms")
	require.GreaterOrEqual(t, answered, 2*most)
	require.Equal(t, 500, refused+answered)
}

// TestPoolObeysTheServer where it says what a call may hold.
func TestPoolObeysTheServer(t *testing.T) {
	d := newDrive(t, 1)
	d.Most = 4
	q := NewQueue(rules(32), nil)
	for range 10 {
		d.enter(q, 1)
	}
	_, f, _ := d.next()
	require.Equal(t, 4, f.Items)
}

// TestServersThatGo are forgotten, those that stay keep what is known of them.
func TestServersThatGo(t *testing.T) {
	d := newDrive(t, 2)
	q := NewQueue(rules(1), nil)
	d.enter(q, 1)
	_, f, _ := d.next()
	gone, stays := f.Server, d.servers[0]
	if gone == stays {
		stays = d.servers[1]
	}
	fresh := &box{}
	d.Serve([]Target{stays.Target, fresh})
	require.Same(t, stays, d.servers[0])
	require.Equal(t, 2, d.Slots(q))
	d.end(f, ms)
	require.Zero(t, gone.flights)
}

// FuzzPool does anything in any order: nothing is lost, nothing is sent twice, no call
// is larger than it may be, and in the end everything has been sent.
func FuzzPool(f *testing.F) {
	f.Add(uint64(1), uint8(1), uint8(8))
	f.Add(uint64(2), uint8(3), uint8(1))
	f.Fuzz(func(t *testing.T, seed uint64, servers, most uint8) {
		r := rand.New(rand.NewPCG(seed, 3)) // #nosec G404 -- repeatable on purpose
		d := newDrive(t, 1+int(servers%4))
		limit := 1 + int(most%32)
		queues := make([]*Queue, 3)
		for i := range queues {
			own := rules(limit)
			own.MaxFlights = i % 2 * 2
			queues[i] = NewQueue(own, nil)
		}
		waiting := map[*Entry]bool{}
		var flights []*Flight
		sent := func() {
			for {
				batch, f, _ := d.next()
				if f == nil {
					return
				}
				items := 0
				for _, e := range batch {
					require.True(t, waiting[e], "not waiting")
					delete(waiting, e)
					items += e.Items
				}
				require.Equal(t, items, f.Items)
				require.Equal(t, len(batch), f.Callers)
				if len(batch) > 1 {
					require.LessOrEqual(t, items, limit)
				}
				flights = append(flights, f)
			}
		}
		end := func() {
			i := r.IntN(len(flights))
			f := flights[i]
			flights = append(flights[:i], flights[i+1:]...)
			d.now += time.Duration(r.IntN(20)) * ms
			d.End(d.now, f, f.Callers, r.IntN(10) > 0)
		}
		for range 300 {
			switch k := r.IntN(10); {
			case k < 5:
				waiting[d.enter(queues[r.IntN(3)], 1+r.IntN(limit+3))] = true
			case k < 9 && len(flights) > 0:
				end()
			default:
				for e := range waiting {
					d.Leave(e)
					delete(waiting, e)
					break
				}
			}
			if r.IntN(20) == 0 {
				b := d.servers[r.IntN(len(d.servers))].Target.(*box)
				b.down = !b.down
			}
			sent()
			if wake, ok := d.Wake(); ok && r.IntN(3) == 0 {
				d.now = max(d.now, wake)
				sent()
			}
		}
		for len(waiting) > 0 {
			if len(flights) > 0 {
				end()
			} else if wake, ok := d.Wake(); ok {
				d.now = max(d.now, wake)
			}
			sent()
		}
		for len(flights) > 0 {
			end()
		}
		require.Zero(t, d.flights)
		require.Zero(t, d.flying)
		require.Zero(t, d.flyingItems)
		require.Zero(t, d.items)
		for _, q := range queues {
			require.True(t, q.Idle())
		}
	})
}
