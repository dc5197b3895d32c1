package load

import (
	"math/bits"
	"time"
)

// A Histogram counts times in buckets whose width is 1/128 of their value, so
// what it tells is right to 0.8% from nanoseconds to hours. The zero value is
// empty. Not safe for concurrent use: give each caller its own and Merge.
type Histogram struct {
	counts   []uint64
	n        uint64
	min, max time.Duration
	sum      float64
}

// subBits is how many bits of a value its bucket keeps.
const subBits = 7

// bucket is where v is counted: below 2^subBits each value has a bucket of its
// own, above it each power of two is cut into 2^subBits.
func bucket(v uint64) int {
	shift := max(0, bits.Len64(v)-subBits-1)
	return shift<<subBits + int(v>>shift) // #nosec G115 -- at most 2^(subBits+1)
}

// middle is the middle of a bucket.
func middle(i int) uint64 {
	shift := max(0, i>>subBits-1)
	low := uint64(i-shift<<subBits) << shift // #nosec G115 -- not negative
	return low + (uint64(1)<<shift)/2
}

// Add counts d; a negative one, which only a clock that went back can make, as 0.
func (h *Histogram) Add(d time.Duration) {
	d = max(0, d)
	i := bucket(uint64(d)) // #nosec G115 -- not negative
	if i >= len(h.counts) {
		h.counts = append(h.counts, make([]uint64, i+1-len(h.counts))...)
	}
	h.counts[i]++
	if h.n == 0 || d < h.min {
		h.min = d
	}
	h.n++
	h.max = max(h.max, d)
	h.sum += float64(d)
}

// Merge counts all that other has counted.
func (h *Histogram) Merge(other *Histogram) {
	if other.n == 0 {
		return
	}
	if len(other.counts) > len(h.counts) {
		h.counts = append(h.counts, make([]uint64, len(other.counts)-len(h.counts))...)
	}
	for i, n := range other.counts {
		h.counts[i] += n
	}
	if h.n == 0 || other.min < h.min {
		h.min = other.min
	}
	h.n += other.n
	h.max = max(h.max, other.max)
	h.sum += other.sum
}

// Count is how many times were added.
func (h *Histogram) Count() uint64 { return h.n }

// Max is the longest, exactly; 0 where there is none.
func (h *Histogram) Max() time.Duration { return h.max }

// Mean is the average; 0 where there is none.
func (h *Histogram) Mean() time.Duration {
	if h.n == 0 {
		return 0
	}
	return time.Duration(h.sum / float64(h.n))
}

// Quantile is the time within which the fraction q of all were (nearest rank); 0
// where there is none.
func (h *Histogram) Quantile(q float64) time.Duration {
	if h.n == 0 {
		return 0
	}
	rank := uint64(max(0, min(1, q)) * float64(h.n-1))
	for i, n := range h.counts {
		if rank < n {
			return min(h.max, max(h.min, time.Duration(middle(i)))) // #nosec G115 -- was a duration
		}
		rank -= n
	}
	return h.max
}
