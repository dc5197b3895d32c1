package simulate

import (
	"math/rand/v2"
	"time"

	"github.com/fridaymesh/friday/filters/batch/schedule"
)

// Server says what a model server costs.
type Server struct {
	// Fixed and PerItem are the time of a call: Fixed + PerItem × items.
	Fixed, PerItem time.Duration
	// Units is how many calls it runs at once; the rest wait in order of arrival.
	Units int
	// Noise is by how much the time of a call varies, as a share of it.
	Noise float64
}

// Time is what a call of n items takes, without noise.
func (s Server) Time(n int) time.Duration { return s.Fixed + time.Duration(n)*s.PerItem }

// Capacity is the most items that it works off in a second, in calls of up to most.
func (s Server) Capacity(most int) float64 {
	best := 0.0
	for n := 1; n <= most; n++ {
		best = max(best, float64(s.Units*n)/s.Time(n).Seconds())
	}
	return best
}

// machine is a Server at work.
type machine struct {
	Server

	clock  *clock
	random *rand.Rand
	free   []time.Duration // for each unit
	active int64
}

var _ schedule.Target = (*machine)(nil)

func newMachine(s Server, c *clock, r *rand.Rand) *machine {
	return &machine{Server: s, clock: c, random: r, free: make([]time.Duration, s.Units)}
}

// Healthy is always true.
func (m *machine) Healthy() bool { return true }

// Active is how many calls it has.
func (m *machine) Active() int64 { return m.active }

// call has done called when a call of n items is over.
func (m *machine) call(n int, done func()) {
	unit := 0
	for i, free := range m.free {
		if free < m.free[unit] {
			unit = i
		}
	}
	took := m.Time(n)
	if m.Noise > 0 {
		took += time.Duration(float64(took) * m.Noise * m.random.NormFloat64())
		took = max(took, m.Time(n)/2)
	}
	m.free[unit] = max(m.free[unit], m.clock.now) + took
	m.active++
	m.clock.at(m.free[unit], func() {
		m.active--
		done()
	})
}
