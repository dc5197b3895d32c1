package cluster_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/proxy"
	"github.com/fridaymesh/friday/proxy/cluster"
)

// draws picks n times and counts by index of the endpoint.
func draws(t testing.TB, c *cluster.Cluster, n int) map[string]int {
	t.Helper()
	counts := map[string]int{}
	for range n {
		ep, err := c.Pick(t.Context(), nil)
		require.NoError(t, err)
		counts[ep.Address]++
	}
	return counts
}

// requireProportions is a chi-square test at p = 10^-6 or less, for up to eight
// endpoints (7 degrees of freedom: 40).
func requireProportions(t *testing.T, counts map[string]int, weights ...uint32) {
	t.Helper()
	total, n := 0.0, 0
	for i, w := range weights {
		total += float64(w)
		n += counts[fmt.Sprint("e", i)]
	}
	chi := 0.0
	for i, w := range weights {
		want := float64(n) * float64(w) / total
		d := float64(counts[fmt.Sprint("e", i)]) - want
		if want > 0 {
			chi += d * d / want
		} else {
			require.Zero(t, d)
		}
	}
	require.Less(t, chi, 40.0, "%v, want %v", counts, weights)
}

func TestRoundRobinIsExact(t *testing.T) {
	for _, weights := range [][]uint32{{1, 1, 1}, {3, 2, 1}, {7, 7}, {5, 1}, {1, 100}, {2, 4, 6, 8}, {1, 10000}, {0, 1}} {
		c := open(t, &network{}, of(cluster.RoundRobin, weighted(weights...)...))
		sum, greatest := 0, 0
		for _, w := range weights {
			sum += max(1, int(w))
			greatest = max(greatest, int(w))
		}
		counts := draws(t, c, sum)
		for i, w := range weights {
			require.Equal(t, max(1, int(w)), counts[fmt.Sprint("e", i)], "%v: %v", weights, counts)
		}
	}
}

// Heavy endpoints are not picked in long runs.
func TestRoundRobinIsSmooth(t *testing.T) {
	c := open(t, &network{}, of(cluster.RoundRobin, weighted(3, 2, 1)...))
	for range 20 {
		require.Len(t, draws(t, c, 6), 3)
	}
	c = open(t, &network{}, of(cluster.RoundRobin, weighted(5, 5, 5, 5)...))
	for range 20 {
		require.Len(t, draws(t, c, 4), 4)
	}
	c = open(t, &network{}, of(cluster.RoundRobin, weighted(10, 1)...))
	for range 20 {
		require.LessOrEqual(t, draws(t, c, 10)["e1"], 1)
	}
}

func TestRoundRobinGoesOnAcrossUpdates(t *testing.T) {
	cfg := of(cluster.RoundRobin, weighted(1, 1)...)
	c := open(t, &network{}, cfg)
	counts := map[string]int{}
	for range 100 {
		ep, err := c.Pick(t.Context(), nil)
		require.NoError(t, err)
		counts[ep.Address]++
		c.Update(cfg)
	}
	require.Equal(t, map[string]int{"e0": 50, "e1": 50}, counts)
}

func TestRandom(t *testing.T) {
	for _, weights := range [][]uint32{{1, 1, 1, 1}, {1, 2, 3}, {1, 9}, {4294967295, 4294967295, 1}} {
		c := open(t, &network{}, of(cluster.Random, weighted(weights...)...))
		requireProportions(t, draws(t, c, 20000), weights...)
	}
}

func TestLeastRequest(t *testing.T) {
	c := open(t, &network{}, of(cluster.LeastRequest, weighted(1, 1, 1, 1)...))
	requireProportions(t, draws(t, c, 20000), 1, 1, 1, 1)
	// Of two drawn from four with replacement, the busiest is taken only where
	// both are it: one time in sixteen.
	c.Endpoints()[2].Active.Store(10)
	requireProportions(t, draws(t, c, 20000), 5, 5, 1, 5)
}

func TestLeastRequestWeighted(t *testing.T) {
	c := open(t, &network{}, of(cluster.LeastRequest, weighted(1, 2, 5)...))
	requireProportions(t, draws(t, c, 8000), 1, 2, 5)
	// Four in flight make of 5 what 1 is when idle.
	c.Endpoints()[2].Active.Store(4)
	requireProportions(t, draws(t, c, 8000), 1, 2, 1)
}

func TestUnhealthyAreSkipped(t *testing.T) {
	for _, policy := range []cluster.Policy{cluster.RoundRobin, cluster.LeastRequest, cluster.Random} {
		for _, weights := range [][]uint32{{1, 1, 1, 1}, {1, 2, 3, 4}} {
			c := open(t, &network{}, of(policy, weighted(weights...)...))
			ill := func(addresses ...string) {
				cfg := of(policy, weighted(weights...)...)
				for i := range cfg.Endpoints {
					if slices.Contains(addresses, cfg.Endpoints[i].Address) {
						cfg.Endpoints[i].Health = cluster.HealthUnhealthy
					}
				}
				c.Update(cfg)
			}
			ill("e1", "e2")
			requireProportions(t, draws(t, c, 8000), weights[0], 0, 0, weights[3])
			require.Equal(t, []string{"e0", "e3"}, addresses(c.Endpoints()))
			ill("e0", "e1", "e2") // fewer than half are healthy: panic
			requireProportions(t, draws(t, c, 8000), weights...)
			require.Len(t, c.Endpoints(), 4)
			ill("e0", "e1", "e2", "e3")
			requireProportions(t, draws(t, c, 8000), weights...)
			ill()
			requireProportions(t, draws(t, c, 8000), weights...)
		}
	}
}

// The one that is healthy is found however little it weighs.
func TestUnhealthyHeavyweight(t *testing.T) {
	endpoints := weighted(1<<20, 1<<31, 1<<18)
	endpoints[1].Health = cluster.HealthUnhealthy
	for _, policy := range []cluster.Policy{cluster.RoundRobin, cluster.LeastRequest, cluster.Random} {
		c := open(t, &network{}, of(policy, endpoints...))
		counts := draws(t, c, 200)
		require.Zero(t, counts["e1"])
		require.Len(t, counts, 2)
		require.Greater(t, counts["e0"], counts["e2"])
	}
}

func BenchmarkPick(b *testing.B) {
	for name, policy := range map[string]cluster.Policy{"round robin": cluster.RoundRobin, "least request": cluster.LeastRequest, "random": cluster.Random} {
		for kind, weights := range map[string][]uint32{"one": {1}, "equal": {1, 1, 1, 1, 1, 1, 1, 1}, "weighted": {1, 2, 3, 4, 5, 6, 7, 8}} {
			b.Run(name+"/"+kind, func(b *testing.B) {
				c := open(b, &network{}, of(policy, weighted(weights...)...))
				b.ReportAllocs()
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						if _, err := c.Pick(b.Context(), nil); err != nil {
							b.Error(err)
						}
					}
				})
			})
		}
	}
}

func BenchmarkHandle(b *testing.B) {
	c := open(b, &network{}, of(cluster.RoundRobin, weighted(1, 1)...))
	body := proxy.NewBytesBody([]byte("x"))
	b.ReportAllocs()
	req := newRequest(body)
	for b.Loop() {
		req.Endpoint = nil
		resp, err := c.Handle(b.Context(), req)
		if err != nil {
			b.Fatal(err)
		}
		_ = resp.Close()
	}
}
