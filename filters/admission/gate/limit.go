package gate

import (
	"math"
	"time"
)

// limit learns how many requests at once a server is best given: its level.
//
// The problem: too few leave a server idle, and a batcher with nothing to batch; too many
// only wait inside it, where nobody can put them in order or refuse them. Nobody says how
// many are right, and it changes with what is asked.
//
// The way not taken: to compare how long whole requests take (Netflix's Gradient2, Envoy's
// adaptive concurrency). For a language model that says how long the answers were. And the
// time until an answer begins grows with the batch that it was computed in, which is no
// sign of a queue.
//
// The way taken: the gradient of those, on queueing alone. What passes from letting a
// request in until its answer begins is compared with what the work itself takes: what the
// batcher has learned that such a call takes (T(n) = a + b·n, for the very n of the call),
// else the least time that was seen for requests of that size (baseline.go). While a
// request waits for no longer than its work takes (slack), the level grows by its square
// root, if it is used; else it falls by as much as they wait too long. Both at once hold
// it where waiting is about 1+1/√level times that: the batcher then has the next full call
// waiting while one is computed, and what is more waits at the gate.
//
// Only requests count that were let in after the last change.
//
// What the server can do when it is not full cannot be seen while it always is. So where
// there is only the least time seen to go by, and it is old, the level is a fourth for some
// requests (a look). That needs requests that are over soon: with long streams the least
// time may only creep upwards.
type limit struct {
	level float64
	base  baseline

	from          Instant // of the last change
	n             int
	took, service time.Duration // sums
	most          int           // requests at once

	looking Instant // since when; 0: not
	looked  int
}

const (
	firstLevel = 16
	maxLevel   = 65536
	// slack is how long a request may wait, as a share of the time that its work takes.
	slack = 1.0
	// share is the part of the objective that the wait inside the server and the work may
	// have; the rest is for waiting here.
	share = 0.5
	// fewest and enough requests for a change.
	fewest, enough = 8, 64
	// steepest bounds a fall.
	steepest = 0.5
	// backOff is what remains of the level where the server itself says that it is
	// overloaded.
	backOff = 0.9
	// looks are how many requests a look takes, and lookFor how long it may.
	looks   = 8
	lookFor = 2 * time.Second
	// brief is how much longer than until its beginning an answer may take for a look.
	brief = 4
)

// now is the level in force.
func (l *limit) now(at Instant) int {
	level := l.level
	if l.looking != 0 && at < l.looking+lookFor {
		level /= 4
	}
	return max(1, int(level))
}

// Sample is what became of a request that was let in.
type Sample struct {
	// Took is from letting it in to the beginning of its answer; 0: it says nothing.
	Took time.Duration
	// Service is what the work takes by what is known of the server; 0: nothing is.
	Service time.Duration
	// Overloaded says that the server, or what stands before it, had no room.
	Overloaded bool
}

// observe takes in the sample of t, one of so many in flight. hold is how long requests are
// in flight.
func (l *limit) observe(now Instant, t *Ticket, s Sample, flying int, hold time.Duration) {
	if s.Overloaded && t.Admitted >= l.from {
		l.change(now, l.level*backOff)
		return
	}
	if s.Took <= 0 {
		return
	}
	if s.Service > 0 && l.looking != 0 { // no more need to look
		l.looking = 0
		l.change(now, l.level)
	}
	service := s.Service
	if service == 0 {
		service = l.unqueued(now, t, s.Took, hold)
	}
	if t.Admitted < l.from || l.looking != 0 {
		return
	}
	l.n++
	l.took += s.Took
	l.service += service
	l.most = max(l.most, flying)
	if l.n < min(enough, max(fewest, int(l.level/2))) {
		return
	}
	allowed := (1 + slack) * l.service.Seconds() / float64(l.n)
	if o := t.Rules.Objective; o > 0 {
		allowed = min(allowed, share*o.Seconds())
	}
	gradient := max(steepest, min(1, allowed*float64(l.n)/l.took.Seconds()))
	next := l.level*gradient + math.Sqrt(l.level)
	if next > l.level && l.most < int(l.level) {
		next = l.level // it is not used
	}
	l.change(now, (l.level+next)/2)
}

// unqueued is the time of t's work by the least times seen. It begins and ends looks. The
// first requests of a look still find others in the server.
func (l *limit) unqueued(now Instant, t *Ticket, took, hold time.Duration) time.Duration {
	known := l.base.of(t.Cost)
	if l.looking != 0 {
		if t.Admitted >= l.looking {
			l.looked++
			if l.looked > looks/2 {
				known = l.base.observe(now, t.Cost, took, true)
			}
		}
		if l.looked >= looks || now >= l.looking+lookFor {
			l.looking = 0
			l.change(now, l.level)
		}
		return known
	}
	if l.base.due(now, t.Cost) && l.most >= int(l.level) && hold < brief*took {
		l.looking, l.looked = now, 0
		return known
	}
	return l.base.observe(now, t.Cost, took, false)
}

func (l *limit) change(now Instant, level float64) {
	l.level = max(1, min(maxLevel, level))
	l.from, l.n, l.took, l.service, l.most = now, 0, 0, 0, 0
}
