package policy

import (
	"math"
	"math/rand/v2"

	"github.com/fridaymesh/friday/proxy"
)

// LeastRequest compares some endpoints at random and takes the least busy one. It is
// for equal weights; [Schedule] serves others, both as in Envoy
// (https://www.envoyproxy.io/docs/envoy/latest/intro/arch_overview/upstream/load_balancing/load_balancers#weighted-least-request).
type LeastRequest struct {
	endpoints []*proxy.Endpoint
	choices   int // 0: all of them
}

var _ Policy = (*LeastRequest)(nil)

// NewLeastRequest compares so many of endpoints, or all where choices is 0.
func NewLeastRequest(endpoints []*proxy.Endpoint, choices uint32) *LeastRequest {
	return &LeastRequest{endpoints, int(min(choices, math.MaxInt32))}
}

// Pick draws one.
func (l *LeastRequest) Pick(uint64, int) int {
	n := len(l.endpoints)
	best := rand.IntN(n) // #nosec G404 -- spreads load, guards nothing
	least := l.endpoints[best].Active.Load()
	if l.choices == 0 { // from a place of chance on, so that equals take turns
		for k := range n - 1 {
			best, least = l.lesser(best, least, (best+k+1)%n)
		}
		return best
	}
	for range l.choices - 1 {
		best, least = l.lesser(best, least, rand.IntN(n)) // #nosec G404 -- as above
	}
	return best
}

func (l *LeastRequest) lesser(best int, least int64, i int) (int, int64) {
	if a := l.endpoints[i].Active.Load(); a < least {
		return i, a
	}
	return best, least
}

// Busy makes a [Schedule]'s weights of weights and of how busy the endpoints are: each
// is divided by (requests in flight + 1) to the power of bias.
func Busy(endpoints []*proxy.Endpoint, weight func(i int) float64, bias float64) func(i int) float64 {
	if bias == 0 {
		return weight
	}
	return func(i int) float64 {
		active := float64(endpoints[i].Active.Load() + 1)
		if bias != 1 { // the usual case is worth the shortcut
			active = math.Pow(active, bias)
		}
		return weight(i) / active
	}
}
