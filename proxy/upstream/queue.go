package upstream

import (
	"slices"
	"sync"
	"sync/atomic"
)

// queue are the requests that wait for a connection because the limits allow no other,
// first come first served.
type queue struct {
	waiting atomic.Int32 // len(all): nobody waits, mostly, and then there is no lock to take

	mu  sync.Mutex
	all []*waiter
}

// waiter is one of them. ready gets a connection, or nil: try again.
type waiter struct{ ready chan *conn }

// enter adds w at the end, or in front where it has waited before.
func (q *queue) enter(w *waiter, last bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if last {
		q.all = append(q.all, w)
	} else {
		q.all = slices.Insert(q.all, 0, w)
	}
	q.waiting.Store(int32(len(q.all))) // #nosec G115 -- requests in flight
}

// leave takes w out; false where it was handed something.
func (q *queue) leave(w *waiter) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	i := slices.Index(q.all, w)
	if i < 0 {
		return false
	}
	q.all = slices.Delete(q.all, i, i+1)
	q.waiting.Store(int32(len(q.all))) // #nosec G115 -- requests in flight
	return true
}

// hand gives c, or the word to try again, to the first; false where nobody waits.
func (q *queue) hand(c *conn) bool {
	if q.waiting.Load() == 0 {
		return false
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.all) == 0 {
		return false
	}
	w := q.all[0]
	q.all[0] = nil
	q.all = q.all[1:]
	q.waiting.Store(int32(len(q.all))) // #nosec G115 -- requests in flight
	w.ready <- c
	return true
}
