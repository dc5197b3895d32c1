package policy

import (
	"math"
	"time"
)

// SlowStart is how an endpoint's weight grows while it is new, as in Envoy
// (https://www.envoyproxy.io/docs/envoy/latest/intro/arch_overview/upstream/load_balancing/slow_start).
type SlowStart struct {
	Window     time.Duration
	Aggression float64 // 1: in a line
	Min        float64 // share from the start, 0 to 1
}

// Share is what an endpoint of that age gets of its weight: 0 to 1, never 0.
func (s *SlowStart) Share(age time.Duration) float64 {
	if age >= s.Window {
		return 1
	}
	grown := max(age.Seconds(), 1e-3) / s.Window.Seconds()
	if s.Aggression != 1 {
		grown = math.Pow(grown, 1/s.Aggression)
	}
	return max(grown, s.Min, 1e-6)
}
