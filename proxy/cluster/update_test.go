package cluster_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/proxy"
	"github.com/fridaymesh/friday/proxy/cluster"
)

func TestUpdateKeepsEndpoints(t *testing.T) {
	n := &network{}
	cfg := func(idle time.Duration, addresses ...string) *cluster.Config {
		c := of(cluster.RoundRobin)
		c.IdleTimeout = idle
		for _, a := range addresses {
			c.Endpoints = append(c.Endpoints, cluster.EndpointConfig{Address: a})
		}
		return c
	}
	c := open(t, n, cfg(1, "a", "b"))
	before := c.Endpoints()
	before[1].Total.Store(7)

	c.Update(cfg(1, "c", "b", "b"))
	after := c.Endpoints()
	require.Equal(t, []string{"c", "b"}, addresses(after))
	require.Same(t, before[1], after[1], "what stays is the same endpoint")
	require.Equal(t, []string{"a", "b", "c"}, n.dialled(), "and keeps its connections")
	require.True(t, n.peers[0].closed.Load(), "what is gone is closed")
	require.False(t, n.peers[1].closed.Load())

	// A request that got hold of an endpoint before it went is served.
	_, err := before[0].Handler.Handle(t.Context(), newRequest(proxy.NoBody))
	require.NoError(t, err)
	require.EqualValues(t, 1, n.peers[0].calls.Load())

	// Other settings of the connections: new connections, the same endpoints.
	c.Update(cfg(2, "c", "b"))
	require.Same(t, before[1], c.Endpoints()[1])
	require.EqualValues(t, 7, before[1].Total.Load())
	require.Equal(t, []string{"a", "b", "c", "c", "b"}, n.dialled())
	require.True(t, n.peers[1].closed.Load())
	require.True(t, n.peers[2].closed.Load())
	_, err = before[1].Handler.Handle(t.Context(), newRequest(proxy.NoBody))
	require.NoError(t, err)
	require.EqualValues(t, 1, n.peers[4].calls.Load(), "by the new connections")

	// All gone, and one back: that is another endpoint.
	c.Update(cfg(2))
	_, err = c.Pick(t.Context(), nil)
	requireError(t, err, 503, proxy.FlagNoHealthyUpstream, "no healthy upstream")
	c.Update(cfg(2, "b"))
	require.NotSame(t, before[1], c.Endpoints()[0])

	require.NoError(t, c.Close())
	require.NoError(t, c.Close())
	for _, p := range n.peers {
		require.True(t, p.closed.Load(), p.address)
	}
	c.Update(cfg(3, "z"))
	require.NotContains(t, n.dialled(), "z", "nothing is dialled after Close")
	_, err = c.Handle(t.Context(), newRequest(proxy.NoBody))
	require.NoError(t, err, "an old snapshot's request is still served")
}

func TestUpdateRedialsForEachSetting(t *testing.T) {
	for name, change := range map[string]func(*cluster.Config){
		"connect timeout": func(c *cluster.Config) { c.ConnectTimeout = time.Second },
		"idle timeout":    func(c *cluster.Config) { c.IdleTimeout = time.Second },
		"max requests":    func(c *cluster.Config) { c.MaxRequestsPerConnection = 5 },
		"policy":          nil, // not that
	} {
		n := &network{}
		c := open(t, n, of(cluster.RoundRobin, weighted(1)...))
		next := of(cluster.LeastRequest, weighted(2)...)
		want := 1
		if change != nil {
			change(next)
			want = 2
		}
		c.Update(next)
		require.Len(t, n.dialled(), want, name)
		require.Same(t, next, c.Config())
	}
}

func TestUpdateChangesHealth(t *testing.T) {
	endpoints := weighted(1, 1, 1)
	c := open(t, &network{}, of(cluster.RoundRobin, endpoints...))
	ill := weighted(1, 1, 1)
	ill[0].Health = cluster.HealthUnhealthy
	c.Update(of(cluster.RoundRobin, ill...))
	require.Equal(t, map[string]int{"e1": 10, "e2": 10}, draws(t, c, 20))
	require.Equal(t, []string{"e0", "e1", "e2"}, addresses(c.All()))
	c.Update(of(cluster.RoundRobin, endpoints...))
	require.Len(t, draws(t, c, 9), 3)
}

// Updates under load: no request fails, and none that begins after an Update has
// returned goes to what that took away.
func TestUpdateUnderLoad(t *testing.T) {
	n := &network{}
	even := of(cluster.RoundRobin, weighted(1, 1)...)
	odd := of(cluster.LeastRequest, cluster.EndpointConfig{Address: "e1"}, cluster.EndpointConfig{Address: "e2", Weight: 3}, cluster.EndpointConfig{Address: "e3"})
	odd.IdleTimeout = time.Second
	c := open(t, n, even)
	stop := make(chan struct{})
	var served atomic.Int64
	var wg sync.WaitGroup
	var failed atomic.Value
	for range 8 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				resp, err := c.Handle(t.Context(), newRequest(proxy.NoBody))
				if err != nil {
					failed.Store(err)
					return
				}
				_ = resp.Close()
				served.Add(1)
			}
		})
	}
	for i := range 300 {
		cfg, gone := odd, "e0"
		if i%2 == 1 {
			cfg, gone = even, "e3"
		}
		c.Update(cfg)
		for range 20 {
			req := newRequest(proxy.NoBody)
			_, err := c.Handle(t.Context(), req)
			require.NoError(t, err)
			require.NotEqual(t, gone, req.Endpoint.Address)
			served.Add(1)
		}
	}
	close(stop)
	wg.Wait()
	require.Nil(t, failed.Load())
	n.mu.Lock()
	defer n.mu.Unlock()
	calls := int64(0)
	for _, p := range n.peers {
		calls += p.calls.Load()
	}
	require.Equal(t, served.Load(), calls)
	for _, ep := range c.All() {
		require.Zero(t, ep.Active.Load(), fmt.Sprint(ep.Address))
	}
}
