package schedule

import "time"

// linger decides, for one queue, whether what waits is sent now.
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
// The rule: callers who were just answered are expected back, for a moment, if those
// before them did come back.
//
//	on completion of a call:
//	    due   += those of its callers who will return, by what is known
//	    until  = now + min(mean service time / 8, 5 ms, max_queue_delay)
//	on arrival:
//	    due -= 1, if positive
//	on either, while a slot is free and the queue is not empty:
//	    if due > 0 and now < until and more would fit: wait until then
//	    send the longest prefix of the queue that fits
//
// How many return is measured whether or not anybody waits for them: the arrivals
// before until, as a share of the answers. In an open loop they are few, and nobody
// is waited for.
//
// Invariants:
//  1. A lone caller never waits: its own last call made due 1, and it is there.
//  2. Nobody waits beside a free slot for longer than max_queue_delay, however
//     often other calls complete meanwhile.
//  3. A wait costs at most an eighth of a service time for each call, so that it
//     cannot take more than an eighth of the throughput where nobody comes back.
//  4. What is sent is a prefix of the queue: nobody is overtaken.
type linger struct {
	// maxDelay is max_queue_delay.
	maxDelay time.Duration

	due   int
	until Instant
	// service is the moving mean of the service time in seconds; 0: nothing known.
	service float64
	// waiting is set between a decision to wait and the next one to send.
	waiting bool

	// returning is the moving mean of the share of the answered who come back, and
	// answered and returned are this time's, until until.
	returning          float64
	answered, returned int

	// following is the moving mean of how many callers come within the same time after
	// one that finds nobody before it and a slot free: a burst's. first says that it
	// is them who are counted now.
	following float64
	first     bool
}

const (
	lingerShare = 8
	lingerMost  = 5 * time.Millisecond
	// serviceWeight and returnWeight are the share of the newest in a mean.
	serviceWeight = 0.2
	returnWeight  = 0.25
	// hopeful is the share that is taken to return before anything is known; below
	// doubtful nobody is waited for, from certain on everybody.
	hopeful  = 0.8
	doubtful = 0.5
	certain  = 0.85
)

// decide says until when to wait, and where that is not after now, why not. It is
// asked only while a slot is free and callers wait, so many of them. full says that
// no more than what waits could go into the next call; from is since when the oldest
// has waited beside a free slot.
func (l *linger) decide(now Instant, callers int, full bool, from Instant) (Instant, Reason) {
	waited := l.waiting
	l.waiting = false
	switch {
	case full:
		return 0, Full
	case l.due > 0:
		if until := min(l.until, from+l.maxDelay); until > now {
			l.waiting = true
			return until, 0
		}
		l.due = 0
		if waited {
			return 0, Hold
		}
	case waited || callers > 1:
		return 0, Expected
	}
	return 0, Idle
}

// arrived takes note of a caller who comes; idle says that nobody is before it and a
// slot is free.
func (l *linger) arrived(now Instant, idle bool) {
	if now < l.until {
		l.returned++
		l.due = max(0, l.due-1)
		return
	}
	l.settle()
	if idle && l.service > 0 {
		l.first, l.due = true, int(l.following)
		l.until = now + l.span()
	}
}

// span is how long to wait for anybody.
func (l *linger) span() time.Duration {
	return min(seconds(l.service/lingerShare), lingerMost, l.maxDelay)
}

// settle learns from a wait that is over.
func (l *linger) settle() {
	if l.first {
		l.following += returnWeight * (float64(l.returned) - l.following)
	} else if l.answered > 0 {
		share := min(1, float64(l.returned)/float64(l.answered))
		l.returning += returnWeight * (share - l.returning)
	}
	l.first, l.answered, l.returned, l.due = false, 0, 0, 0
}

// completed takes note of a call's end: how many callers were answered, and how many
// seconds it took; 0 where it failed, which says nothing about how long a good one
// takes.
func (l *linger) completed(now Instant, answered int, took float64) {
	if took > 0 {
		if l.service == 0 {
			l.service = took
		}
		l.service += serviceWeight * (took - l.service)
	}
	if now >= l.until || l.first {
		l.settle()
	}
	l.answered += answered
	l.until = now + l.span()
	switch {
	case l.returning >= certain:
		l.due += answered
	case l.returning >= doubtful:
		l.due += int(l.returning*float64(answered) + 0.999)
	}
}

// seconds makes a duration.
func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
