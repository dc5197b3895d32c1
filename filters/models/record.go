package models

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fridaymesh/friday/proxy"
)

const (
	// maxRecord is the longest body that is kept.
	maxRecord = 64 << 10
	// recordEvery is the least time between two requests that are kept.
	recordEvery = time.Second
)

// records are real requests that are sent again to warm a model up: the latest, in the
// order in which they came.
type records struct {
	wanted atomic.Bool

	mu   sync.Mutex
	most int
	last time.Time
	all  []Warmup
}

// bound says how many are kept.
func (r *records) bound(most int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.most = most
	r.all = r.all[max(0, len(r.all)-most):]
	r.wanted.Store(most > 0)
}

// kept are those that there are.
func (r *records) kept() []Warmup {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.all)
}

// record keeps the request, which was answered, where it is time to.
func (c *call) record() {
	whole, ok := c.req.Body.(*proxy.BytesBody)
	if !ok || whole.Len() > maxRecord || c.ask.grpc || c.ask.version != "" {
		return
	}
	r := &c.model.records
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.all) >= r.most && time.Since(r.last) < recordEvery {
		return
	}
	r.last = time.Now()
	w := Warmup{Path: c.target, Body: string(whole.Bytes()), ContentType: string(c.req.Header.ContentType()), Times: 1}
	r.all = append(r.all[max(0, len(r.all)+1-r.most):], w)
}
