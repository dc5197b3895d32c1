package schedule

import (
	"math"
	"time"
)

// limit learns how many calls at once a server is best given: its level. The top level
// is everything: nothing waits, nothing is merged, the batcher stands aside (aside.go).
//
// The problem: a server with four accelerators does four times the work with four
// calls in flight; one that takes its calls in turn does nothing sooner for having
// two, but each of the two then holds half of the items, at the same fixed cost. One
// that batches by itself, or is as quick as the batcher, wants no batcher at all. Nobody
// says which it is, and it may change.
//
// Ways not taken. Limits found from the round trip alone (TCP Vegas, Netflix's
// Gradient2) take a long round trip for a queue; here it grows with the batch. To
// raise the limit until throughput stops growing needs a load that would use it;
// most of the time throughput is what callers ask, whatever the limit. The rate at
// which a busy server works off items is blind to the waits that a slot would save.
//
// The way taken: a trial, judged by what callers see. For a few calls the limit is
// another one, a step up or down, and the mean time from arrival to answer is
// compared with what it was at the level before. With callers in a closed loop that is
// throughput, in an open loop it is latency; better is better in both. The step is
// taken where
//
//   - the time is better by a twentieth, or
//   - it is a step up that costs nothing although its calls were smaller: to hold
//     requests back in order to merge them has to pay, and who waits for a slot that the
//     server could well give waits for nothing.
//
// After a step the next follows at once, with longer strides while it goes well. Else
// all is as before, and the next trial, in the other direction, comes after a pause that
// grows fourfold each time, up to a minute, so that trials cost under a percent. A
// change of the service time by half makes the pause short again. A trial ends as soon
// as the difference is larger than the scatter of the times can explain, a bad one
// after a few calls.
//
// A trial during which the load became another one says nothing, and is made again.
//
// Only calls count whose requests all arrived after the last change, and not the first
// of a trial, which find the server less full than it will be. Under a load that the
// level cannot bear there are none such: the queue grows, whatever the trial. Then the
// rate decides at which the server works off items.
type limit struct {
	level int

	trials int
	trial  int // the number of the trial that runs; 0: none
	to     int
	began  Instant
	skip   int // calls that do not count yet
	from   Instant
	last   Instant // when the last call ended
	usual  judged  // at the level
	tried  judged  // on trial

	due   Instant
	pause time.Duration
	down  bool // the direction of the next trial
	leaps bool // the last step went well: the next is longer
	was   cost // what the server cost when the last trial ended
}

// judged is what calls are judged by: what callers waited for calls that count, and a
// server's time for each item while it had more to do than it may.
type judged struct{ callers, items times }

// everything is the top level.
const everything = 1 << 20

const (
	firstPause = 250 * time.Millisecond
	lastPause  = time.Minute
	// better is by how much a level must be better to be taken, and free and smaller
	// are where a step up is taken that is not better: at that gain or more, where of
	// the callers that shared others' calls no more than that share still do.
	better  = 1.05
	free    = 0.98
	smaller = 0.8
	// fewest and most calls of a trial that count; between them it ends when the
	// difference is sure.
	fewestCalls = 4
	mostCalls   = 20
	mostAside   = 320
	// sure is how many standard errors are a difference.
	sure = 2.5
	// maxLevel bounds what is learned below everything.
	maxLevel = 512
)

// now is the limit in force.
func (l *limit) now() int {
	if l.trial != 0 {
		return l.to
	}
	return l.level
}

// step is the level to try next; the same where there is none. apart says that
// everything is the next above.
func (l *limit) step(apart bool) int {
	switch {
	case l.down && l.leaps:
		return max(1, l.level/3)
	case l.down && l.level > 4:
		return l.level * 2 / 3
	case l.down:
		return max(1, l.level-1)
	case apart:
		return everything
	case l.leaps:
		return min(maxLevel, 2*l.level)
	case l.level < 4:
		return l.level + 1
	}
	return min(maxLevel, l.level+l.level/2)
}

// consider begins a trial where one is due: a step up where full says that all slots
// are taken and more waits or could be sent apart, to everything where apart says so,
// down where there are more flights than the step leaves.
func (l *limit) consider(now Instant, full, apart bool, flights, servers int) {
	if l.trial != 0 || now < l.due || l.usual.callers.calls+l.usual.items.calls < 3*fewestCalls {
		return
	}
	to := l.step(apart)
	if to == l.level {
		l.down = !l.down
		if to = l.step(apart); to == l.level {
			return
		}
	}
	switch {
	case to == everything:
		l.skip = flights
	case to > l.level && full:
		l.skip = (to - l.level) * servers
	case to < l.level && flights > to*servers:
		l.skip = to * servers
	default:
		return
	}
	l.trials++
	l.trial, l.to, l.began, l.from = l.trials, to, now, now
	l.tried = judged{}
}

// observe takes in a call that went well, and is true where the level has changed.
func (l *limit) observe(now Instant, f *Flight, took float64, callers int) bool {
	gap := (now - l.last).Seconds()
	l.last = now
	if f.trial != l.trial || f.Began < l.from {
		return false
	}
	to := &l.tried
	if l.trial == 0 {
		to = &l.usual
	}
	if l.skip > 0 {
		l.skip--
		return false
	}
	if f.backlog {
		to.items.add(f.Items, took/float64(l.now()))
	}
	if f.oldest >= l.from {
		to.callers.add(f.Callers, f.waited+took*float64(f.Callers))
		to.callers.around(callers, gap)
	}
	return l.trial != 0 && l.decide(now)
}

// decide ends the trial if it has seen enough.
func (l *limit) decide(now Instant) bool {
	usual, tried, target := &l.usual.callers, &l.tried.callers, better
	switch {
	case l.tried.items.calls > tried.calls, usual.calls < fewestCalls:
		usual, tried = &l.usual.items, &l.tried.items
	case l.to == everything, l.to > l.level && tried.size()-1 <= smaller*(usual.size()-1):
		target = free
	}
	if tried.calls < 1 || usual.calls < 1 {
		if l.tried.callers.calls >= mostCalls { // nothing to compare them with
			l.end(now, false)
		}
		return false
	}
	if tried == &l.tried.callers && tried.calls >= fewestCalls && tried.other(usual) && l.usual.items.calls < fewestCalls {
		l.trial, l.from, l.due, l.usual = 0, now, now+firstPause, judged{}
		return false
	}
	least, most := float64(max(fewestCalls, min(l.to/2, 16))), float64(mostCalls)
	if l.to == everything {
		most = mostAside
	}
	gain := usual.mean() / tried.mean()
	scatter := sure * gain * math.Hypot(usual.scatter(), tried.scatter())
	switch {
	case tried.calls >= 2 && gain+scatter < target && gain < 0.8:
	case tried.calls < least:
		return false
	case tried.calls < most && scatter > 0.02 && gain-scatter < target && gain+scatter > target:
		return false
	}
	if gain < target {
		l.end(now, false)
		return false
	}
	l.leaps = target == free || gain > 1.2
	l.level = l.to
	l.usual = l.tried
	l.end(now, true)
	return true
}

// end ends a trial.
func (l *limit) end(now Instant, taken bool) {
	l.trial, l.from = 0, now
	if taken {
		l.pause, l.due = firstPause, now
		return
	}
	l.leaps = false
	l.down = !l.down
	l.due = now + l.pause
	l.pause = min(4*l.pause, lastPause)
}

// A trial may take patience and patientCalls usual times.
const (
	patience     = 5 * time.Second
	patientCalls = 30
)

// expire gives up a trial that finds no load to be tried with, and has the pause
// short again where the server, which costs c, is not what it was at the last trial.
func (l *limit) expire(now Instant, c *cost) {
	n := c.n / max(c.w, 1e-9)
	if l.trial != 0 {
		if now-l.began > patience+seconds(patientCalls*max(c.of(n), l.usual.callers.mean())) {
			l.end(now, false)
			l.was = *c
		}
		return
	}
	if !l.was.known() {
		l.was = *c
	}
	if t, was := c.of(n), l.was.of(n); t > 1.5*was || 1.5*t < was {
		l.was = *c
		l.pause = firstPause
		l.due = min(l.due, now+l.pause)
	}
}

// again begins where nothing has been tried for a while: with so many calls, downwards.
func (l *limit) again(now Instant, calls int) {
	l.level = min(max(1, calls), maxLevel)
	l.trial, l.due, l.pause, l.from = 0, now, firstPause, now
	l.down, l.leaps = true, false
	l.usual = judged{}
}

// times are the times that callers waited for their answers: of each call the sum over
// its callers, the scatter of the calls' means, and how many callers there were around
// it, in which time.
type times struct{ calls, callers, sum, means, squares, among, span float64 }

func (t *times) add(callers int, seconds float64) {
	t.decay()
	mean := seconds / float64(max(1, callers))
	t.calls++
	t.callers += float64(callers)
	t.sum += seconds
	t.means += mean
	t.squares += mean * mean
}

// around adds what was around a call: the callers in the servers and the queues, and
// how long the call before it was ago.
func (t *times) around(callers int, seconds float64) {
	t.among += float64(callers)
	t.span += seconds
}

// other says that the load was another one: more callers and more answers a second, or
// less of both. A better or worse level changes only one of them: in a closed loop the
// answers, in an open loop the callers.
func (t *times) other(than *times) bool {
	callers := t.among / t.calls / (than.among / than.calls)
	rate := t.callers / t.span / (than.callers / than.span)
	const much = 1.4
	return min(callers, rate) > much || max(callers, rate) < 1/much
}

// decay has the last fifty or so calls count.
func (t *times) decay() {
	const keep = 1 - 1./64
	t.calls *= keep
	t.callers *= keep
	t.sum *= keep
	t.means *= keep
	t.squares *= keep
	t.among *= keep
	t.span *= keep
}

// mean is a caller's time, size how many callers share a call.
func (t *times) mean() float64 { return t.sum / max(t.callers, 1e-9) }
func (t *times) size() float64 { return t.callers / max(t.calls, 1e-9) }

// scatter is the standard error of the mean, as a share of it.
func (t *times) scatter() float64 {
	if t.calls < 2 || t.means <= 0 {
		return 1
	}
	m := t.means / t.calls
	return math.Sqrt(max(0, t.squares/t.calls-m*m)/(t.calls-1)) / m
}
