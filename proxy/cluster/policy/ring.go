package policy

import (
	"cmp"
	"math"
	"slices"
	"strconv"

	"github.com/cespare/xxhash/v2"
)

// Ring is consistent hashing after Ketama, with Envoy's hashes: the same endpoints and
// the same request's hash lead to the endpoint that Envoy chooses.
//
// Every endpoint has points on a ring of 64 bits, as many as its weight's share of the
// ring's size. A request goes to the first point at or after its hash. An endpoint that
// comes or goes moves the requests of its own points only.
type Ring struct{ points []point }

type point struct {
	hash     uint64
	endpoint int
}

var _ Policy = (*Ring)(nil)

// Keyed is an endpoint to be hashed.
type Keyed struct {
	Key    string
	Weight float64 // positive; only the proportions count
}

// NewRing makes a ring of at least least points, if that does not take more than most.
func NewRing(endpoints []Keyed, least, most uint64, murmur bool) *Ring {
	total, lightest := 0.0, math.Inf(1)
	for _, e := range endpoints {
		total += e.Weight
		lightest = min(lightest, e.Weight)
	}
	lightest /= total
	// Envoy's way: the lightest gets a whole number of points.
	scale := min(math.Ceil(lightest*float64(least))/lightest, float64(most))
	r := &Ring{points: make([]point, 0, uint64(math.Ceil(scale)))}
	current, target := 0.0, 0.0
	var key []byte
	for i, e := range endpoints {
		key = append(append(key[:0], e.Key...), '_')
		n := len(key)
		target += scale * e.Weight / total
		for k := 0; current < target; k++ {
			key = strconv.AppendInt(key[:n], int64(k), 10)
			hash := uint64(0)
			if murmur {
				hash = murmur2(key)
			} else {
				hash = xxhash.Sum64(key)
			}
			r.points = append(r.points, point{hash, i})
			current++
		}
	}
	slices.SortFunc(r.points, func(a, b point) int { return cmp.Compare(a.hash, b.hash) })
	return r
}

// Pick returns the endpoint of the first point at or after hash, or so many points
// further on.
func (r *Ring) Pick(hash uint64, attempt int) int {
	low, high := 0, len(r.points)
	for low < high {
		mid := int(uint(low+high) >> 1) // #nosec G115 -- both are lengths
		if r.points[mid].hash < hash {
			low = mid + 1
		} else {
			high = mid
		}
	}
	return r.points[(low+attempt)%len(r.points)].endpoint
}
