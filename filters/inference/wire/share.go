package wire

import (
	"cmp"
	"math/bits"
	"slices"
)

// Share splits total by weights so that the shares sum to total exactly: each gets
// its proportion rounded down, and what is left goes, one each, to the largest
// remainders, the earlier first among equals (Hamilton's method). Without any
// weight all count the same. A negative weight or total is a bug of the caller's.
func Share(total int64, weights []int) []int64 {
	var sum uint64
	for _, w := range weights {
		sum += uint64(w) // #nosec G115 -- REQUIRES: not negative
	}
	even := sum == 0
	if even {
		sum = uint64(len(weights))
	}
	shares := make([]int64, len(weights))
	type rest struct {
		i int
		r uint64
	}
	rests := make([]rest, len(weights))
	left := total
	for i, w := range weights {
		if even {
			w = 1
		}
		// 128 bits between: the product may pass 64. w ≤ sum, so the quotient fits.
		hi, lo := bits.Mul64(uint64(total), uint64(w)) // #nosec G115 -- REQUIRES: not negative
		q, r := bits.Div64(hi, lo, sum)
		shares[i] = int64(q) // #nosec G115 -- q ≤ total
		rests[i] = rest{i, r}
		left -= shares[i]
	}
	slices.SortStableFunc(rests, func(a, b rest) int { return cmp.Compare(b.r, a.r) })
	for _, r := range rests[:left] {
		shares[r.i]++
	}
	return shares
}
