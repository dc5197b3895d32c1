package batch

import "time"

// linger decides, for one group, whether what waits is sent now.
//
// The problem: a server that takes 10 ms for a call and 0.5 ms more for each item
// does six times the work in batches of eight, but eight callers that wait for
// their answers never stand in the queue together by themselves: when the batch
// before them ends they come back one after the other, within microseconds to a
// few milliseconds. Whoever sends as soon as a slot is free sends the first of
// them alone and lets the other seven wait for a whole call.
//
// Ways not taken. A fixed window (KServe's agent, MLServer) makes a lone caller
// pay it in full. Sending when a slot is free without waiting reaches half of the
// throughput of what is possible with eight callers. A window that adapts to the
// rate of arrivals (least squares over past waits, as BentoML's) does not know
// that callers who were answered a moment ago are the likeliest to call again.
//
// The rule: the callers of the last call are expected back, for a moment.
//
//	on completion of a call:
//	    expect = its items + the items that wait
//	    until  = now + min(mean service time / 8, 3 ms, max_queue_delay)
//	on arrival and on completion, while a slot is free and the queue is not empty:
//	    if fewer than min(max_batch_size, expect) items wait and now < until:
//	        set a timer to until, and stop
//	    send the longest prefix of the queue that fits
//
// Invariants:
//  1. A lone caller never waits: its own last call made expect 1, and it is 1.
//  2. Nobody waits beside a free slot for longer than max_queue_delay, however
//     often other calls complete meanwhile.
//  3. A wait costs at most an eighth of a service time for each call, so that it
//     cannot take more than an eighth of the throughput where nobody comes back.
//  4. What is sent is a prefix of the queue: nobody is overtaken.
//
// The type is pure: it has no clock, no timer and no lock, and knows nothing of
// requests. Whatever else is to decide (a learned cost model, a learned number of
// slots) takes its place with the same two methods.
type linger struct {
	// maxDelay is max_queue_delay.
	maxDelay time.Duration

	expect int
	until  time.Time
	// free is since when there has been a free slot.
	free time.Time
	// service is the moving mean of the service time; 0: nothing known.
	service time.Duration
	// waiting is set between a decision to wait and the next one to send.
	waiting bool
}

const (
	lingerShare = 8
	lingerMost  = 3 * time.Millisecond
	// serviceWeight is the share of the newest service time in their mean.
	serviceWeight = 0.2
)

// why is the reason of a dispatch.
type why int

// The reasons; their names are those of the metric's label.
const (
	whyFull        why = iota // as many items wait as a call may hold
	whyExpected               // everyone who was expected has come
	whyHold                   // those who were expected did not come in time
	whyIdle                   // a slot was free and nobody was expected
	whyAlone                  // it has to be alone, after a merged call failed
	whyOversize               // it has to be alone, being larger than a batch
	whyUnbatchable            // its model cannot be batched
	whys
)

func (w why) String() string {
	return [whys]string{"full", "expected", "hold", "idle", "alone", "oversize", "unbatchable"}[w]
}

// decide says how long to wait, and if 0, why not. It is asked only while a slot
// is free and items wait. full says that no more than what waits could go into
// the next call; oldest is the arrival of the head of the queue.
func (l *linger) decide(now time.Time, items int, full bool, oldest time.Time) (time.Duration, why) {
	waited := l.waiting
	l.waiting = false
	if full {
		return 0, whyFull
	}
	if items < l.expect {
		until := later(oldest, l.free).Add(l.maxDelay)
		if l.until.Before(until) {
			until = l.until
		}
		if wait := until.Sub(now); wait > 0 {
			l.waiting = true
			return wait, 0
		}
		if waited {
			return 0, whyHold
		}
		return 0, whyIdle
	}
	if waited || items > 1 {
		return 0, whyExpected
	}
	return 0, whyIdle
}

// completed takes note of a call's end: the items of those who were answered, how
// many items wait, how long it took (0 where it failed, which says nothing about
// how long a good one takes), and whether all slots had been taken.
func (l *linger) completed(now time.Time, items, queued int, took time.Duration, wasFull bool) {
	if took > 0 {
		if l.service == 0 {
			l.service = took
		}
		l.service += time.Duration(serviceWeight * float64(took-l.service))
	}
	if wasFull {
		l.free = now
	}
	l.expect = items + queued
	l.until = now.Add(min(l.service/lingerShare, lingerMost, l.maxDelay))
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
