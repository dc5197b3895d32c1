package batch

import (
	"context"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/valyala/fasthttp"

	"github.com/fridaymesh/friday/filters/batch/schedule"
	"github.com/fridaymesh/friday/proxy"
)

// maxBatchBytes is where a merged body stops growing; a single request may be
// larger.
const maxBatchBytes = 16 << 20

// maxMessageBytes is maxBatchBytes for gRPC: servers take 4 MiB if nobody says
// otherwise (https://pkg.go.dev/google.golang.org/grpc#MaxRecvMsgSize, and so those of
// C++, Python and Java). A little is left for what a merged message has more than its
// parts.
const maxMessageBytes = 4<<20 - 64<<10

// group is the requests that may share a call. When they are sent is its model's to
// decide, over all of its groups.
type group struct {
	// Set once.
	state      *state
	config     *Config
	key        groupKey
	model      *model
	budget     *budget
	budgetKey  budgetKey
	dispatches [schedule.Reasons]prometheus.Counter

	// Guarded by model.mu.
	queue   *schedule.Queue
	dropped bool
	used    schedule.Instant
}

// enter puts e at the end of the queue and sends what can be sent. It is refused
// where the queue is full.
func (g *group) enter(e *entry, force bool) error {
	m := g.model
	m.mu.Lock()
	defer m.mu.Unlock()
	if g.dropped {
		return errDropped
	}
	now := g.state.now()
	g.used = now
	m.pin(e.req.Endpoint)
	m.serve(e.picker)
	e.Items, e.Bytes, e.Owner, e.group = e.call.Items, len(e.call.Body), e, g
	if !g.budget.take(e.Items, e.Bytes, force || m.pool.Free(g.queue)) {
		return overflow("batch queue is full")
	}
	e.place = inQueue
	m.pool.Enter(now, g.queue, &e.Entry)
	m.pump(now)
	return nil
}

// overflow is what a caller gets for whom there is no place.
func overflow(message string) *proxy.Error {
	return &proxy.Error{
		Status: fasthttp.StatusServiceUnavailable, Flag: proxy.FlagOverflow,
		Message: message, RetryAfter: time.Second,
	}
}

// leave takes out e, whose caller has gone, wherever it is.
func (g *group) leave(ctx context.Context, e *entry) {
	for {
		g.model.mu.Lock()
		b := e.batch
		if b == nil {
			g.leaveGroup(e) // unlocks
			return
		}
		g.model.mu.Unlock()
		if b.leave(ctx, e) {
			return
		}
	}
}

// leaveGroup is leave for an entry that is in no batch. REQUIRES: model.mu is held;
// it is released.
func (g *group) leaveGroup(e *entry) {
	place := e.place
	e.place = outside
	if place == inQueue {
		g.budget.give(e.Items, e.Bytes)
		g.model.pool.Leave(&e.Entry)
		g.model.pump(g.state.now())
	}
	g.model.mu.Unlock()
	if place == granted {
		e.slot.release(0, false)
	}
}

// grant lets e's caller send it alone. REQUIRES: model.mu is held.
func (g *group) grant(e *entry, s slot) {
	e.queued = s.flight.Began - e.Arrived
	e.place, e.slot = granted, s
	e.ready <- struct{}{}
}

// requeue puts entries of a batch back at the front, in their order, to go alone.
// REQUIRES: the batch's lock is held.
func (g *group) requeue(members []*entry) {
	g.model.mu.Lock()
	defer g.model.mu.Unlock()
	for _, e := range slices.Backward(members) {
		e.place, e.batch = inQueue, nil
		e.Solo, e.Why = true, schedule.Alone
		g.budget.take(e.Items, e.Bytes, true)
		g.model.pool.Return(&e.Entry)
	}
	g.model.pump(g.state.now())
}

// retire marks the group as dropped, if it is idle and was last used before.
func (g *group) retire(before schedule.Instant) bool {
	g.model.mu.Lock()
	defer g.model.mu.Unlock()
	g.dropped = g.queue.Idle() && g.used < before
	return g.dropped
}
