package policy

import (
	"math/rand/v2"
	"slices"
)

// Random draws by weight.
type Random struct {
	n    int
	sums []uint64 // nil where the weights are equal
}

var _ Policy = (*Random)(nil)

// NewRandom draws by weights, which are positive.
func NewRandom(weights []uint32) *Random {
	r := &Random{n: len(weights)}
	if equal(weights) {
		return r
	}
	r.sums = make([]uint64, len(weights))
	total := uint64(0)
	for i, w := range weights {
		total += uint64(w)
		r.sums[i] = total
	}
	return r
}

// Pick draws one.
func (r *Random) Pick(uint64, int) int {
	if r.sums == nil {
		return rand.IntN(r.n) // #nosec G404 -- spreads load, guards nothing
	}
	at := rand.Uint64N(r.sums[r.n-1]) // #nosec G404 -- spreads load, guards nothing
	i, found := slices.BinarySearch(r.sums, at)
	if found {
		i++ // sums are the ends of half-open ranges
	}
	return i
}
