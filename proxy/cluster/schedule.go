package cluster

import (
	"container/heap"
	"math/rand/v2"
	"sync"

	"github.com/fridaymesh/friday/proxy"
)

// schedule draws the endpoint whose deadline is the earliest and then sets it a
// new one, further off the lighter it is and the busier: at 1/w of virtual time,
// w = weight / (requests in flight + 1), as Envoy with its default bias of 1.
type schedule struct {
	endpoints []*proxy.Endpoint
	weights   []uint32

	mu    sync.Mutex
	queue deadlines
}

func newSchedule(endpoints []*proxy.Endpoint, weights []uint32) *schedule {
	s := &schedule{endpoints: endpoints, weights: weights}
	for i := range endpoints {
		// Started at random, else every sidecar of a fleet that gets this
		// configuration begins with the same endpoint.
		at := rand.Float64() / float64(weights[i]) // #nosec G404 -- spreads load, guards nothing
		s.queue = append(s.queue, deadline{at, i})
	}
	heap.Init(&s.queue)
	return s
}

func (s *schedule) draw() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	first := &s.queue[0]
	i := first.endpoint
	first.at += float64(s.endpoints[i].Active.Load()+1) / float64(s.weights[i])
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
