package policy

import (
	"slices"
	"sync/atomic"
)

// RoundRobin draws in turn, by weight, without a lock and evenly spread.
//
// It is a static stride schedule: turn t offers endpoint i = t mod n in round
// r = t div n, and the endpoint takes its offer in w of every m rounds, where m is
// the greatest weight: just where w·r passes a multiple of m. So in m rounds i is
// drawn w times exactly (the multiples of w modulo m are evenly spaced, and a
// window of length w holds their share of them), and equal weights make it a
// plain round robin. A table of the sum of the weights would do the same in one
// step, and cost gigabytes for weights like a billion and one. gRPC's weighted
// round robin does it so (proposal A58).
type RoundRobin struct {
	weights  []uint32
	greatest uint64
	turn     *atomic.Uint64
}

var _ Policy = (*RoundRobin)(nil)

// NewRoundRobin draws by weights, which are positive, from turn on.
func NewRoundRobin(weights []uint32, turn *atomic.Uint64) *RoundRobin {
	return &RoundRobin{weights, uint64(slices.Max(weights)), turn}
}

// Pick draws the next.
func (r *RoundRobin) Pick(uint64, int) int {
	n := uint64(len(r.weights))
	for {
		t := r.turn.Add(1) - 1
		i := t % n
		w := uint64(r.weights[i])
		// Each starts at a place of its own, lest all the light ones take the same
		// round. Both factors fit in 32 bits.
		at := (w*(t/n%r.greatest) + i*(r.greatest/2)%r.greatest) % r.greatest
		if at+w >= r.greatest {
			return int(i) // #nosec G115 -- below n
		}
	}
}
