package batch

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// modelKey names what is learned of together.
type modelKey struct{ cluster, protocol, operation, model string }

// model is what is known of one operation of one model.
type model struct {
	groups int // guarded by state.mu

	// Set once.
	size, wait  prometheus.Observer
	fixed, each func() prometheus.Gauge

	cost cost
	// distrusted is until when it is not batched, in Unix nanoseconds.
	distrusted atomic.Int64
}

func (m *model) unbatchable(now time.Time) bool {
	until := m.distrusted.Load()
	return until != 0 && now.UnixNano() < until
}

// distrust makes the model unbatchable for a while.
func (m *model) distrust(now time.Time) { m.distrusted.Store(now.Add(distrust).UnixNano()) }

// learn takes in the service time of a call that went well.
func (m *model) learn(items int, took time.Duration) {
	if a, b, ok := m.cost.observe(items, took.Seconds()); ok {
		m.fixed().Set(a)
		m.each().Set(b)
	}
}

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
