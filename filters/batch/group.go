package batch

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/valyala/fasthttp"

	"github.com/fridaymesh/friday/proxy"
)

// maxBatchBytes is where a merged body stops growing; a single request may be
// larger.
const maxBatchBytes = 16 << 20

// group is the requests that may share a call: their queue, and the slots of
// calls in flight. Each group has its own, so that a hung one blocks no other.
type group struct {
	// Set once.
	state      *state
	config     *Config
	key        groupKey
	model      *model
	modelKey   modelKey
	budget     *budget
	budgetKey  budgetKey
	dispatches [whys]prometheus.Counter
	// pinned is the endpoint that somebody before had chosen, if any.
	pinned *proxy.Endpoint

	// Guarded by mu.
	mu      sync.Mutex
	dropped bool
	used    time.Time
	queue   queue
	picker  proxy.Picker
	flights int
	loads   []load
	linger  linger
	timer   *time.Timer
}

// load is how many of the group's calls are in flight to one endpoint.
type load struct {
	endpoint *proxy.Endpoint
	flights  int
}

// slot is the right to one call. Whoever has it releases it once.
type slot struct {
	group    *group
	endpoint *proxy.Endpoint // nil: none to be had, the cluster will say so
	items    int
	start    time.Time
}

// enter puts e at the end of the queue and sends what can be sent. It is refused
// where the queue is full.
func (g *group) enter(e *entry, force bool) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.dropped {
		return errDropped
	}
	g.used = e.arrived
	g.picker = e.picker
	busy := g.queue.entries > 0 || !g.slotFree()
	if !g.budget.take(e.call.Items, len(e.call.Body), force || !busy) {
		return &proxy.Error{
			Status: fasthttp.StatusServiceUnavailable, Flag: proxy.FlagOverflow,
			Message: "batch queue is full", RetryAfter: time.Second,
		}
	}
	e.place = inQueue
	g.queue.pushBack(e)
	g.pump(e.arrived)
	return nil
}

// leave takes out e, whose caller has gone, wherever it is.
func (g *group) leave(ctx context.Context, e *entry) {
	for {
		g.mu.Lock()
		b := e.batch
		if b == nil {
			g.leaveGroup(e) // unlocks
			return
		}
		g.mu.Unlock()
		if b.leave(ctx, e) {
			return
		}
	}
}

// leaveGroup is leave for an entry that is in no batch. REQUIRES: mu is held; it
// is released.
func (g *group) leaveGroup(e *entry) {
	place := e.place
	e.place = outside
	if place == inQueue {
		g.unqueue(e)
		if g.queue.entries == 0 {
			g.disarm()
		}
	}
	g.mu.Unlock()
	if place == granted {
		e.slot.release(0, 0)
	}
}

// pump sends what can be sent. REQUIRES: mu is held.
func (g *group) pump(now time.Time) {
	for g.queue.entries > 0 && g.slotFree() {
		head := g.queue.head
		if !head.solo && g.model.unbatchable(now) {
			head.solo, head.why = true, whyUnbatchable
			g.queue.solos++
		}
		if head.solo {
			g.dispatch(now, head.why)
			continue
		}
		full := g.queue.items >= g.config.MaxBatchSize || g.queue.bytes >= maxBatchBytes || g.queue.solos > 0
		wait, why := g.linger.decide(now, g.queue.items, full, head.arrived)
		if wait > 0 {
			g.arm(wait)
			return
		}
		g.dispatch(now, why)
	}
	g.disarm()
}

func (g *group) arm(wait time.Duration) {
	if g.timer == nil {
		g.timer = time.AfterFunc(wait, g.ring)
		return
	}
	g.timer.Reset(wait)
}

func (g *group) disarm() {
	g.linger.waiting = false
	if g.timer != nil {
		g.timer.Stop()
	}
}

// ring is the timer's. A late ring only asks once more.
func (g *group) ring() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.pump(time.Now())
}

// dispatch sends the longest prefix of the queue that fits. REQUIRES: mu is held,
// the queue is not empty, a slot is free.
func (g *group) dispatch(now time.Time, reason why) {
	head := g.queue.head
	g.unqueue(head)
	items := head.call.Items
	var members []*entry
	if !head.solo {
		size := len(head.call.Body)
		for e := g.queue.head; e != nil && !e.solo; e = g.queue.head {
			items += e.call.Items
			size += len(e.call.Body)
			if items > g.config.MaxBatchSize || size > maxBatchBytes {
				items -= e.call.Items
				break
			}
			if members == nil {
				members = make([]*entry, 1, min(g.queue.entries+1, g.config.MaxBatchSize))
				members[0] = head
			}
			g.unqueue(e)
			members = append(members, e)
		}
	}
	s := g.takeSlot(now, items)
	g.dispatches[reason].Inc()
	g.model.size.Observe(float64(items))
	if members == nil && !head.piece {
		g.grant(head, s)
		return
	}
	if members == nil {
		members = []*entry{head}
	}
	b := &batch{group: g, slot: s, members: members}
	for _, e := range members {
		e.queued = now.Sub(e.arrived)
		e.place, e.batch = inBatch, b
	}
	go b.run()
}

// grant lets e's caller send it alone. REQUIRES: mu is held.
func (g *group) grant(e *entry, s slot) {
	e.queued = s.start.Sub(e.arrived)
	e.place, e.slot = granted, s
	e.ready <- struct{}{}
}

func (g *group) unqueue(e *entry) {
	g.queue.remove(e)
	g.budget.give(e.call.Items, len(e.call.Body))
}

// requeue puts entries of a batch back at the front, in their order, to go alone.
// REQUIRES: the batch's lock is held.
func (g *group) requeue(members []*entry) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, e := range slices.Backward(members) {
		e.place, e.batch = inQueue, nil
		e.solo, e.why = true, whyAlone
		g.budget.take(e.call.Items, len(e.call.Body), true)
		g.queue.pushFront(e)
	}
	g.pump(time.Now())
}

// retire marks the group as dropped, if it is idle and was last used before.
func (g *group) retire(before time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.dropped = g.queue.entries == 0 && g.flights == 0 && g.used.Before(before)
	return g.dropped
}
