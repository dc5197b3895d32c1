package client

import (
	"testing"
	"time"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	batchv1 "github.com/fridaymesh/friday/xds/api/friday/filters/http/batch/v1"
	"github.com/fridaymesh/friday/xds/xdstest"
)

// seeds are good resources of every kind.
func seeds(t testing.TB) map[kind][]proto.Message {
	t.Helper()
	return map[kind][]proto.Message{
		cds:  {xdstest.Cluster("blue"), xdstest.StaticCluster(t, "s", "10.0.0.1:80")},
		eds:  {xdstest.Endpoints(t, "blue", "10.0.0.2:80")},
		sds:  {xdstest.NewCA(t).Secret(t, "default", "a.local")},
		lds:  {xdstest.Listener(t, "in", "127.0.0.1:1", "r"), secured(t, "tls", "127.0.0.1:2", "r", "default", fromAgent())},
		rds:  {xdstest.Routes("r", "blue")},
		ecds: {extension(t, "x", &batchv1.Batch{})},
	}
}

// FuzzWorld feeds a state in force whatever a control plane may send in the state
// of the world.
func FuzzWorld(f *testing.F) {
	for k, resources := range seeds(f) {
		data, err := proto.Marshal(xdstest.Response(f, k.typeURL(), "2", "n", resources...))
		require.NoError(f, err)
		f.Add(byte(k), data)
		f.Add(byte(k), data[:len(data)/2])
	}
	f.Fuzz(func(t *testing.T, which byte, data []byte) {
		resp := new(discoveryv3.DiscoveryResponse)
		if proto.Unmarshal(data, resp) != nil {
			return // gRPC ends the stream
		}
		k := kind(which) % kinds
		hold(t, k, ofWorld(k, resp))
	})
}

// FuzzDelta does the same for the incremental variant.
func FuzzDelta(f *testing.F) {
	for k, resources := range seeds(f) {
		resp := xdstest.Changes(f, k.typeURL(), "n", []string{"gone"}, resources...)
		resp.Resources[0].Ttl = durationpb.New(time.Second)
		data, err := proto.Marshal(resp)
		require.NoError(f, err)
		f.Add(byte(k), data)
		f.Add(byte(k), data[:len(data)/2])
	}
	f.Fuzz(func(t *testing.T, which byte, data []byte) {
		resp := new(discoveryv3.DeltaDiscoveryResponse)
		if proto.Unmarshal(data, resp) != nil {
			return
		}
		k := kind(which) % kinds
		hold(t, k, ofDelta(k, resp))
	})
}

// hold says that whatever an update is, what is in force stays whole, time may
// pass, and it can be shown and kept.
func hold(t *testing.T, k kind, u *update) {
	d := first(t)
	d.s.reachable = map[string]bool{agent: true}
	_ = d.s.pieces("", u)
	next := d.s.clone()
	err := next.accept("", u, d.now)
	next.settle(d.now)
	d.s = next
	check(t, d)
	if err != nil && len(u.resources) == 1 && len(u.removed) == 0 && u.resources[0].name == "" {
		d.want("in>blue blue=10.0.0.1:80") // it cannot be told which one it is
	}
	if k == sds {
		next.settle(d.now.Add(time.Second))
		_ = next.accept(agent, u, d.now)
		next.settle(d.now)
		check(t, d)
	}
	for range 3 {
		d.pass(16 * time.Second)
		check(t, d)
	}
	c := New(Options{Parser: d.s.parser})
	c.state.Store(d.s)
	_, err = proto.Marshal(c.ConfigDump())
	require.NoError(t, err)
	_, err = proto.Marshal(c.ClientConfig(true))
	require.NoError(t, err)
	_, err = decodeState(encodeState(d.s))
	require.NoError(t, err)
}
