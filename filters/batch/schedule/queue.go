package schedule

import "time"

// Instant is a moment, as the time since one that is the same for all of a Pool.
type Instant = time.Duration

// never is later than everything.
const never = Instant(1<<63 - 1)

// Entry is one request that waits, or a piece of one.
type Entry struct {
	// Items and Bytes are its size.
	Items, Bytes int
	// Arrived is when it entered.
	Arrived Instant
	// Solo: never together with others, for the reason Why.
	Solo bool
	Why  Reason
	// Owner is whose it is.
	Owner any

	queue        *Queue
	older, newer *Entry
}

// Rules are what a configuration says of a queue.
type Rules struct {
	// MaxItems and MaxBytes bound what goes into one call; an entry that alone is
	// larger goes alone.
	MaxItems, MaxBytes int
	// MaxDelay bounds the wait beside a free slot.
	MaxDelay time.Duration
	// MaxFlights is how many calls may be in flight to one server; 0: learned.
	MaxFlights int
	// Objective is the time within which 99 of 100 should be answered; 0: none.
	Objective time.Duration
}

// Queue is a group of entries that may share a call, oldest first.
type Queue struct {
	Rules

	// Owner is whose it is.
	Owner any

	head, tail *Entry
	entries    int
	items      int
	bytes      int
	solos      int

	// Of the pool's ring, while entries wait.
	previous, next *Queue
	listed         bool
	deficit        float64 // seconds of a server's time
	granted        bool    // the deficit was filled up at this visit

	flights, overdue int
	linger           linger
}

// NewQueue makes an empty queue.
func NewQueue(rules Rules, owner any) *Queue {
	return &Queue{Rules: rules, Owner: owner, linger: linger{maxDelay: rules.MaxDelay, returning: hopeful}}
}

// Empty says that nothing waits.
func (q *Queue) Empty() bool { return q.entries == 0 }

// Service is the moving mean of how long its calls take; 0: nothing known.
func (q *Queue) Service() time.Duration { return seconds(q.linger.service) }

// Idle says that nothing waits and nothing is in flight.
func (q *Queue) Idle() bool { return q.entries == 0 && q.flights == 0 }

func (q *Queue) pushBack(e *Entry) {
	e.older, e.newer = q.tail, nil
	if q.tail == nil {
		q.head = e
	} else {
		q.tail.newer = e
	}
	q.tail = e
	q.count(e, 1)
}

func (q *Queue) pushFront(e *Entry) {
	e.older, e.newer = nil, q.head
	if q.head == nil {
		q.tail = e
	} else {
		q.head.older = e
	}
	q.head = e
	q.count(e, 1)
}

func (q *Queue) remove(e *Entry) {
	if e.older == nil {
		q.head = e.newer
	} else {
		e.older.newer = e.newer
	}
	if e.newer == nil {
		q.tail = e.older
	} else {
		e.newer.older = e.older
	}
	e.older, e.newer = nil, nil
	q.count(e, -1)
}

func (q *Queue) count(e *Entry, sign int) {
	q.entries += sign
	q.items += sign * e.Items
	q.bytes += sign * e.Bytes
	if e.Solo {
		q.solos += sign
	}
}

// take moves the longest prefix that fits to the end of batch; the first entry
// always fits, one that is solo has none beside it.
func (q *Queue) take(batch []*Entry, most int) (out []*Entry, items int) {
	first, size := q.head, 0
	for e := q.head; e != nil; e = q.head {
		if e != first && (e.Solo || first.Solo || items+e.Items > most || size+e.Bytes > q.MaxBytes) {
			break
		}
		items += e.Items
		size += e.Bytes
		q.remove(e)
		batch = append(batch, e)
	}
	return batch, items
}
