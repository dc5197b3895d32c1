package policy

import (
	"container/heap"
	"math/rand/v2"
	"sync"
)

// Schedule draws the endpoint whose deadline is the earliest and then sets it a
// new one, further off the lighter it is: at 1/w of virtual time, where w is what its
// weight is just then. It is Envoy's, for weights that change from draw to draw.
type Schedule struct {
	weight func(i int) float64

	mu    sync.Mutex
	queue deadlines
}

var _ Policy = (*Schedule)(nil)

// NewSchedule draws one of n by weights, which are positive.
func NewSchedule(n int, weight func(i int) float64) *Schedule {
	s := &Schedule{weight: weight, queue: make(deadlines, n)}
	for i := range n {
		// Started at random, else every sidecar of a fleet that gets this
		// configuration begins with the same endpoint.
		at := rand.Float64() / weight(i) // #nosec G404 -- spreads load, guards nothing
		s.queue[i] = deadline{at, i}
	}
	heap.Init(&s.queue)
	return s
}

// Pick draws the next.
func (s *Schedule) Pick(uint64, int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	first := &s.queue[0]
	i := first.endpoint
	first.at += 1 / s.weight(i)
	heap.Fix(&s.queue, 0)
	return i
}

type deadline struct {
	at       float64 // virtual time
	endpoint int
}

type deadlines []deadline

var _ heap.Interface = (*deadlines)(nil)

func (d deadlines) Len() int           { return len(d) }
func (d deadlines) Less(i, j int) bool { return d[i].at < d[j].at }
func (d deadlines) Swap(i, j int)      { d[i], d[j] = d[j], d[i] }
func (d *deadlines) Push(any)          { panic("the number of endpoints is fixed") }
func (d *deadlines) Pop() any          { panic("the number of endpoints is fixed") }
