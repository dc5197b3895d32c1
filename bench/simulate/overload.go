package simulate

import (
	"math/rand/v2"
	"slices"
	"time"

	"github.com/fridaymesh/friday/filters/admission/gate"
	"github.com/fridaymesh/friday/filters/batch/schedule"
)

// Overload is tenants before a gate, before a batcher or the server itself.
type Overload struct {
	Server Server
	Rules  gate.Rules
	// Batch are the batcher's rules; nil: there is none, and a request is a call.
	Batch   *schedule.Rules
	Tenants []Arrivals
	// For is how long it lasts, and Warm how long before figures are taken.
	For, Warm time.Duration
	Seed      uint64
}

// Arrivals are one tenant's requests in an open loop.
type Arrivals struct {
	// Rate is in requests a second, as a function of time.
	Rate     func(time.Duration) float64
	Priority gate.Priority
	// Tokens is what each asks for; 0: 1.
	Tokens int64
}

// Admitted is what came of a tenant's requests: answers a second, times from arrival to
// answer of those that were let in, and how many were refused in all.
type Admitted struct {
	Rate     float64
	P50, P99 time.Duration
	Refused  int
}

// Pressure is what came of an Overload.
type Pressure struct {
	Rate    float64
	P99     time.Duration
	Tenants []Admitted
	// Level is how many requests the gate had let in at once at the end, and Waited how
	// many waited at the most.
	Level, Waited int
}

type pressed struct {
	Overload
	clock  clock
	random *rand.Rand
	gate   *gate.Gate
	pool   *schedule.Pool
	queue  *schedule.Queue
	server *machine
	armed  time.Duration

	took    [][]time.Duration
	refused []int
	waited  int
}

// pressing is a request on its way.
type pressing struct {
	gate.Ticket
	schedule.Entry
	tenant  int
	service time.Duration
}

// Play plays it.
func (o Overload) Play() Pressure {
	w := &pressed{
		Overload: o, random: rand.New(rand.NewPCG(o.Seed, 7)), // #nosec G404 -- repeatable on purpose
		gate: gate.New(), took: make([][]time.Duration, len(o.Tenants)), refused: make([]int, len(o.Tenants)), armed: -1,
	}
	w.server = newMachine(o.Server, &w.clock, w.random)
	if o.Batch != nil {
		w.pool, w.queue = schedule.NewPool(), schedule.NewQueue(*o.Batch, nil)
		w.pool.Serve([]schedule.Target{w.server})
	}
	for i := range o.Tenants {
		w.clock.at(0, func() { w.arrivals(i) })
	}
	w.clock.run(o.For)
	return w.pressure()
}

func (w *pressed) arrivals(tenant int) {
	rate := w.Tenants[tenant].Rate(w.clock.now)
	if rate > 0 {
		w.arrive(tenant)
	}
	gap := w.random.ExpFloat64() / max(rate, 1e-3)
	w.clock.at(w.clock.now+time.Duration(gap*float64(time.Second)), func() { w.arrivals(tenant) })
}

func (w *pressed) arrive(tenant int) {
	load := w.Tenants[tenant]
	r := &pressing{tenant: tenant, Ticket: gate.Ticket{
		Tenant:   string(rune('a' + tenant)), // #nosec G115 -- a few
		Priority: load.Priority, Cost: max(1, load.Tokens), Rules: &w.Rules,
	}}
	r.Ticket.Owner = r
	v, evicted := w.gate.Enter(w.clock.now, &r.Ticket)
	if evicted != nil {
		w.refuse(evicted)
	}
	switch v {
	case gate.Admitted:
		w.send(r)
	case gate.Waiting:
		_, _, queued := w.gate.Seen(w.clock.now, &w.Rules)
		w.waited = max(w.waited, queued)
		if at, ok := r.Deadline(); ok {
			w.clock.at(at, func() {
				if w.gate.Leave(&r.Ticket) {
					w.refuse(&r.Ticket)
				}
			})
		}
	case gate.Full, gate.Late:
		w.refuse(&r.Ticket)
	}
}

func (w *pressed) refuse(t *gate.Ticket) {
	w.refused[t.Owner.(*pressing).tenant]++ //nolint:forcetypeassert // this package's own
}

func (w *pressed) send(r *pressing) {
	if w.pool == nil {
		w.server.call(1, func() { w.answer(r) })
		return
	}
	r.Entry = schedule.Entry{Items: 1, Bytes: 100, Owner: r}
	w.pool.Enter(w.clock.now, w.queue, &r.Entry)
	w.pump()
}

func (w *pressed) answer(r *pressing) {
	now := w.clock.now
	w.gate.Begun(now, &r.Ticket, gate.Sample{Took: now - r.Admitted, Service: r.service})
	w.gate.End(now, &r.Ticket)
	if r.Entered >= w.Warm {
		w.took[r.tenant] = append(w.took[r.tenant], now-r.Entered)
	}
	for {
		t, v := w.gate.Next(now)
		if t == nil {
			return
		}
		if v == gate.Late {
			w.refuse(t)
			continue
		}
		w.send(t.Owner.(*pressing)) //nolint:forcetypeassert // this package's own
	}
}

func (w *pressed) pump() {
	for {
		batch, f, _ := w.pool.Next(w.clock.now, nil)
		if f == nil {
			break
		}
		service := w.pool.Expected(f)
		for _, e := range batch {
			e.Owner.(*pressing).service = service //nolint:forcetypeassert // this package's own
		}
		w.server.call(f.Items, func() {
			w.pool.End(w.clock.now, f, f.Callers, true)
			for _, e := range batch {
				w.answer(e.Owner.(*pressing)) //nolint:forcetypeassert // this package's own
			}
			w.pump()
		})
	}
	if at, ok := w.pool.Wake(); ok && at != w.armed {
		w.armed = at
		w.clock.at(at, func() {
			if w.armed == at {
				w.armed = -1
				w.pump()
			}
		})
	}
}

func (w *pressed) pressure() Pressure {
	p := Pressure{Waited: w.waited}
	p.Level, _, _ = w.gate.Seen(w.clock.now, &w.Rules)
	span := (w.For - w.Warm).Seconds()
	var all []time.Duration
	for i, took := range w.took {
		slices.Sort(took)
		all = append(all, took...)
		a := Admitted{Rate: float64(len(took)) / span, Refused: w.refused[i]}
		if n := len(took); n > 0 {
			a.P50, a.P99 = took[n/2], took[n*99/100]
		}
		p.Tenants = append(p.Tenants, a)
	}
	slices.Sort(all)
	p.Rate = float64(len(all)) / span
	if n := len(all); n > 0 {
		p.P99 = all[n*99/100]
	}
	return p
}
