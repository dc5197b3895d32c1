package client

import (
	"errors"
	"testing"
	"time"

	udpav1 "github.com/cncf/xds/go/udpa/type/v1"
	adminv3 "github.com/envoyproxy/go-control-plane/envoy/admin/v3"
	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/fridaymesh/friday/xds/xdstest"
)

func dumped(t *testing.T, d *drive) (b *adminv3.BootstrapConfigDump, c *adminv3.ClustersConfigDump, e *adminv3.EndpointsConfigDump, l *adminv3.ListenersConfigDump, r *adminv3.RoutesConfigDump) {
	t.Helper()
	client := New(Options{Bootstrap: &bootstrapv3.Bootstrap{StaticResources: &bootstrapv3.Bootstrap_StaticResources{
		Clusters: []*clusterv3.Cluster{{Name: "static"}},
	}}})
	client.state.Store(d.s)
	out := client.ConfigDump()
	_, err := protojson.Marshal(out)
	require.NoError(t, err)
	b, c, e = new(adminv3.BootstrapConfigDump), new(adminv3.ClustersConfigDump), new(adminv3.EndpointsConfigDump)
	l, r = new(adminv3.ListenersConfigDump), new(adminv3.RoutesConfigDump)
	require.GreaterOrEqual(t, len(out.GetConfigs()), 5)
	require.NoError(t, out.GetConfigs()[0].UnmarshalTo(b))
	require.NoError(t, out.GetConfigs()[1].UnmarshalTo(c))
	require.NoError(t, out.GetConfigs()[2].UnmarshalTo(e))
	require.NoError(t, out.GetConfigs()[3].UnmarshalTo(l))
	require.NoError(t, out.GetConfigs()[4].UnmarshalTo(r))
	return b, c, e, l, r
}

func TestConfigDump(t *testing.T) {
	t.Parallel()
	d := first(t)
	bad := xdstest.Cluster("bad")
	bad.LbPolicy = clusterv3.Cluster_CLUSTER_PROVIDED
	require.Error(t, d.recv(cds, xdstest.Cluster("blue"), xdstest.Cluster("green"), bad))
	require.NoError(t, d.recv(lds, xdstest.Listener(t, "in", "127.0.0.1:1", "r2"), xdstest.Listener(t, "more", "127.0.0.1:2", "r2")))
	d.s.refuse("", ofWorld(rds, xdstest.Response(t, rds.typeURL(), "9", "", xdstest.Routes("r2", "blue"))), errors.New("no"), d.now)
	b, c, e, l, r := dumped(t, d)

	require.Equal(t, "static", b.GetBootstrap().GetStaticResources().GetClusters()[0].GetName())
	require.Len(t, c.GetStaticClusters(), 1)
	require.Equal(t, "1", c.GetVersionInfo())
	require.Len(t, c.GetDynamicActiveClusters(), 1)
	blue := c.GetDynamicActiveClusters()[0]
	require.Equal(t, "5", blue.GetVersionInfo())
	require.Equal(t, d.now.Unix(), blue.GetLastUpdated().GetSeconds())
	require.Equal(t, adminv3.ClientResourceStatus_ACKED, blue.GetClientStatus())
	require.Len(t, c.GetDynamicWarmingClusters(), 2)
	refused := c.GetDynamicWarmingClusters()[0]
	require.Nil(t, refused.GetCluster())
	require.Equal(t, `cluster "bad": lb_policy: CLUSTER_PROVIDED: goes with type ORIGINAL_DST only, which goes with no other`, refused.GetErrorState().GetDetails())
	require.Equal(t, "5", refused.GetErrorState().GetVersionInfo())
	require.Equal(t, cds.typeURL(), refused.GetErrorState().GetFailedConfiguration().GetTypeUrl())
	require.Equal(t, adminv3.ClientResourceStatus_REQUESTED, c.GetDynamicWarmingClusters()[1].GetClientStatus())

	require.Len(t, e.GetDynamicEndpointConfigs(), 1)
	require.Len(t, l.GetDynamicListeners(), 2)
	in, more := l.GetDynamicListeners()[0], l.GetDynamicListeners()[1]
	require.Equal(t, "3", in.GetActiveState().GetVersionInfo())
	require.Equal(t, "6", in.GetWarmingState().GetVersionInfo())
	require.Nil(t, more.GetActiveState())
	require.NotNil(t, more.GetWarmingState().GetListener())
	require.Len(t, r.GetDynamicRouteConfigs(), 2)
	require.Equal(t, "4", r.GetDynamicRouteConfigs()[0].GetVersionInfo())
	require.Equal(t, adminv3.ClientResourceStatus_NACKED, r.GetDynamicRouteConfigs()[1].GetClientStatus())
}

func TestConfigDumpOfWhatCannotBePrinted(t *testing.T) {
	t.Parallel()
	d := first(t)
	foreign := &hcmv3.HttpFilter{Name: "foreign", IsOptional: true, ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: &anypb.Any{TypeUrl: "type.googleapis.com/a.B"}}}
	require.NoError(t, d.recv(lds, xdstest.Listener(t, "in", "127.0.0.1:1", "r", foreign)))
	_, _, _, l, _ := dumped(t, d)
	require.Equal(t, "type.googleapis.com/udpa.type.v1.TypedStruct", l.GetDynamicListeners()[0].GetActiveState().GetListener().GetTypeUrl())
}

// TestConfigDumpTellsWhatIsLeftAside: of filters that are recognised and do nothing, and of
// those that nobody knows, with their paths and why.
func TestConfigDumpTellsWhatIsLeftAside(t *testing.T) {
	t.Parallel()
	d := first(t)
	foreign := &hcmv3.HttpFilter{Name: "foreign", IsOptional: true, ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: pack(&udpav1.TypedStruct{TypeUrl: "type.googleapis.com/a.B"})}}
	stats := &hcmv3.HttpFilter{Name: "stats", ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: pack(&udpav1.TypedStruct{TypeUrl: "type.googleapis.com/stats.PluginConfig"})}}
	exchange := &clusterv3.Filter{Name: "x", TypedConfig: pack(&udpav1.TypedStruct{TypeUrl: "type.googleapis.com/envoy.tcp.metadataexchange.config.MetadataExchange"})}
	blue := xdstest.Cluster("blue")
	blue.Filters = []*clusterv3.Filter{exchange}
	routes := xdstest.Routes("r", "blue")
	routes.VirtualHosts[0].TypedPerFilterConfig = map[string]*anypb.Any{"stats": pack(&udpav1.TypedStruct{TypeUrl: "type.googleapis.com/stats.PluginConfig"})}
	require.NoError(t, d.recv(cds, blue))
	require.NoError(t, d.recv(lds, xdstest.Listener(t, "in", "127.0.0.1:1", "r", foreign, stats)))
	require.NoError(t, d.recv(rds, routes))

	client := New(Options{})
	client.state.Store(d.s)
	configs := client.ConfigDump().GetConfigs()
	aside := new(udpav1.TypedStruct)
	require.NoError(t, configs[len(configs)-1].UnmarshalTo(aside))
	require.Equal(t, "type.googleapis.com/friday.admin.v1.LeftAside", aside.GetTypeUrl())
	require.Equal(t, map[string]any{
		"listeners": map[string]any{"in": []any{
			`filter_chains[0].filters[0].typed_config.http_filters[0].typed_config: "a.B": not known, and optional`,
			`filter_chains[0].filters[0].typed_config.http_filters[1].typed_config: "stats.PluginConfig": metrics are Friday's own`,
		}},
		"routes": map[string]any{"r": []any{
			`virtual_hosts[0].typed_per_filter_config["stats"]: "stats.PluginConfig": metrics are Friday's own`,
		}},
		"clusters": map[string]any{"blue": []any{
			`filters[0].typed_config: "envoy.tcp.metadataexchange.config.MetadataExchange": it tells peers of each other for Istio's telemetry; its protocol is not agreed to by ALPN`,
		}},
	}, aside.GetValue().AsMap())
}

func TestBackoff(t *testing.T) {
	t.Parallel()
	require.Equal(t, 800*time.Millisecond, backoff(1, 0))
	require.Equal(t, 1200*time.Millisecond, backoff(1, 1))
	require.InDelta(t, float64(1600*time.Millisecond), float64(backoff(2, .5)), float64(time.Millisecond))
	require.Equal(t, 30*time.Second, backoff(10, .5))
	require.Equal(t, 36*time.Second, backoff(10_000, 1))
	require.Equal(t, 200*time.Millisecond, afterSuccess(1))
}
