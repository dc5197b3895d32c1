package cache

import (
	"math"
	"time"

	"github.com/maypok86/otter/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/valyala/fasthttp"

	"github.com/fridaymesh/friday/filters/inference"
	"github.com/fridaymesh/friday/proxy/telemetry"
)

// entry is an answer that is kept: to one item, or a whole one. It is immutable.
type entry struct {
	// head is shared, with the other items of the same call at least.
	head *fasthttp.ResponseHeader
	body []byte
	// part is the body as it was read for joining; nil where it was not.
	part *inference.Part
	// headBytes is what the head counts for.
	headBytes int

	model string
	// version is what the server has told of which version of the model it was; may be
	// empty.
	version string
	stored  time.Time
	// age is how old it was then, fresh how long it may be given again.
	age, fresh time.Duration
	// took is what the server's computing it took, or its share of that.
	took time.Duration
}

// overhead is what an entry costs beside its bytes: itself, its key, and the store's
// own bookkeeping.
const overhead = 400

func (e *entry) weight() uint32 {
	part := 0
	if e.part != nil {
		part = e.part.Size()
	}
	return uint32(min(part+cap(e.body)+e.headBytes+len(e.model)+len(e.version)+overhead, math.MaxUint32)) // #nosec G115 -- bounded
}

// store keeps entries within a number of bytes. What is asked for often stays
// (W-TinyLFU). Time is not its business: an entry whose time has passed is of use where
// the server fails, and goes when room is needed.
type store struct {
	entries *otter.Cache[key, *entry]
	most    int64
	bytes   prometheus.Gauge
}

func newStore(most int64, m *telemetry.Metrics) (*store, error) {
	bytes, evictions := m.CacheBytes.WithLabelValues(), m.CacheEvictions.WithLabelValues()
	entries, err := otter.New(&otter.Options[key, *entry]{
		MaximumWeight: uint64(most), // #nosec G115 -- positive
		Weigher:       func(_ key, e *entry) uint32 { return e.weight() },
		// In the caller's goroutine, so that the bound holds when Set returns.
		Executor: func(f func()) { f() },
		OnAtomicDeletion: func(e otter.DeletionEvent[key, *entry]) {
			bytes.Sub(float64(e.Value.weight()))
			if e.WasEvicted() {
				evictions.Inc()
			}
		},
	})
	if err != nil {
		return nil, err
	}
	return &store{entries: entries, most: most, bytes: bytes}, nil
}

// get finds an entry whether or not its time has passed; nil: there is none.
func (s *store) get(k key) *entry {
	e, _ := s.entries.GetIfPresent(k)
	return e
}

// set keeps an entry, unless it alone would take a quarter of the room.
func (s *store) set(k key, e *entry) {
	if int64(e.weight()) > s.most/4 {
		return
	}
	s.bytes.Add(float64(e.weight()))
	s.entries.Set(k, e)
}

// read keeps an entry's part with it, if the entry is there still.
func (s *store) read(k key, e *entry, part *inference.Part) {
	s.entries.ComputeIfPresent(k, func(there *entry) (*entry, otter.ComputeOp) {
		if there != e {
			return there, otter.CancelOp
		}
		with := *e
		with.part = part
		s.bytes.Add(float64(with.weight()))
		return &with, otter.WriteOp
	})
}

// purge drops the entries of a model, of all models where it is empty, that were stored
// before a time, the zero time for whenever, and says how many there were.
func (s *store) purge(model string, before time.Time) int {
	n := 0
	for k, e := range s.entries.All() {
		if model != "" && e.model != model || !before.IsZero() && !e.stored.Before(before) {
			continue
		}
		if _, ok := s.entries.Invalidate(k); ok {
			n++
		}
	}
	return n
}
