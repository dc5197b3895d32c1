package jobs

import (
	"sync"
	"time"
)

// How many lines run at once is found by climbing: while the rate of answers grows by a
// tenth when their number is doubled, it is doubled again; where it does not, the number
// goes back, and half of it is tried, since fewer lines at the same rate leave more room
// for others. Then it rests for a while. What the server refuses for want of room (429,
// 503) halves it at once. Nothing is learned while callers wait for answers: what they get
// is not the lines'.
//
// A model of the server's cost, as the batcher has, would be the way not taken: lines go
// through the batcher, whose calls are what costs, and it has its own.
const (
	firstLimit = 8
	mostLimit  = 256
	// shortest is the shortest time over which a rate is measured, and rounds how many
	// answers for each line at once are in it at least.
	shortest = 250 * time.Millisecond
	rounds   = 3
	// rest is how long a limit that was found is kept.
	rest = 10 * time.Second
	// gain is what more lines must bring, and loss what fewer may cost.
	gain, loss = 1.1, 0.97
)

// pace says how many lines may run at once.
type pace struct {
	mu    sync.Mutex
	fixed int // 0: learned
	limit int
	// The window.
	begin   time.Time
	answers int
	spoiled bool // callers waited, or there were not enough lines
	// What is being tried: the limit and rate before; 0: nothing.
	before     int
	beforeRate float64
	until      time.Time // of the rest
}

func newPace() *pace { return &pace{limit: firstLimit} }

// fix sets the number; 0 has it learned.
func (p *pace) fix(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fixed == n {
		return
	}
	p.fixed = n
	if p.limit = firstLimit; n > 0 {
		p.limit = n
	}
	p.before, p.answers, p.begin, p.until = 0, 0, time.Time{}, time.Time{}
}

// allowed is how many lines may run while so many callers wait: each takes the place of
// two, but one line may always run, or a job would never end.
func (p *pace) allowed(live int) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if live > 0 {
		p.spoiled = true
	}
	return max(1, p.limit-2*live)
}

// answered counts an answer. enough says that as many lines ran as were allowed.
func (p *pace) answered(enough bool, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fixed > 0 {
		return
	}
	p.spoiled = p.spoiled || !enough
	p.answers++
	took := now.Sub(p.begin)
	if p.begin.IsZero() || now.Before(p.until) {
		p.next(now)
		return
	}
	if took < shortest || p.answers < rounds*p.limit {
		return
	}
	if !p.spoiled {
		p.climb(float64(p.answers)/took.Seconds(), now)
	}
	p.next(now)
}

func (p *pace) next(now time.Time) { p.begin, p.answers, p.spoiled = now, 0, false }

// climb makes of a measured rate the next limit.
func (p *pace) climb(rate float64, now time.Time) {
	switch {
	case p.before == 0: // the rate to compare with
		p.try(min(2*p.limit, mostLimit), rate)
	case p.limit > p.before && rate >= gain*p.beforeRate:
		p.try(min(2*p.limit, mostLimit), rate)
	case p.limit > p.before: // more did not help: what do fewer cost?
		p.limit = p.before
		p.try(max(1, p.limit/2), p.beforeRate)
	case p.limit < p.before && rate >= loss*p.beforeRate:
		p.try(max(1, p.limit/2), p.beforeRate)
	default:
		p.limit = p.before
		p.settle(now)
	}
	if p.limit == p.before { // at an end of the range
		p.settle(now)
	}
}

func (p *pace) try(limit int, rate float64) { p.before, p.beforeRate, p.limit = p.limit, rate, limit }

func (p *pace) settle(now time.Time) { p.before, p.until = 0, now.Add(rest) }

// refused says that the server had no room.
func (p *pace) refused(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fixed > 0 || now.Before(p.until) && p.until.Sub(now) > rest-time.Second { // one burst counts once
		return
	}
	p.limit = max(1, p.limit/2)
	p.settle(now)
	p.next(now)
}

// now is the limit.
func (p *pace) now() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.limit
}
