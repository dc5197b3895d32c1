package policy

import "slices"

// A Policy draws one of the endpoints that it was made of, by its index. Pick is safe
// for concurrent use, does not block and does not allocate.
type Policy interface {
	// Pick draws for hash, which counts where the policy is consistent. Attempt is 0 at
	// first and grows with each draw for the same request that was not to be had.
	Pick(hash uint64, attempt int) int
}

// Only is the policy of a single endpoint.
type Only struct{}

var _ Policy = Only{}

// Pick returns 0.
func (Only) Pick(uint64, int) int { return 0 }

func equal(weights []uint32) bool {
	return !slices.ContainsFunc(weights, func(w uint32) bool { return w != weights[0] })
}
