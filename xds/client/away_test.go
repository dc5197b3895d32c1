package client

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/xds/xdstest"
)

// A cluster that was removed stays while a route in force names it, however long
// the control plane is away; with it back, only as long as it takes.
func TestRemovedClusterStaysWhileTheControlPlaneIsAway(t *testing.T) {
	d := first(t)
	require.NoError(t, d.recv(cds, xdstest.Cluster("green"))) // routes to green never come
	d.down()
	d.pass(16 * time.Second)
	d.want("in>blue blue=10.0.0.1:80")
}

// restarted is what is in force after a restart from the state file.
func restarted(t *testing.T, d *drive) string {
	t.Helper()
	m, err := decodeState(encodeState(d.s))
	require.NoError(t, err)
	again := &drive{TB: t, s: newState(d.s.parser, nil)}
	require.NoError(t, again.s.restore(m))
	return again.force()
}

// The state file holds what serves, not what is still warming.
func TestRestartServesWhatWasServed(t *testing.T) {
	t.Run("routes on their way", func(t *testing.T) {
		d := first(t)
		require.NoError(t, d.recv(lds, xdstest.Listener(t, "in", "127.0.0.1:1", "r2")))
		d.want("in>blue blue=10.0.0.1:80")
		require.Equal(t, d.force(), restarted(t, d))
	})
	t.Run("endpoints on their way", func(t *testing.T) {
		d := first(t)
		c := xdstest.Cluster("blue")
		c.EdsClusterConfig.ServiceName = "b2"
		require.NoError(t, d.recv(cds, c))
		d.want("in>blue blue=10.0.0.1:80")
		require.Equal(t, d.force(), restarted(t, d))
	})
}
