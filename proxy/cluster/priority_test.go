package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/fridaymesh/friday/proxy"
	"github.com/fridaymesh/friday/proxy/cluster"
	"github.com/fridaymesh/friday/proxy/telemetry"
)

func TestPriorities(t *testing.T) {
	const ill = cluster.HealthUnhealthy
	for name, c := range map[string]struct {
		change func(cfg *cluster.Config)
		// health of e0 to e5, two to a priority
		health [6]cluster.Health
		want   [6]uint32
		usable int
	}{
		"all well":                  {nil, [6]cluster.Health{}, [6]uint32{1, 1}, 2},
		"the first is ill":          {nil, [6]cluster.Health{ill, ill}, [6]uint32{0, 0, 1, 1}, 2},
		"half of the first is ill":  {nil, [6]cluster.Health{0, ill}, [6]uint32{140, 0, 30, 30}, 3},
		"the first two are ill":     {nil, [6]cluster.Health{ill, ill, ill, ill}, [6]uint32{0, 0, 0, 0, 1, 1}, 2},
		"all ill: panic":            {nil, [6]cluster.Health{ill, ill, ill, ill, ill, ill}, [6]uint32{17, 17, 17, 17, 16, 16}, 6},
		"degraded before the next":  {nil, [6]cluster.Health{ill, cluster.HealthDegraded, ill, ill, ill, ill}, [6]uint32{0, 1}, 1},
		"the next before degraded":  {nil, [6]cluster.Health{cluster.HealthDegraded, cluster.HealthDegraded}, [6]uint32{0, 0, 1, 1}, 2},
		"drained ones do not count": {nil, [6]cluster.Health{0, cluster.HealthDraining}, [6]uint32{1}, 1},
		"no overprovisioning":       {func(cfg *cluster.Config) { cfg.Load.Overprovisioning = 100 }, [6]cluster.Health{0, ill}, [6]uint32{2, 0, 1, 1}, 3},
		"by weight":                 {func(cfg *cluster.Config) { cfg.Load.WeightedHealth = true; cfg.Endpoints[0].Weight = 9 }, [6]cluster.Health{0, ill}, [6]uint32{1}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := of(cluster.RoundRobin, weighted(1, 1, 1, 1, 1, 1)...)
			for i := range cfg.Endpoints {
				cfg.Endpoints[i].Priority, cfg.Endpoints[i].Health = uint32(i/2), c.health[i]
			}
			if c.change != nil {
				c.change(cfg)
			}
			cl := open(t, &network{}, cfg)
			requireProportions(t, draws(t, cl, 12000), c.want[:]...)
			require.Len(t, cl.Endpoints(), c.usable)
		})
	}
}

func TestLocalities(t *testing.T) {
	cfg := func(policy cluster.Policy) *cluster.Config {
		c := of(policy, weighted(1, 1, 1, 1)...)
		c.LocalityWeighted = true
		for i, zone := range []string{"one", "one", "two", "none"} {
			c.Endpoints[i].Locality.Zone = zone
			c.Endpoints[i].LocalityWeight = map[string]uint32{"one": 3, "two": 1}[zone]
		}
		return c
	}
	for _, policy := range []cluster.Policy{cluster.RoundRobin, cluster.Random, cluster.LeastRequest} {
		cl := open(t, &network{}, cfg(policy))
		requireProportions(t, draws(t, cl, 8000), 15, 15, 10, 0)
		ill := cfg(policy)
		ill.Endpoints[0].Health = cluster.HealthUnhealthy
		cl.Update(ill) // its zone bears 70% of its weight
		requireProportions(t, draws(t, cl, 8000), 0, 210, 100, 0)
	}
	for _, policy := range []cluster.Policy{cluster.RingHash, cluster.Maglev} {
		c := cfg(policy)
		c.Balance.Ring.Min = 1 << 20
		requireProportions(t, draws(t, open(t, &network{}, c), 8000), 15, 15, 10, 0)
	}
}

func TestConsistentHashing(t *testing.T) {
	for _, policy := range []cluster.Policy{cluster.RingHash, cluster.Maglev} {
		cl := open(t, &network{}, of(policy, weighted(1, 1, 1, 1)...))
		at := func(hash uint64) string {
			req := newRequest(proxy.NoBody)
			req.Hash, req.Hashed = hash, true
			ep, err := cl.Pick(t.Context(), req)
			require.NoError(t, err)
			return ep.Address
		}
		seen := map[string]bool{}
		for i := range uint64(100) {
			hash := i * 0x9e3779b97f4a7c15
			first := at(hash)
			require.Equal(t, first, at(hash))
			seen[first] = true
			// A retry goes elsewhere.
			req := newRequest(proxy.NoBody)
			req.Hash, req.Hashed = hash, true
			req.Avoid = cl.Endpoints()[:1]
			_, err := cl.Handle(t.Context(), req)
			require.NoError(t, err)
			require.NotEqual(t, "e0", req.Endpoint.Address)
		}
		require.Len(t, seen, 4)
		require.True(t, cl.Config().PicksByRequest())
	}
}

func TestLimits(t *testing.T) {
	n := &network{answer: func(string) func(*proxy.Request) (*proxy.Response, error) {
		return func(*proxy.Request) (*proxy.Response, error) {
			r := proxy.NewResponse()
			r.Body = &endless{}
			return r, nil
		}
	}}
	cfg := of(cluster.RoundRobin, weighted(1)...)
	cfg.Limits[0] = cluster.Limits{MaxRequests: new(uint32(2)), MaxRetries: new(uint32(1))}
	cfg.Limits[1] = cluster.Limits{Budget: &cluster.Budget{Percent: 50, Min: 1}}
	m := telemetry.New(prometheus.NewRegistry())
	c := cluster.New(cfg, n.dial, zap.NewNop(), m)
	defer func() { require.NoError(t, c.Close()) }()
	var open []*proxy.Response
	for range 2 {
		r, err := c.Handle(t.Context(), newRequest(proxy.NoBody))
		require.NoError(t, err)
		open = append(open, r)
	}
	_, err := c.Handle(t.Context(), newRequest(proxy.NoBody))
	requireError(t, err, 503, proxy.FlagOverflow, "upstream connect error or disconnect/reset before headers. reset reason: overflow")
	require.InDelta(t, 1, testutil.ToFloat64(m.UpstreamOverflow.WithLabelValues("c", "default", "requests")), 0)
	require.Equal(t, [2]int64{2, 0}, c.Status().Requests)
	high := newRequest(proxy.NoBody)
	high.HighPriority = true
	for range 4 {
		r, err := c.Handle(t.Context(), high)
		require.NoError(t, err)
		open = append(open, r)
	}
	require.NoError(t, open[0].Close())
	open = open[1:]
	r, err := c.Handle(t.Context(), newRequest(proxy.NoBody))
	require.NoError(t, err, "there is room again")
	open = append(open, r)

	low := newRequest(proxy.NoBody)
	require.True(t, c.BeginRetry(low))
	require.False(t, c.BeginRetry(low))
	c.EndRetry(low)
	require.True(t, c.BeginRetry(low))
	require.True(t, c.BeginRetry(high), "half of four")
	require.True(t, c.BeginRetry(high))
	require.False(t, c.BeginRetry(high))
	require.InDelta(t, 1, testutil.ToFloat64(m.UpstreamOverflow.WithLabelValues("c", "high", "retries")), 0)
	for _, r := range open {
		require.NoError(t, r.Close())
	}
	require.Equal(t, [2]int64{}, c.Status().Requests)
}

func TestDrops(t *testing.T) {
	cfg := of(cluster.RoundRobin, weighted(1)...)
	cfg.Load.Drops = []cluster.Drop{{Category: "half", PerMillion: 500_000}}
	m := telemetry.New(prometheus.NewRegistry())
	c := cluster.New(cfg, (&network{}).dial, zap.NewNop(), m)
	defer func() { require.NoError(t, c.Close()) }()
	dropped := 0.0
	for range 2000 {
		if _, err := c.Handle(t.Context(), newRequest(proxy.NoBody)); err != nil {
			requireError(t, err, 503, proxy.FlagDropOverload, "drop overload")
			dropped++
		}
	}
	require.InDelta(t, 1000, dropped, 150)
	require.InDelta(t, dropped, testutil.ToFloat64(m.Dropped.WithLabelValues("c", "half")), 0)
}

func TestSlowStart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for _, policy := range []cluster.Policy{cluster.RoundRobin, cluster.LeastRequest} {
			cfg := func(n int) *cluster.Config {
				c := of(policy, weighted(make([]uint32, n)...)...)
				c.Balance.SlowStart = &cluster.SlowStart{Window: time.Minute, Aggression: 1}
				return c
			}
			c := open(t, &network{}, cfg(1))
			time.Sleep(time.Hour)
			c.Update(cfg(2))
			requireProportions(t, draws(t, c, 2200), 10, 1)
			time.Sleep(30 * time.Second)
			requireProportions(t, draws(t, c, 3000), 2, 1)
			time.Sleep(31 * time.Second)
			synctest.Wait()
			requireProportions(t, draws(t, c, 2000), 1, 1)
		}
	})
}

func TestOriginalDestination(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := &network{}
		cfg := of(cluster.RoundRobin)
		cfg.Discovery, cfg.Original = cluster.OriginalDestination, cluster.Original{Header: "x-to"}
		c := open(t, n, cfg)
		send := func(destination, header string) (string, error) {
			req := newRequest(proxy.NoBody)
			req.Header.DisableNormalizing()
			req.OriginalDestination = destination
			if header != "" {
				req.Header.Set("X-To", header)
			}
			_, err := c.Handle(t.Context(), req)
			if err != nil {
				return "", err
			}
			return req.Endpoint.Address, nil
		}
		for _, step := range [][3]string{
			{"10.0.0.1:80", "", "10.0.0.1:80"}, {"[::ffff:10.0.0.1]:80", "", "10.0.0.1:80"}, {"10.0.0.1:80", "[::1]:81", "[::1]:81"},
		} {
			got, err := send(step[0], step[1])
			require.NoError(t, err)
			require.Equal(t, step[2], got)
		}
		for _, bad := range [][2]string{{"", ""}, {"10.0.0.1:80", "nonsense"}, {"10.0.0.1:0", ""}} {
			_, err := send(bad[0], bad[1])
			requireError(t, err, 503, proxy.FlagNoHealthyUpstream, "no healthy upstream")
		}
		require.Equal(t, []string{"10.0.0.1:80", "[::1]:81"}, n.dialled())
		require.Len(t, c.All(), 2)
		for range 4 { // one is used, the other goes
			time.Sleep(3 * time.Second)
			_, err := send("10.0.0.1:80", "")
			require.NoError(t, err)
		}
		synctest.Wait()
		require.Equal(t, []string{"10.0.0.1:80"}, addresses(c.All()))
		other := *cfg
		other.Original.Port = 8080
		c.Update(&other)
		got, err := send("10.0.0.1:80", "")
		require.NoError(t, err)
		require.Equal(t, "10.0.0.1:8080", got)
		time.Sleep(time.Minute)
		synctest.Wait()
		require.Empty(t, c.All())
	})
}

// Many endpoints, of which one changes at a time: nothing is dialled anew.
func TestUpdateOfMany(t *testing.T) {
	const many = 10000
	n := &network{}
	cfg := func(without int) *cluster.Config {
		c := of(cluster.LeastRequest)
		for i := range many {
			if i != without {
				c.Endpoints = append(c.Endpoints, cluster.EndpointConfig{Address: fmt.Sprintf("10.%d.%d.1:80", i/256, i%256), Weight: 1})
			}
		}
		return c
	}
	c := open(t, n, cfg(-1))
	for i := range 10 {
		c.Update(cfg(i))
	}
	require.Len(t, n.dialled(), many+9, "nine that came back")
	require.Len(t, c.Endpoints(), many-1)
}

func BenchmarkUpdateOfMany(b *testing.B) {
	for name, policy := range map[string]cluster.Policy{"round robin": cluster.RoundRobin, "maglev": cluster.Maglev, "ring hash": cluster.RingHash} {
		b.Run(name, func(b *testing.B) {
			cfg := func(weight uint32) *cluster.Config {
				c := of(policy)
				for i := range 10000 {
					c.Endpoints = append(c.Endpoints, cluster.EndpointConfig{Address: fmt.Sprintf("10.%d.%d.1:80", i/256, i%256), Weight: 1})
				}
				c.Endpoints[5].Weight = weight
				return c
			}
			one, two := cfg(1), cfg(2)
			c := open(b, &network{}, one)
			b.ReportAllocs()
			for b.Loop() {
				c.Update(two)
				one, two = two, one
			}
		})
	}
}

func TestNames(t *testing.T) {
	zone := newZone(t)
	zone.set("models.test.", "10.0.0.2", "10.0.0.1")
	cfg := func(how cluster.Discovery) *cluster.Config {
		c := of(cluster.RoundRobin, cluster.EndpointConfig{Address: "models.test.:80", Weight: 3}, cluster.EndpointConfig{Address: "10.0.0.9:81"})
		c.Discovery = how
		if how == cluster.LogicalDNS {
			c.Endpoints = c.Endpoints[:1]
		}
		c.DNS = cluster.DNS{Family: cluster.FamilyV4, Refresh: 20 * time.Millisecond, FailureBase: 20 * time.Millisecond, FailureMax: 50 * time.Millisecond, Servers: []netip.AddrPort{zone.addr}}
		return c
	}
	has := func(c *cluster.Cluster, want ...string) {
		t.Helper()
		require.Eventually(t, func() bool { return fmt.Sprint(addresses(c.All())) == fmt.Sprint(want) }, 10*time.Second, 5*time.Millisecond, "%v, want %v", addresses(c.All()), want)
	}
	n := &network{}
	strict := open(t, n, cfg(cluster.StrictDNS))
	// The first request waits for the first answer.
	req := newRequest(proxy.NoBody)
	_, err := strict.Handle(t.Context(), req)
	require.NoError(t, err)
	require.Equal(t, []string{"10.0.0.1:80", "10.0.0.2:80", "10.0.0.9:81"}, addresses(strict.All()))
	require.Equal(t, uint32(3), strict.Status().Endpoints[1].Weight)
	require.Equal(t, "models.test.", strict.Status().Endpoints[0].Hostname)
	stays := strict.All()[0]
	zone.set("models.test.", "10.0.0.3", "10.0.0.1")
	has(strict, "10.0.0.1:80", "10.0.0.3:80", "10.0.0.9:81")
	require.Same(t, stays, strict.All()[0])
	zone.fail(true) // what was known stays
	before := zone.asked.Load()
	require.Eventually(t, func() bool { return zone.asked.Load() > before+2 }, 10*time.Second, time.Millisecond)
	has(strict, "10.0.0.1:80", "10.0.0.3:80", "10.0.0.9:81")
	zone.fail(false)
	zone.set("models.test.") // no address any more
	has(strict, "10.0.0.9:81")

	zone.set("models.test.", "10.0.0.7", "10.0.0.5")
	logical := open(t, &network{}, cfg(cluster.LogicalDNS))
	require.Eventually(t, func() bool { return len(logical.All()) == 1 }, 10*time.Second, time.Millisecond)
	first := logical.All()[0].Address
	zone.set("models.test.", "10.0.0.4", first[:len(first)-3])
	before = zone.asked.Load()
	require.Eventually(t, func() bool { return zone.asked.Load() > before+4 }, 10*time.Second, time.Millisecond)
	has(logical, first) // while it is among them
	zone.set("models.test.", "10.0.0.4")
	has(logical, "10.0.0.4:80")
}

// A request that waits for a name leaves when its caller does.
func TestWaitingForANameEnds(t *testing.T) {
	zone := newZone(t)
	speak := zone.mute()
	defer speak()
	c := of(cluster.RoundRobin, cluster.EndpointConfig{Address: "models.test.:80"})
	c.Discovery, c.DNS = cluster.StrictDNS, cluster.DNS{Family: cluster.FamilyV4, Servers: []netip.AddrPort{zone.addr}}
	cl := cluster.New(c, (&network{}).dial, zap.NewNop(), metrics())
	ctx, cancel := context.WithCancelCause(t.Context())
	done := make(chan error)
	go func() {
		_, err := cl.Handle(ctx, newRequest(proxy.NoBody))
		done <- err
	}()
	cancel(proxy.ErrCallerGone)
	pe, ok := errors.AsType[*proxy.Error](<-done)
	require.True(t, ok)
	require.Equal(t, 499, pe.Status)
	go func() {
		_, err := cl.Handle(t.Context(), newRequest(proxy.NoBody))
		done <- err
	}()
	require.NoError(t, cl.Close())
	requireError(t, <-done, 503, proxy.FlagNoHealthyUpstream, "no healthy upstream")
}
