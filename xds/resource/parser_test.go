package resource_test

import (
	"testing"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/fridaymesh/friday/xds/resource"
)

func samples(t testing.TB) map[string]proto.Message {
	t.Helper()
	return map[string]proto.Message{
		resource.ListenerType: decode(t, listener(rds, "http_filters: ["+routerFilter+"]"), new(listenerv3.Listener)),
		resource.RouteType:    decode(t, `{name: r, virtual_hosts: [{name: v, domains: ["*"], routes: [{match: {prefix: /}, route: {cluster: c}}]}]}`, new(routev3.RouteConfiguration)),
		resource.ClusterType:  decode(t, `{name: c, type: EDS, eds_cluster_config: {eds_config: {ads: {}}}}`, new(clusterv3.Cluster)),
		resource.EndpointType: decode(t, `{cluster_name: c, endpoints: [{lb_endpoints: [`+endpoint+`]}]}`, new(endpointv3.ClusterLoadAssignment)),
	}
}

func TestParseAny(t *testing.T) {
	t.Parallel()
	names := map[string]string{resource.ListenerType: "inference", resource.RouteType: "r", resource.ClusterType: "c", resource.EndpointType: "c"}
	for url, m := range samples(t) {
		plain := pack(t, m)
		wrapped := pack(t, &discoveryv3.Resource{Name: names[url], Resource: plain})
		for _, a := range []*anypb.Any{plain, wrapped} {
			name, parsed, err := parser().ParseAny(url, a)
			require.NoError(t, err)
			require.Equal(t, names[url], name)
			require.NotNil(t, parsed)
		}
	}
}

func TestParseAnyErrors(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		url  string
		a    *anypb.Any
		want string
		name string
	}{
		"another type": {url: resource.ClusterType, a: pack(t, &listenerv3.Listener{Name: "x"}), want: `unexpected resource type: "type.googleapis.com/envoy.config.listener.v3.Listener" in a response of "type.googleapis.com/envoy.config.cluster.v3.Cluster"`},
		"unknown type": {url: "a/b", a: &anypb.Any{TypeUrl: "a/b"}, want: `unexpected resource type: "a/b"`},
		"nothing":      {url: resource.ClusterType, want: `unexpected resource type: "" in a response of "type.googleapis.com/envoy.config.cluster.v3.Cluster"`},
		"bad bytes":    {url: resource.ClusterType, a: &anypb.Any{TypeUrl: resource.ClusterType, Value: []byte{0xff}}, want: `not a envoy.config.cluster.v3.Cluster: proto: cannot parse invalid wire-format data`},
		"a bad one, named": {
			url: resource.EndpointType, a: pack(t, &endpointv3.ClusterLoadAssignment{ClusterName: "x", Endpoints: []*endpointv3.LocalityLbEndpoints{{Priority: 129}}}),
			want: `endpoints "x": endpoints[0].priority: 129: value must be less than or equal to 128`, name: "x",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			name, parsed, err := parser().ParseAny(tt.url, tt.a)
			require.EqualError(t, err, tt.want)
			require.Nil(t, parsed)
			require.Equal(t, tt.name, name)
		})
	}
}

// FuzzParseAny feeds arbitrary bytes to every parser.
func FuzzParseAny(f *testing.F) {
	urls := []string{resource.ListenerType, resource.RouteType, resource.ClusterType, resource.EndpointType}
	for i, url := range urls {
		f.Add(byte(i), pack(f, samples(f)[url]).GetValue())
	}
	r := parser()
	f.Fuzz(func(t *testing.T, which byte, value []byte) {
		url := urls[int(which)%len(urls)]
		name, parsed, err := r.ParseAny(url, &anypb.Any{TypeUrl: url, Value: value})
		if err != nil {
			require.Nil(t, parsed)
			require.NotEmpty(t, err.Error())
			return
		}
		require.NotNil(t, parsed)
		require.NotEmpty(t, name)
	})
}

func BenchmarkListener(b *testing.B) {
	m := samples(b)[resource.ListenerType].(*listenerv3.Listener)
	r := parser()
	for b.Loop() {
		if _, err := r.Listener(m); err != nil {
			b.Fatal(err)
		}
	}
}
