package client

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/fridaymesh/friday/filters"
	"github.com/fridaymesh/friday/proxy/cluster"
	"github.com/fridaymesh/friday/proxy/config"
	"github.com/fridaymesh/friday/xds/resource"
	"github.com/fridaymesh/friday/xds/xdstest"
)

// drive plays events on a state, on a clock of its own.
type drive struct {
	testing.TB
	s       *state
	now     time.Time
	version int
}

func newDrive(t testing.TB, static *config.Resources) *drive {
	t.Helper()
	d := &drive{TB: t, now: time.Unix(1_000_000, 0), s: newState(&resource.Parser{Registry: filters.NewRegistry()}, static)}
	d.up()
	return d
}

func (d *drive) up() {
	d.s.connected("", d.now)
	d.s.settle(d.now)
}

func (d *drive) down() { d.s.disconnected("") }

func (d *drive) recv(k kind, resources ...proto.Message) error {
	d.Helper()
	d.version++
	resp := xdstest.Response(d, k.typeURL(), fmt.Sprint(d.version), "n", resources...)
	next := d.s.clone()
	err := next.accept("", ofWorld(k, resp), d.now)
	next.settle(d.now)
	d.s = next
	return err
}

func (d *drive) pass(t time.Duration) {
	d.now = d.now.Add(t)
	d.s = d.s.clone()
	d.s.settle(d.now)
}

// force is what is in force, in short: the listeners with the clusters that they
// lead to, and the clusters with their endpoints.
func (d *drive) force() string {
	r := d.s.resources()
	var parts []string
	for _, l := range r.Listeners {
		http := slices.Collect(l.HTTPs())[0]
		t := http.Table
		if t == nil {
			t = r.Routes[http.RouteName]
			require.NotNil(d, t, "listener %s without its routes", l.Name)
		}
		var to []string
		for name := range resource.Clusters(t) {
			to = append(to, name)
		}
		parts = append(parts, l.Name+">"+strings.Join(to, "+"))
	}
	for _, c := range r.Clusters {
		var ends []string
		for _, e := range c.Endpoints {
			ends = append(ends, e.Address)
		}
		parts = append(parts, c.Name+"="+strings.Join(ends, ","))
	}
	return strings.Join(parts, " ")
}

func (d *drive) want(force string) {
	d.Helper()
	require.Equal(d, force, d.force())
}

// first brings "in" to "blue" in force.
func first(t testing.TB) *drive {
	t.Helper()
	d := newDrive(t, nil)
	require.NoError(t, d.recv(cds, xdstest.Cluster("blue")))
	require.NoError(t, d.recv(eds, xdstest.Endpoints(t, "blue", "10.0.0.1:80")))
	require.NoError(t, d.recv(lds, xdstest.Listener(t, "in", "127.0.0.1:1", "r")))
	require.NoError(t, d.recv(rds, xdstest.Routes("r", "blue")))
	d.want("in>blue blue=10.0.0.1:80")
	return d
}

func TestFirstConfigurationInAnyOrder(t *testing.T) {
	t.Parallel()
	type event struct {
		k kind
		m proto.Message
	}
	// Endpoints and routes can only come when they have been asked for.
	events := []event{
		{cds, xdstest.Cluster("blue")},
		{lds, xdstest.Listener(t, "in", "127.0.0.1:1", "r")},
		{eds, xdstest.Endpoints(t, "blue", "10.0.0.1:80")},
		{rds, xdstest.Routes("r", "blue")},
	}
	for _, order := range [][]int{{0, 2, 1, 3}, {0, 1, 2, 3}, {0, 1, 3, 2}, {1, 0, 2, 3}, {1, 0, 3, 2}, {1, 3, 0, 2}} {
		d := newDrive(t, nil)
		for i, e := range order {
			require.Empty(t, d.force(), "nothing before it is whole: %v", order[:i])
			require.False(t, d.s.complete)
			require.NoError(t, d.recv(events[e].k, events[e].m))
		}
		d.want("in>blue blue=10.0.0.1:80")
		require.True(t, d.s.complete)
	}
}

func TestFirstConfigurationDoesNotWaitForEver(t *testing.T) {
	t.Parallel()
	d := newDrive(t, nil)
	require.NoError(t, d.recv(lds,
		xdstest.Listener(t, "late", "127.0.0.1:1", "missing"),
		xdstest.InlineListener(t, "in", "127.0.0.1:2", &routev3.RouteConfiguration{Name: "none"})))
	d.want("")
	at, ok := d.s.deadline()
	require.True(t, ok)
	require.Equal(t, d.now.Add(15*time.Second), at)
	d.pass(15 * time.Second)
	d.want("in> late>") // without routes, as in Envoy
	require.True(t, d.s.complete)
	_, ok = d.s.deadline()
	require.False(t, ok)
}

func TestNamesFollowWhatWasAccepted(t *testing.T) {
	t.Parallel()
	d := first(t)
	require.Equal(t, []string{"blue"}, d.s.names(eds))
	require.Equal(t, []string{"r"}, d.s.names(rds))
	require.Empty(t, d.s.names(cds))
	require.Empty(t, d.s.names(lds))
	service := xdstest.Cluster("c")
	service.EdsClusterConfig.ServiceName = "a"
	require.NoError(t, d.recv(cds, xdstest.Cluster("blue"), service, xdstest.StaticCluster(t, "s", "10.0.0.1:1")))
	require.Equal(t, []string{"a", "blue"}, d.s.names(eds))
}

func TestAbsenceDeletesListenersAndClusters(t *testing.T) {
	t.Parallel()
	d := first(t)
	require.NoError(t, d.recv(lds))
	d.want("blue=10.0.0.1:80")
	require.Empty(t, d.s.tables, "deleted with the listener")
	require.NoError(t, d.recv(cds))
	d.want("")
	require.Empty(t, d.s.known[eds].items, "deleted with the cluster")
}

func TestAbsenceMeansNothingToEndpointsAndRoutes(t *testing.T) {
	t.Parallel()
	d := first(t)
	require.NoError(t, d.recv(eds))
	require.NoError(t, d.recv(rds))
	d.want("in>blue blue=10.0.0.1:80")
	require.NoError(t, d.recv(eds, xdstest.Endpoints(t, "other", "10.0.0.9:80")))
	require.NotContains(t, d.s.known[eds].items, "other", "nobody asked for it")
	require.NoError(t, d.recv(eds, xdstest.Endpoints(t, "blue")))
	d.want("in>blue blue=")
}

func TestShiftWithoutAGap(t *testing.T) {
	t.Parallel()
	// From blue to green in one push, whose parts come in the worst order: the
	// routes before the endpoints, the removal of blue first of all.
	d := first(t)
	require.NoError(t, d.recv(cds, xdstest.Cluster("green")))
	d.want("in>blue blue=10.0.0.1:80")
	require.NoError(t, d.recv(rds, xdstest.Routes("r", "green")))
	d.want("in>blue blue=10.0.0.1:80")
	d.pass(14 * time.Second)
	d.want("in>blue blue=10.0.0.1:80")
	require.NoError(t, d.recv(eds, xdstest.Endpoints(t, "green", "10.0.0.2:80")))
	d.want("in>green green=10.0.0.2:80")
}

func TestRemovedClusterStaysForAWhile(t *testing.T) {
	t.Parallel()
	d := first(t)
	require.NoError(t, d.recv(cds))
	d.want("in>blue blue=10.0.0.1:80")
	at, ok := d.s.deadline()
	require.True(t, ok)
	d.pass(at.Sub(d.now) - 1)
	d.want("in>blue blue=10.0.0.1:80")
	d.pass(1)
	d.want("in>blue")
}

func TestRemovedClusterComesBack(t *testing.T) {
	t.Parallel()
	d := first(t)
	require.NoError(t, d.recv(cds))
	d.pass(10 * time.Second)
	require.NoError(t, d.recv(cds, xdstest.Cluster("blue")))
	require.Equal(t, []string{"blue"}, d.s.names(eds))
	d.want("in>blue blue=10.0.0.1:80")
	d.pass(10 * time.Second)
	d.want("in>blue blue=10.0.0.1:80")
	d.pass(5 * time.Second)
	d.want("in>blue blue=") // its endpoints were asked for 15 s ago
}

func TestChangedClusterWarms(t *testing.T) {
	t.Parallel()
	d := first(t)
	changed := xdstest.Cluster("blue")
	changed.EdsClusterConfig.ServiceName = "blue-2"
	changed.LbPolicy = clusterv3.Cluster_RANDOM
	require.NoError(t, d.recv(cds, changed))
	d.want("in>blue blue=10.0.0.1:80")
	require.Equal(t, cluster.RoundRobin, d.s.clusters["blue"].config.Policy)
	require.NoError(t, d.recv(eds, xdstest.Endpoints(t, "blue-2", "10.0.0.2:80")))
	d.want("in>blue blue=10.0.0.2:80")
	require.Equal(t, cluster.Random, d.s.clusters["blue"].config.Policy)
}

func TestChangeOfASettingNeedsNoWarming(t *testing.T) {
	t.Parallel()
	d := first(t)
	changed := xdstest.Cluster("blue")
	changed.LbPolicy = clusterv3.Cluster_RANDOM
	require.NoError(t, d.recv(cds, changed))
	require.Equal(t, cluster.Random, d.s.clusters["blue"].config.Policy)
	d.want("in>blue blue=10.0.0.1:80")
}

func TestEndpointsTimeOutOnlyWhileConnected(t *testing.T) {
	t.Parallel()
	d := first(t)
	require.NoError(t, d.recv(cds, xdstest.Cluster("blue"), xdstest.Cluster("green")))
	d.pass(10 * time.Second)
	d.down()
	d.pass(time.Hour)
	d.want("in>blue blue=10.0.0.1:80")
	d.up()
	d.pass(14 * time.Second)
	d.want("in>blue blue=10.0.0.1:80")
	d.pass(time.Second)
	d.want("in>blue blue=10.0.0.1:80 green=")
	require.True(t, d.s.without[key{eds, "", "green"}])
	require.NoError(t, d.recv(eds, xdstest.Endpoints(t, "green", "10.0.0.2:80")))
	d.want("in>blue blue=10.0.0.1:80 green=10.0.0.2:80")
	require.False(t, d.s.without[key{eds, "", "green"}])
}

func TestZeroFetchTimeoutWaitsForEver(t *testing.T) {
	t.Parallel()
	d := first(t)
	patient := xdstest.Cluster("green")
	patient.EdsClusterConfig.EdsConfig.InitialFetchTimeout = durationpb.New(0)
	require.NoError(t, d.recv(cds, xdstest.Cluster("blue"), patient))
	d.pass(24 * time.Hour)
	d.want("in>blue blue=10.0.0.1:80")
}

func TestListenerWaitsForItsRoutes(t *testing.T) {
	t.Parallel()
	d := first(t)
	require.NoError(t, d.recv(lds, xdstest.Listener(t, "in", "127.0.0.1:9", "other"), xdstest.Listener(t, "more", "127.0.0.1:2", "more")))
	d.want("in>blue blue=10.0.0.1:80")
	require.Equal(t, "127.0.0.1:1", d.s.resources().Listeners[0].Address, "the older one")
	require.Equal(t, []string{"more", "other"}, d.s.names(rds), "and not its routes any more")
	require.NoError(t, d.recv(rds, xdstest.Routes("more", "blue")))
	d.want("in>blue more>blue blue=10.0.0.1:80")
	require.NoError(t, d.recv(rds, xdstest.Routes("other", "blue")))
	require.Equal(t, "127.0.0.1:9", d.s.resources().Listeners[0].Address)
	require.NotContains(t, d.s.tables, "r")
}

func TestPartOfAResponse(t *testing.T) {
	t.Parallel()
	d := first(t)
	bad := xdstest.Cluster("blue")
	bad.LbPolicy = clusterv3.Cluster_CLUSTER_PROVIDED
	err := d.recv(cds, bad, xdstest.StaticCluster(t, "green", "10.0.0.2:80"))
	require.EqualError(t, err, `cluster "blue": lb_policy: CLUSTER_PROVIDED: goes with type ORIGINAL_DST only, which goes with no other`)
	d.want("in>blue blue=10.0.0.1:80 green=10.0.0.2:80")
	require.Equal(t, "1", d.s.known[cds].version, "of the last whole one")
	require.Equal(t, err.Error(), d.s.known[cds].failures["blue"].words)
	require.NoError(t, d.recv(cds, xdstest.Cluster("blue")))
	require.Empty(t, d.s.known[cds].failures)
}

func TestUnreadableResourceDeletesNothing(t *testing.T) {
	t.Parallel()
	d := first(t)
	err := d.recv(cds, &anypb.Any{TypeUrl: cds.typeURL(), Value: []byte{0xff}}, xdstest.StaticCluster(t, "green", "10.0.0.2:80"))
	require.ErrorContains(t, err, "resources[0]: not a envoy.config.cluster.v3.Cluster")
	d.want("in>blue blue=10.0.0.1:80 green=10.0.0.2:80")
}

func TestRefusedNames(t *testing.T) {
	t.Parallel()
	d := newDrive(t, &config.Resources{
		Clusters:  []*cluster.Config{{Name: "static"}},
		Listeners: []*config.Listener{{Name: "static", Default: &config.FilterChain{HTTP: &config.HTTP{Table: &config.RouteTable{}}}}},
	})
	err := d.recv(cds, xdstest.StaticCluster(t, "twice", "10.0.0.1:80"), xdstest.StaticCluster(t, "twice", "10.0.0.2:80"), xdstest.Cluster("static"))
	require.EqualError(t, err, "cluster \"twice\": stands twice in the response\ncluster \"twice\": stands twice in the response\ncluster \"static\": the bootstrap has one of this name")
	require.EqualError(t, d.recv(lds, xdstest.Listener(t, "static", "127.0.0.1:1", "r")), `listener "static": the bootstrap has one of this name`)
	d.want("static> static=")
}

func TestValidateClusters(t *testing.T) {
	t.Parallel()
	inline := func(cluster string) proto.Message {
		return xdstest.InlineListener(t, "inline", "127.0.0.1:2", xdstest.Routes("r", cluster)) // validated by default
	}
	byName := xdstest.Routes("r", "green")
	byName.ValidateClusters = wrapperspb.Bool(true)

	d := first(t)
	require.EqualError(t, d.recv(rds, byName), `route "r": virtual_hosts[0].routes[0].route.cluster: "green": unknown cluster, and validate_clusters is set (the default for inline routes)`)
	require.Error(t, d.recv(lds, xdstest.Listener(t, "in", "127.0.0.1:1", "r"), inline("green")))
	d.want("in>blue blue=10.0.0.1:80")
	// A control plane does not send again what was refused. Its clusters came
	// late, and then both are good.
	require.NoError(t, d.recv(cds, xdstest.Cluster("blue"), xdstest.StaticCluster(t, "green", "10.0.0.2:80")))
	d.want("in>green inline>green blue=10.0.0.1:80 green=10.0.0.2:80")
	require.Empty(t, d.s.known[lds].failures)

	// On a new stream the listeners may come before the clusters.
	d.down()
	d.up()
	require.NoError(t, d.recv(lds, inline("red")))
	require.NoError(t, d.recv(cds, xdstest.StaticCluster(t, "red", "10.0.0.3:80")))
	d.want("inline>red red=10.0.0.3:80")
}

func TestSameBytesAreTheSameConfiguration(t *testing.T) {
	t.Parallel()
	d := first(t)
	before := d.s.resources()
	require.NoError(t, d.recv(cds, xdstest.Cluster("blue")))
	require.NoError(t, d.recv(eds, xdstest.Endpoints(t, "blue", "10.0.0.1:80")))
	require.NoError(t, d.recv(lds, xdstest.Listener(t, "in", "127.0.0.1:1", "r")))
	require.NoError(t, d.recv(rds, xdstest.Routes("r", "blue")))
	require.True(t, same(before, d.s.resources()))
	require.Equal(t, "7", d.s.listeners["in"].version)
	require.NoError(t, d.recv(eds, xdstest.Endpoints(t, "blue", "10.0.0.2:80")))
	require.False(t, same(before, d.s.resources()))
}

func TestCloneSharesNothingThatChanges(t *testing.T) {
	t.Parallel()
	d := first(t)
	before, force := d.s, d.force()
	snapshot := maps.Clone(before.clusters)
	require.NoError(t, d.recv(cds))
	require.NoError(t, d.recv(lds))
	require.Error(t, d.recv(rds, &routev3.RouteConfiguration{}))
	d.pass(time.Hour)
	d.s = before
	d.want(force)
	require.Equal(t, snapshot, before.clusters)
}

// FuzzState plays any order of responses, breaks and waits, and holds the
// invariants after each.
func FuzzState(f *testing.F) {
	f.Add([]byte{0x00, 0x11, 0x22, 0x33, 0x40})
	f.Add([]byte{0x03, 0x10, 0x20, 0x30, 0x41, 0x02, 0x60, 0x50, 0x70, 0x31})
	clusters := []proto.Message{xdstest.Cluster("a"), xdstest.Cluster("b"), xdstest.StaticCluster(f, "c", "10.0.0.3:80"), &clusterv3.Cluster{Name: "a", LbPolicy: clusterv3.Cluster_CLUSTER_PROVIDED}}
	endpoints := []proto.Message{xdstest.Endpoints(f, "a", "10.0.0.1:80"), xdstest.Endpoints(f, "b", "10.0.0.2:80"), xdstest.Endpoints(f, "a"), &anypb.Any{TypeUrl: eds.typeURL(), Value: []byte{0xff}}}
	listeners := []proto.Message{
		xdstest.Listener(f, "x", "127.0.0.1:1", "r"), xdstest.Listener(f, "x", "127.0.0.1:2", "s"),
		xdstest.InlineListener(f, "y", "127.0.0.1:3", xdstest.Routes("i", "b")), xdstest.InlineListener(f, "y", "127.0.0.1:3", xdstest.Routes("i", "c")),
	}
	validated := xdstest.Routes("s", "b")
	validated.ValidateClusters = wrapperspb.Bool(true)
	routes := []proto.Message{xdstest.Routes("r", "a"), xdstest.Routes("r", "b"), xdstest.Routes("s", "c"), validated}
	all := [][]proto.Message{clusters, endpoints, listeners, routes}
	f.Fuzz(func(t *testing.T, program []byte) {
		d := newDrive(t, nil)
		up := true
		for _, op := range program[:min(len(program), 64)] {
			switch what, which := int(op>>4), int(op&15); {
			case what < 4 && up: // the low bits say which resources the response holds
				var resources []proto.Message
				for i, m := range all[what] {
					if which&(1<<i) != 0 {
						resources = append(resources, m)
					}
				}
				_ = d.recv([]kind{cds, eds, lds, rds}[what], resources...)
			case what == 4:
				d.pass(time.Duration(which) * time.Second)
			case what == 5 && up:
				d.down()
				up = false
			case what == 6 && !up:
				d.up()
				up = true
			}
			check(t, d)
		}
	})
}

func check(t *testing.T, d *drive) {
	s := d.s
	_ = d.force() // every listener has its routes
	if !s.complete {
		require.Empty(t, d.force())
	}
	for name, c := range s.clusters {
		require.NotNil(t, c.config)
		require.Equal(t, name, c.config.Name)
		if s.known[cds].items[name] == nil {
			require.False(t, c.leaveBy.IsZero(), "%s was removed and may stay for ever", name)
		} else {
			require.True(t, c.leaveBy.IsZero(), "%s is there and on its way out", name)
		}
	}
	for _, name := range slices.Collect(maps.Keys(s.listeners)) {
		require.NotNil(t, s.known[lds].items[name], "%s was removed", name)
	}
	if at, ok := s.deadline(); ok {
		require.True(t, at.After(d.now), "a deadline in the past would spin")
	}
	for _, k := range []kind{eds, rds} {
		names := s.names(k)
		for name := range s.known[k].items {
			require.Contains(t, names, name, "kept though nobody asks for it")
		}
	}
}
