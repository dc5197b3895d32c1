package gate

import "time"

// Rules are what a configuration says.
type Rules struct {
	// MaxConcurrency is how many requests may be in flight; 0: learned.
	MaxConcurrency int
	// MaxQueue is how many may wait.
	MaxQueue int
	// Objective is the time from entering to the beginning of the answer that 99 of 100
	// requests that are let in should keep; 0: none.
	Objective time.Duration
}

// Ticket is a request before, and in, the gate.
type Ticket struct {
	// Tenant is whose it is.
	Tenant   string
	Priority Priority
	// Cost is how many tokens it asks for, by estimate, at least 1.
	Cost int64
	// Rules are those in force for it.
	Rules *Rules
	// Owner is the caller's own.
	Owner any

	// Entered and Admitted are set by the gate.
	Entered, Admitted Instant

	deadline      Instant // the latest moment to let it in; 0: any
	of            *tenant
	ahead, behind *Ticket
}

// Verdict is what becomes of a ticket.
type Verdict uint8

// The verdicts.
const (
	// Admitted: it is in flight, until End.
	Admitted Verdict = iota
	// Waiting: it waits.
	Waiting
	// Full: there is no room for it to wait.
	Full
	// Late: its answer could not begin within the objective.
	Late
)

// Gate lets requests to one cluster. The zero value has learned nothing.
//
// Its invariants: of those waiting, who is next is let in as soon as there is room; nobody
// waits beyond its deadline; no more wait than MaxQueue, and where that is reached the
// last of the tenant that has the most waiting must go, so that a tenant that asks for
// more than its share takes nobody else's place.
type Gate struct {
	limit  limit
	levels [priorities]level
	queued int

	flying     int
	flyingCost int64
	hold       average // how long a request is in flight
	begin      average // from letting a request in to the beginning of its answer
}

// New makes a Gate.
func New() *Gate { return &Gate{limit: limit{level: firstLevel}} }

// Enter is for a ticket that is new. It is admitted, waits or is refused at once; evicted,
// where not nil, has to make room for it, and is refused (Full).
func (g *Gate) Enter(now Instant, t *Ticket) (v Verdict, evicted *Ticket) {
	t.Entered = now
	if g.queued == 0 && g.room(now, t) {
		g.admit(now, t)
		return Admitted, nil
	}
	t.deadline = 0
	if o := t.Rules.Objective; o > 0 {
		budget := o - g.begin.high()
		if budget <= 0 || g.wait(t) > budget {
			return Late, nil
		}
		t.deadline = now + budget
	}
	if g.queued >= t.Rules.MaxQueue {
		if evicted = g.evict(t); evicted == nil {
			return Full, nil
		}
	}
	g.levels[t.Priority].enter(t)
	g.queued++
	return Waiting, evicted
}

// evict takes out who has to make room for t; nil where that is t itself.
func (g *Gate) evict(t *Ticket) *Ticket {
	for p := Low; p > t.Priority; p-- {
		if most := g.levels[p].greediest(); most != nil {
			return g.remove(most.last)
		}
	}
	l := &g.levels[t.Priority]
	most, own := l.greediest(), int64(0)
	if mine := l.tenants[t.Tenant]; mine != nil {
		own = mine.cost
	}
	if most == nil || most.name == t.Tenant || most.cost <= own+t.Cost {
		return nil
	}
	return g.remove(most.last)
}

func (g *Gate) remove(t *Ticket) *Ticket {
	g.levels[t.Priority].leave(t)
	g.queued--
	return t
}

// Leave takes out a ticket that waits; it is false where it does not.
func (g *Gate) Leave(t *Ticket) bool {
	if t.of == nil {
		return false
	}
	g.remove(t)
	return true
}

// Deadline is when a ticket that waits has to leave; ok is false where there is none.
func (t *Ticket) Deadline() (at Instant, ok bool) { return t.deadline, t.deadline != 0 }

// Next lets in who is next, or refuses who is late; nil: nobody, for now. It is called,
// until it is nil, after End and Begun.
func (g *Gate) Next(now Instant) (*Ticket, Verdict) {
	for p := range g.levels {
		l := &g.levels[p]
		if len(l.ring) == 0 {
			continue
		}
		if !g.room(now, l.ring[l.at].first) {
			return nil, Waiting
		}
		t := l.next()
		g.queued--
		if t.deadline != 0 && now > t.deadline {
			return t, Late
		}
		g.admit(now, t)
		return t, Admitted
	}
	return nil, Waiting
}

// room says that t could be let in.
func (g *Gate) room(now Instant, t *Ticket) bool { return g.flying < g.level(now, t.Rules) }

func (g *Gate) level(now Instant, r *Rules) int {
	if r.MaxConcurrency > 0 {
		return r.MaxConcurrency
	}
	return g.limit.now(now)
}

func (g *Gate) admit(now Instant, t *Ticket) {
	t.Admitted = now
	g.flying++
	g.flyingCost += t.Cost
}

// Begun is for a ticket whose answer has begun, or will not.
func (g *Gate) Begun(now Instant, t *Ticket, s Sample) {
	if s.Took > 0 {
		g.begin.observe(s.Took)
	}
	g.limit.observe(now, t, s, g.flying, g.hold.mean)
}

// End is for a ticket that is in flight no more.
func (g *Gate) End(now Instant, t *Ticket) {
	g.hold.observe(now - t.Admitted)
	g.flying--
	g.flyingCost -= t.Cost
}

// wait is how long t would wait by what is let in just now (Little's law: what is in
// flight over how long it is); 0 where nothing is known yet.
func (g *Gate) wait(t *Ticket) time.Duration {
	before := g.levels[t.Priority].before(t.Tenant, t.Cost)
	for p := range t.Priority {
		before += g.levels[p].cost
	}
	return g.drain(before)
}

// drain is how long it takes until so much is let in.
func (g *Gate) drain(cost int64) time.Duration {
	return time.Duration(float64(cost) / float64(max(1, g.flyingCost)) * float64(g.hold.mean))
}

// RetryAfter is in what time a ticket like t, which has been refused, could be let in.
func (g *Gate) RetryAfter(t *Ticket) time.Duration {
	wait := g.wait(t)
	if o := t.Rules.Objective; o > 0 {
		return max(0, wait-max(0, o-g.begin.high()))
	}
	return wait
}

// Seen is what stands in the gauges.
func (g *Gate) Seen(now Instant, r *Rules) (level, flying, queued int) {
	return g.level(now, r), g.flying, g.queued
}

// average is a moving mean and mean deviation, as TCP's of round trips (RFC 6298).
type average struct{ mean, deviation time.Duration }

func (a *average) observe(took time.Duration) {
	if a.mean == 0 {
		a.mean, a.deviation = took, took/2
		return
	}
	a.deviation += (max(took-a.mean, a.mean-took) - a.deviation) / 16
	a.mean += (took - a.mean) / 32
}

// high is what hardly any takes longer than.
func (a *average) high() time.Duration { return a.mean + 4*a.deviation }
