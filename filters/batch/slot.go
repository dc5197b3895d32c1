package batch

import (
	"github.com/fridaymesh/friday/filters/batch/schedule"
	"github.com/fridaymesh/friday/proxy"
)

// slot is the right to one call. Whoever has it releases it once.
type slot struct {
	model    *model
	flight   *schedule.Flight
	endpoint *proxy.Endpoint // nil: none to be had, the cluster will say so
}

// resize says that the call holds less than was sent for: callers have left.
func (s *slot) resize(callers, items int) {
	s.model.mu.Lock()
	defer s.model.mu.Unlock()
	s.model.pool.Resize(s.flight, callers, items)
}

// release ends the call: answered is how many callers got their answer, and good
// says that the time it took is that of a good one.
func (s *slot) release(answered int, good bool) {
	m := s.model
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.state.now()
	group := s.flight.Queue.Owner.(*group) //nolint:forcetypeassert // this package's own
	group.used = now
	m.pool.End(now, s.flight, answered, good)
	s.flight = nil
	m.pump(now)
	m.ended++
	if m.ended%showEvery == 0 {
		m.show()
	}
}

// showEvery is after how many calls the gauges are brought up to date.
const showEvery = 16
