package policy

import (
	"cmp"
	"slices"

	"github.com/cespare/xxhash/v2"
)

// Maglev is consistent hashing by table, after "Maglev: A Fast and Reliable Software
// Network Load Balancer" (NSDI 2016), with Envoy's hashes and order: the same endpoints
// and the same request's hash lead to the endpoint that Envoy chooses.
//
// Every endpoint goes over the table's slots in an order of its own and takes, whenever
// it is its turn, its next free one; the heavier it is the more often. So the slots are
// shared by weight nearly to the one, and a change moves little. A pick is one look.
type Maglev struct {
	table []uint32
}

var _ Policy = (*Maglev)(nil)

// MaglevSize is the usual size of the table.
const MaglevSize = 65537

// NewMaglev fills a table of size slots, which must be a prime.
func NewMaglev(endpoints []Keyed, size uint64) *Maglev {
	type turn struct {
		offset, skip, next uint64
		weight, target     float64
		key                string
		endpoint           uint32
	}
	// Weights are shares of one, as Envoy's are: what rounds off decides who is served
	// when two are due at once.
	total, heaviest := 0.0, 0.0
	for _, e := range endpoints {
		total += e.Weight
	}
	turns := make([]turn, len(endpoints))
	digest := xxhash.NewWithSeed(1)
	for i, e := range endpoints {
		heaviest = max(heaviest, e.Weight/total)
		digest.ResetWithSeed(1)
		_, _ = digest.WriteString(e.Key) // never fails
		turns[i] = turn{
			offset: xxhash.Sum64String(e.Key) % size, skip: digest.Sum64()%(size-1) + 1,
			weight: e.Weight / total, key: e.Key, endpoint: uint32(i), // #nosec G115 -- fewer than 2^32 endpoints
		}
	}
	// The table depends on who begins, so that must not depend on the configuration's
	// order.
	slices.SortStableFunc(turns, func(a, b turn) int { return cmp.Compare(a.key, b.key) })

	const free = ^uint32(0)
	m := &Maglev{table: slices.Repeat([]uint32{free}, int(size))} // #nosec G115 -- at most some millions
	left := size
	for round := 1.0; left > 0; round++ {
		for i := range turns {
			t := &turns[i]
			if left == 0 {
				break
			}
			if round*t.weight < t.target {
				continue
			}
			t.target += heaviest
			at := (t.offset + t.skip*t.next) % size
			for m.table[at] != free {
				t.next++
				at = (t.offset + t.skip*t.next) % size
			}
			m.table[at] = t.endpoint
			t.next++
			left--
		}
	}
	return m
}

// Pick returns the endpoint of hash's slot, or of another slot with each attempt.
func (m *Maglev) Pick(hash uint64, attempt int) int {
	hash ^= -uint64(attempt) // #nosec G115 -- only has to differ
	return int(m.table[hash%uint64(len(m.table))])
}
