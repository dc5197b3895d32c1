//go:build interop

package differential

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/fridaymesh/friday/bench/process"
	"github.com/fridaymesh/friday/xds/resource"
	"github.com/fridaymesh/friday/xds/xdstest"
)

// TestMemory tells what either takes before and with a large configuration: one that
// no sidecar should have to hold, and that many do.
func TestMemory(t *testing.T) {
	mesh := xdstest.Mesh{Routes: 5000, Clusters: 1000, Endpoints: 10000}
	sides := newSides(t, nil)
	address, err := process.FreeAddresses(0, 0, 0, 0)
	require.NoError(t, err)
	for i, s := range sides {
		s.control.Set(xdstest.Cluster("one"), xdstest.Endpoints(t, "one", "127.0.0.1:1"), xdstest.Routes("r", "one"),
			xdstest.Listener(t, "in", address[i], "r"))
		require.NoError(t, s.process.Await(t.Context(), patience, process.Listening(address[i])))
		small := s.process.Memory()
		all := append(mesh.All(), mesh.Assignments(t)...)
		all = append(all, mesh.Table("large"), xdstest.Listener(t, "in", address[2+i], "large")) // which opens when the table is there
		s.control.Set(all...)
		require.NoError(t, s.process.Await(t.Context(), patience, process.Listening(address[2+i])))
		large, peak := s.process.Memory(), s.process.PeakMemory()
		for turn := 1; turn <= 20; turn++ { // as configurations do, it changes
			changed := append([]proto.Message{}, all...)
			changed[mesh.Clusters+turn] = mesh.Assignment(t, turn, turn)
			version := s.control.Set(changed...) // all of it is sent again
			for _, of := range []string{resource.ClusterType, resource.EndpointType, resource.ListenerType, resource.RouteType} {
				require.Eventually(t, func() bool { return s.control.Acked(of, version) }, patience, 10*time.Millisecond)
			}
		}
		t.Logf("%s: %d MiB, with %d routes, %d clusters and %d endpoints %d MiB, at most %d MiB; after it was sent 20 times more %d MiB", s.name, small>>20,
			mesh.Routes, mesh.Clusters, mesh.Endpoints, large>>20, peak>>20, s.process.Memory()>>20)
	}
}
