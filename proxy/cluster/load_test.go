package cluster

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// The tables are those of Envoy's documentation on priority levels and degraded
// endpoints; 100 endpoints a priority.
func TestShares(t *testing.T) {
	t.Parallel()
	type in struct{ healthy, degraded uint64 }
	for _, c := range []struct {
		levels    []in
		threshold float64
		want      []share
	}{
		{[]in{{100, 0}, {100, 0}}, 50, []share{{100, 0, false}, {0, 0, false}}},
		{[]in{{72, 0}, {72, 0}}, 50, []share{{100, 0, false}, {0, 0, false}}},
		{[]in{{71, 0}, {71, 0}}, 50, []share{{99, 0, false}, {1, 0, false}}},
		{[]in{{50, 0}, {50, 0}}, 50, []share{{70, 0, false}, {30, 0, false}}},
		{[]in{{25, 0}, {100, 0}}, 50, []share{{35, 0, false}, {65, 0, false}}},
		{[]in{{25, 0}, {25, 0}}, 0, []share{{50, 0, false}, {50, 0, false}}},
		{[]in{{0, 0}, {100, 0}}, 50, []share{{0, 0, false}, {100, 0, false}}},
		// Three levels.
		{[]in{{25, 0}, {25, 0}, {25, 0}}, 0, []share{{35, 0, false}, {35, 0, false}, {30, 0, false}}},
		{[]in{{25, 0}, {25, 0}, {100, 0}}, 50, []share{{35, 0, false}, {35, 0, false}, {30, 0, false}}},
		// Panic.
		{[]in{{25, 0}, {25, 0}}, 50, []share{{50, 0, true}, {50, 0, true}}},
		{[]in{{0, 0}, {0, 0}}, 50, []share{{50, 0, true}, {50, 0, true}}},
		{[]in{{0, 0}, {0, 0}}, 0, []share{{100, 0, false}, {0, 0, false}}},
		{[]in{{5, 0}, {65, 0}}, 50, []share{{8, 0, true}, {92, 0, false}}},
		// Degraded.
		{[]in{{100, 0}}, 50, []share{{100, 0, false}}},
		{[]in{{50, 50}}, 50, []share{{70, 30, false}}},
		{[]in{{0, 100}, {100, 0}}, 50, []share{{0, 0, false}, {100, 0, false}}},
		{[]in{{0, 100}, {0, 100}}, 50, []share{{0, 100, false}, {0, 0, false}}},
		{nil, 50, []share{}},
	} {
		levels := make([]availability, len(c.levels))
		for i, l := range c.levels {
			levels[i] = availability{healthy: l.healthy, degraded: l.degraded, total: 100}
		}
		got := shares(levels, 140, c.threshold)
		require.Equal(t, c.want, got, "%v at %v", c.levels, c.threshold)
	}
}

func TestSharesWithoutTheExcluded(t *testing.T) {
	t.Parallel()
	require.Equal(t, []share{{healthy: 100}}, shares([]availability{{healthy: 10, excluded: 90, total: 100}}, 140, 50))
	require.Equal(t, []share{{healthy: 0}, {healthy: 100}}, shares([]availability{{}, {healthy: 1, total: 1}}, 140, 50))
}
