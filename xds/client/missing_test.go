package client

import (
	"testing"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/fridaymesh/friday/xds/xdstest"
)

// TestWhatRefersToNothing: what an update refers to and does not come leaves the older
// version in force for as long as it may be on its way, and what has none out.
func TestWhatRefersToNothing(t *testing.T) {
	t.Parallel()
	const now = "in>blue blue=10.0.0.1:80"
	elsewhere := xdstest.Cluster("blue")
	elsewhere.EdsClusterConfig.ServiceName = "nowhere"
	for name, tt := range map[string]struct {
		k    kind
		with []proto.Message
		then string // after what is missing has not come in time
	}{
		"a cluster without endpoints": {cds, []proto.Message{xdstest.Cluster("blue"), xdstest.Cluster("new")}, "in>blue blue=10.0.0.1:80 new="},
		"other endpoints":             {cds, []proto.Message{elsewhere}, "in>blue blue="},
		"a listener without routes":   {lds, []proto.Message{xdstest.Listener(t, "in", "127.0.0.1:1", "r"), xdstest.Listener(t, "new", "127.0.0.1:2", "none")}, "in>blue new> blue=10.0.0.1:80"},
		"routes to nowhere":           {rds, []proto.Message{xdstest.Routes("r", "nowhere")}, "in>nowhere blue=10.0.0.1:80"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := first(t)
			require.NoError(t, d.recv(tt.k, tt.with...))
			if tt.k != rds { // what a route refers to is answered 503 when it is asked for
				d.want(now)
			}
			d.pass(16 * time.Second)
			d.want(tt.then)
		})
	}
}

// TestNotAskedFor: what nobody has asked for, of a type that is, changes nothing.
func TestNotAskedFor(t *testing.T) {
	t.Parallel()
	d := first(t)
	require.NoError(t, d.recv(eds, xdstest.Endpoints(t, "green", "10.0.0.9:80"), xdstest.Endpoints(t, "blue", "10.0.0.2:80")))
	require.NoError(t, d.recv(rds, xdstest.Routes("other", "green")))
	require.NoError(t, d.recv(sds, xdstest.NewCA(t).Secret(t, "default", "a.local")))
	d.want("in>blue blue=10.0.0.2:80")
}

// TestOddChanges: what a delta says of one name twice counts for nothing, and removals of
// what is not there are no harm.
func TestOddChanges(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		k       kind
		removed []string
		with    []proto.Message
		says    string
		then    string
	}{
		"there and removed":   {cds, []string{"blue"}, []proto.Message{xdstest.Cluster("blue")}, `cluster "blue": stands twice in the response`, "in>blue blue=10.0.0.1:80"},
		"twice":               {eds, nil, []proto.Message{xdstest.Endpoints(t, "blue", "10.0.0.2:80"), xdstest.Endpoints(t, "blue", "10.0.0.3:80")}, `endpoints "blue": stands twice in the response`, "in>blue blue=10.0.0.1:80"},
		"nobody is removed":   {cds, []string{"nobody", ""}, nil, "", "in>blue blue=10.0.0.1:80"},
		"removed twice":       {cds, []string{"blue", "blue"}, nil, "", "in>blue blue=10.0.0.1:80"},
		"endpoints are gone":  {eds, []string{"blue"}, nil, "", "in>blue blue=10.0.0.1:80"},
		"of another type":     {cds, nil, []proto.Message{xdstest.Routes("blue", "x")}, "unexpected resource type", "in>blue blue=10.0.0.1:80"},
		"a bad one with good": {cds, nil, []proto.Message{&clusterv3.Cluster{Name: "blue", LbPolicy: clusterv3.Cluster_CLUSTER_PROVIDED}, xdstest.StaticCluster(t, "s", "10.0.0.9:80")}, `cluster "blue": lb_policy`, "in>blue blue=10.0.0.1:80 s=10.0.0.9:80"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := first(t)
			next := d.s.clone()
			err := next.accept("", ofDelta(tt.k, xdstest.Changes(t, tt.k.typeURL(), "n", tt.removed, tt.with...)), d.now)
			next.settle(d.now)
			d.s = next
			if tt.says == "" {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, tt.says)
			}
			d.want(tt.then)
		})
	}
}
