package batch

import (
	"slices"
	"time"

	"github.com/fridaymesh/friday/proxy"
)

// slotFree says whether one more call may go out: max_in_flight for each endpoint
// that is healthy. With none, one goes out to be told so. REQUIRES: mu is held.
func (g *group) slotFree() bool {
	if g.flights < g.config.MaxInFlight {
		return true
	}
	return g.flights < g.config.MaxInFlight*g.healthy()
}

func (g *group) healthy() int {
	if g.pinned != nil || g.picker == nil {
		return 1
	}
	n := 0
	for _, ep := range g.picker.Endpoints() {
		if ep.Healthy.Load() {
			n++
		}
	}
	return n
}

// takeSlot begins a call to the healthy endpoint with the fewest of the group's
// calls in flight; among equals, to the one that does the least for others.
// REQUIRES: mu is held.
func (g *group) takeSlot(now time.Time, items int) slot {
	s := slot{group: g, items: items, start: now, endpoint: g.pinned}
	g.flights++
	if s.endpoint == nil && g.picker != nil {
		least, active := 0, int64(0)
		for _, ep := range g.picker.Endpoints() {
			if !ep.Healthy.Load() {
				continue
			}
			n, a := g.load(ep), ep.Active.Load()
			if s.endpoint == nil || n < least || n == least && a < active {
				s.endpoint, least, active = ep, n, a
			}
		}
	}
	if s.endpoint != nil {
		g.addLoad(s.endpoint, 1)
	}
	return s
}

func (g *group) load(ep *proxy.Endpoint) int {
	for i := range g.loads {
		if g.loads[i].endpoint == ep {
			return g.loads[i].flights
		}
	}
	return 0
}

// addLoad keeps loads down to the endpoints in use.
func (g *group) addLoad(ep *proxy.Endpoint, n int) {
	i := slices.IndexFunc(g.loads, func(l load) bool { return l.endpoint == ep })
	if i < 0 {
		g.loads = append(g.loads, load{ep, n})
		return
	}
	g.loads[i].flights += n
	if g.loads[i].flights == 0 {
		g.loads = slices.Delete(g.loads, i, i+1)
	}
}

// release ends the call: answered is how many items' callers got their answer,
// and took how long it took; 0 where that says nothing of a good one.
func (s *slot) release(answered int, took time.Duration) {
	g := s.group
	if took > 0 {
		g.model.learn(s.items, took)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	wasFull := !g.slotFree()
	g.flights--
	if s.endpoint != nil {
		g.addLoad(s.endpoint, -1)
	}
	g.used = now
	g.linger.completed(now, answered, g.queue.items, took, wasFull)
	g.pump(now)
}
