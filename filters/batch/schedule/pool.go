package schedule

import (
	"time"
)

// Pool schedules the entries of one operation of one model over the servers of a
// cluster. It has no clock, no lock, no timer and no goroutine, and knows nothing of
// requests: whoever drives it tells it what happens, sends what Next hands out, and
// calls Next again when something has happened or at Wake.
//
// The problem. A server takes a + b·n for a call of n items, and works on K calls at
// once; a, b and K are unknown, differ from model to model by orders of magnitude, and
// change. Callers send one item at a time. Sent as they come they use n/(a+b·n) at
// n = 1 of the server; sent together, too late: who waits for others without need is
// slower than without a batcher. Where a is small, or K large, there is nothing to win.
//
// The outline, on every arrival, end of a call, leaving, and wake:
//
//	while a server has fewer calls in flight than its limit (limit.go):
//	    q = the queue whose turn it is
//	    if more of q's callers are about to come (linger.go): pass the turn on
//	    n = the most items that max_batch_size, the server's own limit, the objective,
//	        and an even share among the slots let into one call
//	    if q's deficit does not pay for T(n): fill it up once a turn, pass the turn on
//	    send the longest prefix of q that holds no more than n
//	when a call ends:
//	    learn a and b (cost.go), expect its callers back, judge the limit
//
// Invariants:
//  1. Work conserving but for the linger: while a slot is free and some queue is not
//     waiting for callers who are about to return, something is sent. A linger has an
//     end that does not move.
//  2. A queue is sent in order. No call holds more than n items, unless it is one
//     entry that alone holds more.
//  3. Queues share the servers' time, not their calls: a tenant with many large calls
//     takes no more of it than one with few small ones, as long as both have some waiting
//     (deficit round robin in seconds).
//  4. A call that hangs keeps its slot for four times what it should have taken and a
//     tenth of a second. Then the others go on as if it were not there; its own queue
//     may have as many such calls as there are slots, and waits.
//  5. Everything that is learned decides speed only, never what is answered.
//
// The ways not taken. One queue for each server, filled on arrival, commits a request
// to a server before it is known which will be free: the batch is chosen at its dispatch.
// A limit for each queue would need no fairness, but a hundred tenants would have a
// hundred calls in flight. Sorting by deadline (EDF) has nothing to sort where nobody
// states one, and starves whoever states a late one.
type Pool struct {
	// Most is what the server itself says that a call may hold; 0: it says nothing.
	Most int
	// Apart: nothing shares a call, for as long as it is set.
	Apart bool

	servers []*Server
	byKey   map[Target]*Server
	nowhere *Server

	ring    *Queue // the queue whose turn it is; the others follow by next
	queues  int    // in the ring
	largest int    // of their MaxItems, ever
	waiting int    // entries in all queues
	items   int    // in all queues

	flights     int
	flying      int // callers in flight
	flyingItems int
	oldest      *Flight // in order of their beginning
	newest      *Flight
	freed       Instant // since when there has been a free slot
	wake        Instant

	cost  cost // of all servers together
	limit limit
	aside aside
	spare *Flight // for reuse, by newer
}

// NewPool makes a pool without servers.
func NewPool() *Pool {
	p := &Pool{byKey: make(map[Target]*Server), wake: never, limit: limit{level: 1, pause: firstPause, skip: 2 * fewestCalls}}
	p.nowhere = newServer(nil, nil)
	return p
}

// Serve says which targets there are. What is known of those that stay is kept.
func (p *Pool) Serve(targets []Target) {
	var like *Server
	for _, s := range p.servers {
		if s.cost.known() && (like == nil || s.cost.w > like.cost.w) {
			like = s
		}
	}
	servers := make([]*Server, len(targets))
	byKey := make(map[Target]*Server, len(targets))
	for i, t := range targets {
		s := p.byKey[t]
		if s == nil {
			s = newServer(t, like)
		}
		servers[i], byKey[t] = s, s
	}
	p.servers, p.byKey = servers, byKey
}

// Enter puts e at the end of q.
func (p *Pool) Enter(now Instant, q *Queue, e *Entry) {
	e.queue, e.Arrived = q, now
	q.linger.arrived(now, p.waiting == 0 && p.flights < p.slots(q)*len(p.servers))
	q.pushBack(e)
	p.entered(q, e)
}

// Return puts e back at the front of its queue.
func (p *Pool) Return(e *Entry) {
	e.queue.pushFront(e)
	p.entered(e.queue, e)
}

func (p *Pool) entered(q *Queue, e *Entry) {
	p.waiting++
	p.items += e.Items
	if !q.listed {
		p.list(q)
	}
}

// Leave takes out e, which waits.
func (p *Pool) Leave(e *Entry) {
	q := e.queue
	q.remove(e)
	p.left(q, e)
}

func (p *Pool) left(q *Queue, e *Entry) {
	p.waiting--
	p.items -= e.Items
	if q.entries == 0 && q.listed {
		q.linger.waiting = false
		p.unlist(q)
	}
}

// Next hands out what is to be sent now: the entries, appended to batch, and the
// flight whose End is to be told; nil where nothing is to be sent. A flight without
// items is none: the entry is late, and is to be refused.
func (p *Pool) Next(now Instant, batch []*Entry) (entries []*Entry, f *Flight, why Reason) {
	p.wake = never
	if callers := p.waiting + p.flying; p.aside.over(now, callers) {
		p.Recall(now, callers)
	}
	visits := 2*p.queues + 1
	for ; p.ring != nil && visits > 0; visits-- {
		q := p.ring
		s, slots, free := p.pick(now, q)
		aside := p.limit.now() == everything && q.MaxFlights == 0
		if s == nil {
			p.turn()
			continue
		}
		most, late := p.most(now, q, s)
		if late {
			batch, _ = q.take(batch, 1)
			p.left(q, batch[len(batch)-1])
			return batch, nil, Late
		}
		if aside {
			most, why = 1, Aside
			if q.head.Solo {
				why = q.head.Why
			}
		} else if q.head.Solo {
			why = q.head.Why
		} else if p.Apart {
			most, why = 1, Unbatchable
		} else {
			var until Instant
			if until, why = p.decide(now, q, most); until > now {
				p.wake = min(p.wake, until)
				p.turn()
				continue
			}
			// Where several slots are free, or would be if all were alike, nobody
			// gets more than its share.
			if slots > 1 && free > 0 {
				all := p.items + p.flyingItems + q.linger.due*q.items/q.entries
				most = min(most, max(1, (all+slots-1)/slots))
			}
		}
		if !p.afford(q, s, most) {
			continue
		}
		return p.send(now, q, s, most, batch, why)
	}
	return batch, nil, why
}

// Aside says whether the pool stands aside, and if so, until when and up to how many
// callers at once.
func (p *Pool) Aside() (until Instant, callers int, on bool) {
	return p.aside.until, p.aside.most(), p.aside.on
}

// Recall ends the standing aside; callers is how many there are.
func (p *Pool) Recall(now Instant, callers int) {
	p.aside.end()
	p.limit.again(now, (callers+len(p.servers)-1)/max(1, len(p.servers)))
}

// Free says that an entry that enters q now would not have to wait for a slot.
func (p *Pool) Free(q *Queue) bool {
	if !q.Empty() {
		return false
	}
	healthy := false
	for _, s := range p.servers {
		if !s.Target.Healthy() {
			continue
		}
		if healthy = true; s.flights-s.overdue < p.slots(q) {
			return true
		}
	}
	return !healthy && p.nowhere.flights < p.slots(q)
}

// Slots is how many calls of q may be in flight to all healthy servers together.
func (p *Pool) Slots(q *Queue) int {
	n := 0
	for _, s := range p.servers {
		if s.Target.Healthy() {
			n += p.slots(q)
		}
	}
	return max(1, n)
}

// Learned is what is known: the terms of the cost in seconds, where calls of different
// sizes have been seen, and how many calls at once a server is given; 0: any number.
func (p *Pool) Learned() (a, b float64, spread bool, level int) {
	level = p.limit.level
	if level == everything {
		level = 0
	}
	return p.cost.a, p.cost.b, p.cost.spread, level
}

// Expected is what f takes by what has been learned of its server; 0 where that is not
// enough to say, or nothing keeps calls from waiting inside the server.
func (p *Pool) Expected(f *Flight) time.Duration {
	if c := &f.Server.cost; p.limit.now() != everything && c.w >= 2 {
		return seconds(c.of(float64(f.Items)))
	}
	return 0
}

// decide asks q's linger.
func (p *Pool) decide(now Instant, q *Queue, most int) (Instant, Reason) {
	full := q.items >= most || q.bytes >= q.MaxBytes || q.solos > 0
	until, why := q.linger.decide(now, q.entries, full, max(q.head.Arrived, p.freed))
	if until > now && q.Objective > 0 {
		until = min(until, q.head.Arrived+q.Objective/4)
	}
	return until, why
}

// bound is the most items of q's calls, by its rules and by what the server says.
func (p *Pool) bound(q *Queue) int {
	if p.Most > 0 {
		return min(q.MaxItems, p.Most)
	}
	return q.MaxItems
}

// most is how many items the next call may hold, and whether q's oldest entry can no
// longer be answered within the objective.
func (p *Pool) most(now Instant, q *Queue, s *Server) (most int, late bool) {
	most = p.bound(q)
	if q.Objective <= 0 || !s.cost.known() {
		return most, false
	}
	// A little is left for what the model does not know. Whoever comes just after a call
	// began waits for all of it, so two calls have to fit. While more calls than usual
	// are tried, each may take that much longer.
	goal := 0.92 * q.Objective.Seconds()
	if l := &p.limit; l.trial != 0 && l.to > l.level && l.to < everything {
		goal *= float64(l.level) / float64(l.to)
	}
	fits := func(t float64) int {
		if t >= s.cost.of(float64(most)) {
			return most
		}
		return max(1, int((t-s.cost.a)/max(s.cost.b, 1e-12)))
	}
	left := goal - (now - q.head.Arrived).Seconds()
	full := fits(goal / 2)
	if s.cost.of(float64(min(q.head.Items, most))) >= goal {
		return most, false // an objective that nothing can meet is none
	}
	switch {
	case left >= s.cost.of(float64(min(full, q.items))):
		return full, false
	case q.items > full || left < s.cost.of(float64(q.head.Items)):
		// Smaller calls would only make those behind later still.
		return full, true
	}
	return fits(left), false
}

// slots is how many of q's calls may be in flight to one server.
func (p *Pool) slots(q *Queue) int {
	if q.MaxFlights > 0 {
		return q.MaxFlights
	}
	return p.limit.now()
}

// pick is the healthy server with a free slot that has the least to do; slots are
// those of all, free those that are free.
func (p *Pool) pick(now Instant, q *Queue) (best *Server, slots, free int) {
	least, active, healthy := 0.0, int64(0), false
	for _, s := range p.servers {
		if !s.Target.Healthy() {
			continue
		}
		healthy = true
		all := p.slots(q)
		slots += all
		n := all - (s.flights - s.overdue)
		if n <= 0 {
			continue
		}
		free += n
		load := float64(s.flights) / float64(all)
		if best != nil && load > least {
			continue
		}
		a := s.Target.Active()
		if best == nil || load < least || a < active || a == active && s.cost.of(1) < best.cost.of(1) {
			best, least, active = s, load, a
		}
	}
	if !healthy {
		slots = p.slots(q)
		if free = slots - p.nowhere.flights; free > 0 {
			best = p.nowhere
		}
	}
	if best == nil {
		p.await(now)
	}
	// A queue whose own calls hang may not take the slots of the others one by one.
	if q.overdue >= slots {
		return nil, slots, 0
	}
	return best, slots, free
}

const (
	// overdueLeast and overdueTimes say from when on a call counts no more: it hangs,
	// and must not keep others waiting.
	overdueLeast = 100 * time.Millisecond
	overdueTimes = 4
)

// await wakes when the oldest call that counts becomes overdue. Calls that are by
// now are set aside.
func (p *Pool) await(now Instant) {
	for f := p.oldest; f != nil; f = f.newer {
		if f.overdue {
			continue
		}
		due := f.Began + overdueLeast + seconds(overdueTimes*f.Server.cost.of(float64(f.Items))*float64(min(p.limit.now(), f.Server.flights)))
		if due > now {
			p.wake = min(p.wake, due)
			return
		}
		f.overdue = true
		f.Server.overdue++
		f.Queue.overdue++
		p.wake = now // a slot is free
	}
}

// afford is the deficit round robin (Shreedhar and Varghese, 1995) in a server's time:
// every turn adds the time of a full call to what a queue may spend.
func (p *Pool) afford(q *Queue, s *Server, most int) bool {
	if p.queues == 1 || !s.cost.known() {
		return true
	}
	price := s.cost.of(float64(min(most, q.items)))
	if q.deficit < price && !q.granted {
		q.deficit += s.cost.of(float64(p.largest))
		q.granted = true
	}
	if q.deficit < price {
		p.turn()
		return false
	}
	q.deficit -= price
	return true
}

// send makes a flight of the head of q.
func (p *Pool) send(now Instant, q *Queue, s *Server, most int, batch []*Entry, why Reason) ([]*Entry, *Flight, Reason) {
	from := len(batch)
	batch, items := q.take(batch, most)
	waited := 0.0
	for _, e := range batch[from:] {
		p.left(q, e)
		waited += (now - e.Arrived).Seconds()
	}
	if p.queues > 1 && q.listed && !s.cost.known() {
		p.turn()
	}
	f := p.spare
	if f == nil {
		f = new(Flight)
	} else {
		p.spare = f.newer
	}
	*f = Flight{
		Queue: q, Server: s, Items: items, Callers: len(batch) - from, Began: now,
		oldest: batch[from].Arrived, waited: waited, backlog: q.entries > 0 && items+q.head.Items > most,
		trial: p.limit.trial, older: p.newest,
	}
	if p.newest == nil {
		p.oldest = f
	} else {
		p.newest.newer = f
	}
	p.newest = f
	s.flights++
	q.flights++
	p.flights++
	p.flying += f.Callers
	p.flyingItems += items
	if !p.aside.on {
		p.aside.observe(p.waiting+p.flying, f.Callers, items)
	}
	return batch, f, why
}

// Resize says that f holds other than it was sent with: callers have left before it
// was put together.
func (p *Pool) Resize(f *Flight, callers, items int) {
	p.flying += callers - f.Callers
	p.flyingItems += items - f.Items
	f.waited *= float64(callers) / float64(max(1, f.Callers))
	f.Callers, f.Items = callers, items
}

// End says that a call has ended: answered is how many callers have got their answer,
// and good whether its time says how long a good call takes. f must not be used
// again.
func (p *Pool) End(now Instant, f *Flight, answered int, good bool) {
	s, q := f.Server, f.Queue
	full := s.flights-s.overdue >= p.slots(q)
	took := 0.0
	if good {
		took = max((now - f.Began).Seconds(), 1e-9)
	}
	if full {
		p.freed = now
	}
	if good && s.Target != nil {
		p.learn(now, f, took, full)
	}
	p.forget(f)
	q.linger.completed(now, answered, took)
}

// learn takes in a call that went well.
func (p *Pool) learn(now Instant, f *Flight, took float64, full bool) {
	s, q, l := f.Server, f.Queue, &p.limit
	if f.overdue {
		return
	}
	if f.trial == 0 && l.trial == 0 && !p.aside.on && f.Began >= l.from {
		s.cost.observe(f.Items, took)
		p.cost.observe(f.Items, took)
	}
	if q.MaxFlights > 0 || p.aside.on {
		return
	}
	if l.observe(now, f, took, p.waiting+p.flying) {
		if l.level == everything {
			p.aside.begin(now)
			return
		}
		p.cost.restart()
		for _, s := range p.servers {
			s.cost.restart()
		}
	}
	l.expire(now, &p.cost)
	servers := len(p.servers)
	l.consider(now, full && (f.Callers > 1 || p.waiting > 0), p.aside.apart(&p.cost, l.level, servers, p.bound(q)), p.flights, servers)
}

// forget takes f out of everything.
func (p *Pool) forget(f *Flight) {
	s, q := f.Server, f.Queue
	s.flights--
	q.flights--
	p.flights--
	p.flying -= f.Callers
	p.flyingItems -= f.Items
	if f.overdue {
		s.overdue--
		q.overdue--
	}
	if f.older == nil {
		p.oldest = f.newer
	} else {
		f.older.newer = f.newer
	}
	if f.newer == nil {
		p.newest = f.older
	} else {
		f.newer.older = f.older
	}
	*f = Flight{newer: p.spare}
	p.spare = f
}

// Wake is when Next is to be called even if nothing happens; false: not at all.
func (p *Pool) Wake() (Instant, bool) { return p.wake, p.wake != never }

// list puts q at the end of the ring.
func (p *Pool) list(q *Queue) {
	q.listed, q.deficit, q.granted = true, 0, false
	p.largest = max(p.largest, q.MaxItems)
	p.queues++
	if p.ring == nil {
		q.previous, q.next, p.ring = q, q, q
		return
	}
	first := p.ring
	q.previous, q.next = first.previous, first
	first.previous.next = q
	first.previous = q
}

func (p *Pool) unlist(q *Queue) {
	p.queues--
	q.listed = false
	if q.next == q {
		p.ring = nil
	} else {
		q.previous.next, q.next.previous = q.next, q.previous
		if p.ring == q {
			p.ring = q.next
		}
	}
	q.previous, q.next = nil, nil
}

// turn passes the turn on.
func (p *Pool) turn() {
	p.ring.granted = false
	p.ring = p.ring.next
}
