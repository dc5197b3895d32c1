package simulate

import (
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/fridaymesh/friday/filters/batch/schedule"
)

// Scenario is a load before servers.
type Scenario struct {
	Name    string
	Servers []Server
	// Tenants are callers that never share a call with each other.
	Tenants []Load
	// Return is the mean time between an answer and the arrival of the next request of
	// a caller in a closed loop.
	Return time.Duration
	// For is how long it lasts, and Warm how long before figures are taken.
	For, Warm time.Duration
	Rules     schedule.Rules
	// At has the servers change on the way.
	At    time.Duration
	Then  Server
	Seed  uint64
	Items int // of a request; 0: 1
}

// Load is what one tenant asks for.
type Load struct {
	// Callers are in a closed loop: each asks again when it is answered.
	Callers int
	// Rate is that of an open loop, in requests a second, as a function of time.
	Rate func(time.Duration) float64
	// Burst is how many come at once.
	Burst int
}

// Steady is a Poisson process.
func Steady(rate float64) func(time.Duration) float64 {
	return func(time.Duration) float64 { return rate }
}

// Diurnal goes from low to high and back in a period.
func Diurnal(low, high float64, period time.Duration) func(time.Duration) float64 {
	return func(t time.Duration) float64 {
		return low + (high-low)*(1-math.Cos(2*math.Pi*float64(t)/float64(period)))/2
	}
}

// Outcome is what came of it.
type Outcome struct {
	// Rate is answers a second, Mean, P50 and P99 are from arrival to answer, Size is
	// the mean number of items in a call, Calls how many there were.
	Rate           float64
	Mean, P50, P99 time.Duration
	Size           float64
	Calls          int
	Refused        int
	// Tenants are the answers a second of each.
	Tenants []float64
}

type world struct {
	Scenario
	clock  clock
	random *rand.Rand
	policy Policy
	queues []*schedule.Queue
	byEnd  map[schedule.Target]*machine

	took    []time.Duration
	each    []int
	calls   int
	items   int
	refused int
	armed   time.Duration
}

// Run plays the scenario with a policy.
func Run(s Scenario, policy Policy) Outcome {
	w := &world{
		Scenario: s, policy: policy, random: rand.New(rand.NewPCG(s.Seed, 7)), // #nosec G404 -- repeatable on purpose
		byEnd: make(map[schedule.Target]*machine), each: make([]int, len(s.Tenants)), armed: -1,
	}
	targets := make([]schedule.Target, 0, len(s.Servers))
	for _, server := range s.Servers {
		m := newMachine(server, &w.clock, w.random)
		w.byEnd[m] = m
		targets = append(targets, m)
	}
	policy.Serve(targets)
	if s.At > 0 {
		w.clock.at(s.At, func() {
			for _, m := range w.byEnd {
				m.Fixed, m.PerItem = s.Then.Fixed, s.Then.PerItem
				if s.Then.Units > len(m.free) {
					m.free = append(m.free, make([]time.Duration, s.Then.Units-len(m.free))...)
				} else if s.Then.Units > 0 {
					m.free = m.free[:s.Then.Units]
				}
			}
		})
	}
	for i, load := range s.Tenants {
		w.queues = append(w.queues, schedule.NewQueue(s.Rules, nil))
		for range load.Callers {
			w.clock.at(w.delay(), func() { w.ask(i, true) })
		}
		if load.Rate != nil {
			w.clock.at(0, func() { w.arrivals(i) })
		}
	}
	w.clock.run(s.For)
	return w.outcome()
}

// arrivals is the open loop: a Poisson process of bursts, thinned.
func (w *world) arrivals(tenant int) {
	load := w.Tenants[tenant]
	burst := max(1, load.Burst)
	rate := load.Rate(w.clock.now) / float64(burst)
	if rate > 0 {
		for range burst {
			w.ask(tenant, false)
		}
	}
	gap := w.random.ExpFloat64() / max(rate, 1e-3)
	w.clock.at(w.clock.now+time.Duration(gap*float64(time.Second)), func() { w.arrivals(tenant) })
}

func (w *world) delay() time.Duration {
	return w.Return/2 + time.Duration(w.random.Int64N(int64(w.Return)+1))
}

type asked struct {
	at     time.Duration
	tenant int
	again  bool
}

func (w *world) ask(tenant int, again bool) {
	now := w.clock.now
	e := &schedule.Entry{Items: max(1, w.Items), Bytes: 100, Owner: &asked{now, tenant, again}}
	w.policy.Enter(now, w.queues[tenant], e)
	w.pump()
}

func (w *world) pump() {
	for {
		batch, f, why := w.policy.Next(w.clock.now, nil)
		if f == nil && why == schedule.Late && len(batch) > 0 {
			w.refused++
			w.answer(batch, false)
			continue
		}
		if f == nil {
			break
		}
		w.calls++
		w.items += f.Items
		m := w.byEnd[f.Server.Target]
		m.call(f.Items, func() {
			w.policy.End(w.clock.now, f, f.Callers, true)
			w.answer(batch, true)
			w.pump()
		})
	}
	if at, ok := w.policy.Wake(); ok && at != w.armed {
		w.armed = at
		w.clock.at(at, func() {
			if w.armed == at {
				w.armed = -1
				w.pump()
			}
		})
	}
}

func (w *world) answer(batch []*schedule.Entry, good bool) {
	for _, e := range batch {
		a := e.Owner.(*asked) //nolint:forcetypeassert // this package's own
		if good && a.at >= w.Warm {
			w.took = append(w.took, w.clock.now-a.at)
			w.each[a.tenant]++
		}
		if a.again {
			w.clock.at(w.clock.now+w.delay(), func() { w.ask(a.tenant, true) })
		}
	}
}

func (w *world) outcome() Outcome {
	slices.Sort(w.took)
	o := Outcome{Calls: w.calls, Refused: w.refused}
	span := (w.For - w.Warm).Seconds()
	o.Rate = float64(len(w.took)) / span
	for _, n := range w.each {
		o.Tenants = append(o.Tenants, float64(n)/span)
	}
	if n := len(w.took); n > 0 {
		var sum time.Duration
		for _, t := range w.took {
			sum += t
		}
		o.Mean, o.P50, o.P99 = sum/time.Duration(n), w.took[n/2], w.took[n*99/100]
	}
	if w.calls > 0 {
		o.Size = float64(w.items) / float64(w.calls)
	}
	return o
}
