package batch

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/fridaymesh/friday/filters/batch/schedule"
	"github.com/fridaymesh/friday/proxy"
)

// modelKey names what is scheduled, and learned of, together.
type modelKey struct{ cluster, protocol, operation, model, pinned string }

// model is one operation of one model at one cluster: it drives a [schedule.Pool].
type model struct {
	groups int // guarded by state.mu

	// Set once.
	state      *state
	key        modelKey
	size, wait prometheus.Observer
	gauges     func() learned
	// distrusted is until when it is not batched, in Unix nanoseconds.
	distrusted atomic.Int64
	// asideUntil and asideMost say that it stands aside, until when (an Instant; 0: it
	// does not) and up to how many callers.
	asideUntil, asideMost atomic.Int64
	limits                limits
	tokens                tokenizer

	// Guarded by mu.
	mu   sync.Mutex
	pool *schedule.Pool
	// pinned is the endpoint that somebody before has chosen, if any: an address may have
	// been let go of and come back as another.
	pinned    *proxy.Endpoint
	endpoints []*proxy.Endpoint // that the pool serves
	timer     *time.Timer
	sent      []*schedule.Entry // of pump, for reuse
	shown     learned           // nil gauges: nothing yet
	ended     uint64            // calls
}

// learned are the gauges of what is known.
type learned struct{ fixed, each, limit, aside prometheus.Gauge }

// target is an endpoint as the scheduler sees it.
type target struct{ *proxy.Endpoint }

var _ schedule.Target = target{}

// Healthy and Active are the endpoint's.
func (t target) Healthy() bool { return t.Endpoint.Healthy.Load() }
func (t target) Active() int64 { return t.Endpoint.Active.Load() }

// pin takes the endpoint that was chosen for a request, if any. REQUIRES: mu is held.
func (m *model) pin(ep *proxy.Endpoint) {
	if ep != nil && ep != m.pinned {
		m.pinned, m.endpoints = ep, nil
	}
}

// serve tells the pool which endpoints there are. REQUIRES: mu is held.
func (m *model) serve(picker proxy.Picker) {
	var now []*proxy.Endpoint
	switch {
	case m.pinned != nil:
		if m.endpoints != nil {
			return
		}
		now = []*proxy.Endpoint{m.pinned}
	case picker != nil:
		now = picker.Endpoints()
	}
	if len(now) == len(m.endpoints) && (len(now) == 0 || &now[0] == &m.endpoints[0]) {
		return
	}
	m.endpoints = now
	targets := make([]schedule.Target, len(now))
	for i, ep := range now {
		targets[i] = target{ep}
	}
	m.pool.Serve(targets)
}

// pump sends what can be sent. REQUIRES: mu is held.
func (m *model) pump(now schedule.Instant) {
	m.pool.Apart = m.unbatchable(time.Now())
	for {
		sent, flight, why := m.pool.Next(now, m.sent[:0])
		if len(sent) == 0 {
			break
		}
		m.dispatch(now, sent, flight, why)
		clear(sent)
		m.sent = sent
	}
	wake, ok := m.pool.Wake()
	switch {
	case !ok:
		if m.timer != nil {
			m.timer.Stop()
		}
	case m.timer == nil:
		m.timer = time.AfterFunc(wake-now, m.ring)
	default:
		m.timer.Reset(wake - now)
	}
}

// ring is the timer's. A late ring only asks once more.
func (m *model) ring() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.pump(m.state.now())
}

// dispatch sends a call, or refuses an entry that is late. REQUIRES: mu is held.
func (m *model) dispatch(now schedule.Instant, sent []*schedule.Entry, flight *schedule.Flight, why schedule.Reason) {
	head := sent[0].Owner.(*entry) //nolint:forcetypeassert // this package's own
	g := head.group
	for _, e := range sent {
		g.budget.give(e.Items, e.Bytes)
	}
	g.dispatches[why].Inc()
	if flight == nil {
		head.queued = now - head.Arrived
		head.place, head.out = inBatch, outcome{err: overflow("no answer within the latency objective")}
		head.ready <- struct{}{}
		return
	}
	s := slot{model: m, flight: flight}
	if t, ok := flight.Server.Target.(target); ok {
		s.endpoint = t.Endpoint
	}
	m.size.Observe(float64(flight.Items))
	m.follow()
	if len(sent) == 1 && !head.piece {
		g.grant(head, s)
		return
	}
	b := &batch{group: g, slot: s, members: make([]*entry, len(sent))}
	for i, e := range sent {
		own := e.Owner.(*entry) //nolint:forcetypeassert // this package's own
		own.queued = now - e.Arrived
		own.place, own.batch = inBatch, b
		b.members[i] = own
	}
	go b.run()
}

// follow tells others where the pool stands aside or has ceased to. REQUIRES: mu is
// held.
func (m *model) follow() {
	until, most, on := m.pool.Aside()
	if !on {
		until = 0
	}
	if int64(until) == m.asideUntil.Load() {
		return
	}
	m.asideMost.Store(int64(most))
	m.asideUntil.Store(int64(until))
	m.show()
}

// recall ends the standing aside of a model that has so many callers.
func (m *model) recall(callers int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, _, on := m.pool.Aside(); on {
		m.pool.Recall(m.state.now(), callers)
		m.follow()
	}
}

// show brings the gauges up to date. REQUIRES: mu is held.
func (m *model) show() {
	a, b, spread, level := m.pool.Learned()
	if !spread && level == 1 {
		return
	}
	if m.shown.limit == nil {
		m.shown = m.gauges()
	}
	if spread {
		m.shown.fixed.Set(a)
		m.shown.each.Set(b)
	}
	m.shown.limit.Set(float64(level))
	m.shown.aside.Set(0)
	if m.asideUntil.Load() != 0 {
		m.shown.aside.Set(1)
	}
}

// unbatchable says that nothing shares a call: what came back did not fit, or the
// server says so itself.
func (m *model) unbatchable(now time.Time) bool {
	if m.limits.apart.Load() {
		return true
	}
	until := m.distrusted.Load()
	return until != 0 && now.UnixNano() < until
}

// distrust makes the model unbatchable for a while.
func (m *model) distrust(now time.Time) { m.distrusted.Store(now.Add(distrust).UnixNano()) }

// budgetKey names what shares max_queued_items.
type budgetKey struct{ cluster, config string }

// maxQueuedBytes bounds the bodies that wait of one cluster.
const maxQueuedBytes = 256 << 20

// budget counts what waits.
type budget struct {
	groups int // guarded by state.mu

	// Set once.
	maxItems int64
	gauge    prometheus.Gauge

	items, bytes atomic.Int64
}

// take is false where the queue is full; force says that it may not be.
func (b *budget) take(items, size int, force bool) bool {
	n, s := b.items.Add(int64(items)), b.bytes.Add(int64(size))
	if !force && (n > b.maxItems || s > maxQueuedBytes) {
		b.items.Add(-int64(items))
		b.bytes.Add(-int64(size))
		return false
	}
	b.gauge.Add(float64(items))
	return true
}

func (b *budget) give(items, size int) {
	b.items.Add(-int64(items))
	b.bytes.Add(-int64(size))
	b.gauge.Sub(float64(items))
}
