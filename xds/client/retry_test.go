package client

import (
	"errors"
	"slices"
	"testing"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/filters"
	"github.com/fridaymesh/friday/proxy/config"
	"github.com/fridaymesh/friday/xds/resource"
	"github.com/fridaymesh/friday/xds/xdstest"
)

// stubborn is a client with a stream and nothing in force, whose data plane
// refuses while busy is set, and counts.
func stubborn(now time.Time) (c *Client, busy *error, asked *int) {
	busy, asked = new(error), new(int)
	c = New(Options{
		Targets: Plain("x:1"), Parser: &resource.Parser{Registry: filters.NewRegistry()},
		Apply: func(*config.Resources) error { *asked++; return *busy },
	})
	c.feeds[""] = &feed{c: c, kinds: slices.Collect(allKinds), wake: make(chan struct{}, 1)}
	c.change(func(s *state) { s.connected("", now); s.complete = true })
	c.tick(now)
	*asked = 0
	return c, busy, asked
}

// ticked are the kinds to be acknowledged after a tick.
func ticked(c *Client, now time.Time) []kind {
	c.tick(now)
	return c.acknowledged(c.feeds[""])
}

var errBusy = errors.New("address already in use")

func TestRetryWaitsLongerEachTime(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_000_000, 0)
	c, busy, asked := stubborn(now)
	*busy = errBusy
	resp := xdstest.Response(t, resource.ClusterType, "1", "n", xdstest.StaticCluster(t, "blue", "10.0.0.1:80"))
	require.ErrorIs(t, c.handle("", ofWorld(cds, resp), now), errBusy)
	require.Equal(t, 1, *asked)
	for i := 1; i < 12; i++ {
		at, ok := c.deadline()
		require.True(t, ok)
		require.WithinDuration(t, now.Add(backoff(i, .5)), at, 0)
		require.Empty(t, ticked(c, at.Add(-time.Nanosecond)))
		require.Equal(t, i, *asked, "not before it is time")
		now = at
		require.Empty(t, ticked(c, now))
		require.Equal(t, i+1, *asked)
		require.Equal(t, errBusy.Error(), c.state.Load().known[cds].failures["blue"].words)
	}
	*busy = nil
	now, _ = c.deadline()
	require.Equal(t, []kind{cds}, ticked(c, now))
	require.True(t, c.retry.empty())
	require.Equal(t, "1", c.state.Load().known[cds].version)
	require.Empty(t, c.state.Load().known[cds].failures)
}

func TestRetryEndsWithWhatIsNewer(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_000_000, 0)
	c, busy, asked := stubborn(now)
	*busy = errBusy
	require.Error(t, c.handle("", ofWorld(cds, xdstest.Response(t, resource.ClusterType, "1", "n", xdstest.StaticCluster(t, "blue", "10.0.0.1:80"))), now))
	*busy = nil
	require.NoError(t, c.handle("", ofWorld(cds, xdstest.Response(t, resource.ClusterType, "2", "n", xdstest.StaticCluster(t, "blue", "10.0.0.2:80"))), now))
	require.True(t, c.retry.empty())
	before := *asked
	require.Empty(t, ticked(c, now.Add(time.Minute)))
	require.Equal(t, before, *asked)
	require.Equal(t, "2", c.state.Load().known[cds].version)
}

// What is wrong with the response itself stays refused.
func TestRetryDoesNotAcknowledgeWhatIsHalfGood(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_000_000, 0)
	c, busy, _ := stubborn(now)
	*busy = errBusy
	bad := xdstest.Cluster("red")
	bad.LbPolicy = clusterv3.Cluster_CLUSTER_PROVIDED
	require.Error(t, c.handle("", ofWorld(cds, xdstest.Response(t, resource.ClusterType, "1", "n", bad, xdstest.StaticCluster(t, "blue", "10.0.0.1:80"))), now))
	*busy = nil
	require.Empty(t, ticked(c, now.Add(time.Minute)))
	require.True(t, c.retry.empty())
	require.NotNil(t, c.state.Load().known[cds].items["blue"])
	require.Empty(t, c.state.Load().known[cds].version)
}

// What follows from waiting is tried again too: here that a cluster goes on
// without endpoints.
func TestRetryOfWhatFollowsFromWaiting(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_000_000, 0)
	c, busy, asked := stubborn(now)
	require.NoError(t, c.handle("", ofWorld(cds, xdstest.Response(t, resource.ClusterType, "1", "n", xdstest.Cluster("blue"))), now))
	*busy = errBusy
	now = now.Add(fetchTimeout)
	c.tick(now)
	require.Empty(t, c.state.Load().clusters)
	before := *asked
	at, ok := c.deadline()
	require.True(t, ok)
	require.WithinDuration(t, now.Add(backoff(1, .5)), at, 0)
	c.tick(at)
	require.Equal(t, before+1, *asked)
	*busy = nil
	at, _ = c.deadline()
	c.tick(at)
	require.Len(t, c.state.Load().clusters, 1)
	require.True(t, c.retry.empty())
}
