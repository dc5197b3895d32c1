package schedule

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCostFits(t *testing.T) {
	for _, test := range []struct {
		name  string
		sizes []int
		a, b  float64
		noise float64
		at    float64 // where the fit has to hold
		delta float64
	}{
		{name: "spread", sizes: []int{1, 8, 3, 16, 32, 5}, a: 0.010, b: 0.0005, at: 20, delta: 1e-9},
		{name: "free items", sizes: []int{1, 8, 3}, a: 0.010, at: 32, delta: 1e-9},
		{name: "no fixed part", sizes: []int{1, 8, 3, 20}, b: 0.005, at: 32, delta: 1e-4},
		{name: "noise", sizes: []int{1, 8, 3, 16, 32, 5}, a: 0.010, b: 0.0005, noise: 0.2, at: 16, delta: 0.003},
		{name: "one size", sizes: []int{8}, a: 0.010, b: 0.0005, at: 8, delta: 1e-9},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(1, 1)) // #nosec G404 -- repeatable on purpose
			var c cost
			require.False(t, c.known())
			for i := range 200 {
				n := test.sizes[i%len(test.sizes)]
				took := (test.a + test.b*float64(n)) * (1 + test.noise*(r.Float64()-0.5))
				c.observe(n, took)
				require.GreaterOrEqual(t, c.a, 0.0)
				require.GreaterOrEqual(t, c.b, 0.0)
			}
			require.True(t, c.known())
			require.Equal(t, len(test.sizes) > 1, c.spread)
			require.InDelta(t, test.a+test.b*test.at, c.of(test.at), test.delta)
		})
	}
}

// TestCostKeepsItsSlope while calls are of one size, and follows the scale.
func TestCostKeepsItsSlope(t *testing.T) {
	var c cost
	for i := range 50 {
		c.observe(1+i%32, 0.010+0.0005*float64(1+i%32))
	}
	for range 1000 { // twice as slow, and nothing but eights
		c.observe(8, 2*0.014)
	}
	require.InDelta(t, 2*0.014, c.of(8), 1e-4)
	require.InDelta(t, 2*0.0105, c.of(1), 0.004)
}

// TestCostBelievesOutliersSlowly: a pause is not a cost, a slower server is.
func TestCostBelievesOutliersSlowly(t *testing.T) {
	var c cost
	for i := range 50 {
		c.observe(1+i%8, 0.010)
	}
	c.observe(4, 3)
	require.Less(t, c.of(4), 0.0115)
	for range 100 {
		c.observe(4, 0.1)
	}
	require.Greater(t, c.of(4), 0.08)
}
