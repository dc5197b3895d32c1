package policy

import (
	"math"
	"math/rand/v2"

	"github.com/fridaymesh/friday/proxy"
)

// Bounded keeps a consistent policy from overloading an endpoint: where one would have
// more requests in flight than so many percent of its share, the request goes to
// another, always in the same order for the same hash
// (https://arxiv.org/abs/1908.08762).
type Bounded struct {
	inner     Policy
	endpoints []*proxy.Endpoint
	shares    []float64 // of all, summing to 1
	percent   float64
	active    func() int64
}

var _ Policy = (*Bounded)(nil)

// NewBounded bounds inner's endpoints to percent of their shares, by weight, of the
// requests that active says are in flight.
func NewBounded(inner Policy, endpoints []*proxy.Endpoint, weights []Keyed, percent uint32, active func() int64) *Bounded {
	b := &Bounded{inner: inner, endpoints: endpoints, shares: make([]float64, len(weights)), percent: float64(percent), active: active}
	total := 0.0
	for _, w := range weights {
		total += w.Weight
	}
	for i, w := range weights {
		b.shares[i] = w.Weight / total
	}
	return b
}

// Pick returns inner's choice, or the first in a random walk that has room, else the
// least loaded.
func (b *Bounded) Pick(hash uint64, attempt int) int {
	i := b.inner.Pick(hash, attempt)
	slots := math.Ceil(float64(b.active()+1) * b.percent / 100)
	least := b.load(i, slots)
	if least <= 1 {
		return i
	}
	n := uint64(len(b.endpoints))
	// A walk over all by a step that has no divisor in common with their number: an
	// order of the hash's own without memory for it.
	walk := rand.NewPCG(hash, n)
	at, step := walk.Uint64()%n, walk.Uint64()%n
	for divisor(step, n) != 1 {
		step = (step + 1) % n
	}
	for range n {
		if l := b.load(int(at), slots); l < least { // #nosec G115 -- below the number of endpoints
			i, least = int(at), l // #nosec G115 -- as above
			if l <= 1 {
				break
			}
		}
		at = (at + step) % n
	}
	return i
}

// load is how much of its slots an endpoint would use with one more request.
func (b *Bounded) load(i int, slots float64) float64 {
	return float64(b.endpoints[i].Active.Load()+1) / max(1, math.Ceil(slots*b.shares[i]))
}

func divisor(a, b uint64) uint64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}
