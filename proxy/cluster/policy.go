package cluster

import (
	"math/rand/v2"
	"slices"
	"sync/atomic"

	"github.com/fridaymesh/friday/proxy"
)

// roundRobin draws in turn, by weight, without a lock and evenly spread.
//
// It is a static stride schedule: turn t offers endpoint i = t mod n in round
// r = t div n, and the endpoint takes its offer in w of every m rounds, where m is
// the greatest weight: just where w·r passes a multiple of m. So in m rounds i is
// drawn w times exactly (the multiples of w modulo m are evenly spaced, and a
// window of length w holds their share of them), and equal weights make it a
// plain round robin. A table of the sum of the weights would do the same in one
// step, and cost gigabytes for weights like a billion and one. gRPC's weighted
// round robin does it so (proposal A58).
func roundRobin(weights []uint32, turn *atomic.Uint64) func() int {
	n := uint64(len(weights))
	greatest := uint64(slices.Max(weights))
	return func() int {
		for {
			t := turn.Add(1) - 1
			i := t % n
			w := uint64(weights[i])
			// Each starts at a place of its own, lest all the light ones take the same
			// round. Both factors fit in 32 bits.
			at := (w*(t/n%greatest) + i*(greatest/2)%greatest) % greatest
			if at+w >= greatest {
				return int(i) // #nosec G115 -- below n
			}
		}
	}
}

// random draws by weight.
func random(weights []uint32) func() int {
	if equal(weights) {
		return func() int { return rand.IntN(len(weights)) } // #nosec G404 -- spreads load, guards nothing
	}
	sums := make([]uint64, len(weights))
	total := uint64(0)
	for i, w := range weights {
		total += uint64(w)
		sums[i] = total
	}
	return func() int {
		at := rand.Uint64N(total) // #nosec G404 -- spreads load, guards nothing
		i, found := slices.BinarySearch(sums, at)
		if found {
			i++ // sums are the ends of half-open ranges
		}
		return i
	}
}

// leastRequest compares two at random and takes the less busy one; with unequal
// weights it is a schedule whose weights shrink with the requests in flight.
// Both are Envoy's
// (https://www.envoyproxy.io/docs/envoy/latest/intro/arch_overview/upstream/load_balancing/load_balancers#weighted-least-request).
func leastRequest(endpoints []*proxy.Endpoint, weights []uint32) func() int {
	if !equal(weights) {
		return newSchedule(endpoints, weights).draw
	}
	return func() int {
		a, b := rand.IntN(len(endpoints)), rand.IntN(len(endpoints)) // #nosec G404 -- spreads load, guards nothing
		if endpoints[b].Active.Load() < endpoints[a].Active.Load() {
			return b
		}
		return a
	}
}

func equal(weights []uint32) bool {
	return !slices.ContainsFunc(weights, func(w uint32) bool { return w != weights[0] })
}
