package bootstrap_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/fridaymesh/friday/filters"
	"github.com/fridaymesh/friday/proxy"
	"github.com/fridaymesh/friday/proxy/cluster"
	"github.com/fridaymesh/friday/xds/bootstrap"
	"github.com/fridaymesh/friday/xds/resource"
)

// factory takes any configuration of its type as it is.
type factory string

var _ proxy.Factory = factory("")

func (f factory) TypeURL() string                                         { return string(f) }
func (f factory) Parse(*anypb.Any) (proxy.FilterConfig, error)            { return f, nil }
func (factory) Build(proxy.FilterConfig, proxy.Env) (proxy.Filter, error) { return nil, nil }

func parser() *resource.Parser {
	return &resource.Parser{Registry: filters.NewRegistry(
		factory("type.googleapis.com/friday.filters.http.batch.v1.Batch"),
		factory("type.googleapis.com/friday.filters.http.stream.v1.Stream"),
	)}
}

const static = `
node: {id: me, cluster: c, metadata: {team: search}, locality: {zone: z}, user_agent_name: other}
admin: {address: {socket_address: {address: 127.0.0.1, port_value: 19000}}, access_log_path: /dev/null}
static_resources:
  listeners:
  - name: in
    address: {socket_address: {address: 127.0.0.1, port_value: 8080}}
    filter_chains:
    - filters:
      - name: http
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: in
          route_config:
            virtual_hosts:
            - {name: v, domains: ["*"], routes: [{match: {prefix: /}, route: {cluster: models}}]}
          http_filters:
          - {name: b, typed_config: {"@type": type.googleapis.com/friday.filters.http.batch.v1.Batch, max_batch_size: 4}}
          - {name: r, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}
  clusters:
  - name: models
    connect_timeout: 1s
    load_assignment: {cluster_name: models, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: 8000}}}}]}]}
`

const dynamic = `
node: {id: me}
dynamic_resources:
  ads_config: {api_type: GRPC, transport_api_version: V3, set_node_on_first_message_only: true, grpc_services: [{envoy_grpc: {cluster_name: xds}}]}
  lds_config: {ads: {}, resource_api_version: V3}
  cds_config: {ads: {}, resource_api_version: V3}
static_resources:
  clusters:
  - name: xds
    type: STRICT_DNS
    dns_lookup_family: V4_ONLY
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {http2_protocol_options: {}}
    load_assignment: {cluster_name: xds, endpoints: [{lb_endpoints: [
      {endpoint: {address: {socket_address: {address: fridayd.local, port_value: 19010}}}},
      {endpoint: {address: {socket_address: {address: "::1", port_value: 19010}}}}]}]}
`

func before(s, sep string) string {
	head, _, _ := strings.Cut(s, sep)
	return head
}

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "bootstrap.yaml")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

func TestStaticBootstrap(t *testing.T) {
	t.Parallel()
	b, err := bootstrap.Load(write(t, static))
	require.NoError(t, err)
	got, err := bootstrap.Compile(b, parser())
	require.NoError(t, err)
	require.Nil(t, got.ADS)
	require.Equal(t, "127.0.0.1:19000", got.AdminAddress)
	require.Equal(t, "friday", got.Node.GetUserAgentName())
	require.Equal(t, "z", got.Node.GetLocality().GetZone())
	require.Equal(t, "search", got.Node.GetMetadata().GetFields()["team"].GetStringValue())
	require.Same(t, b, got.Source)
	require.Len(t, got.Static.Listeners, 1)
	require.Equal(t, "127.0.0.1:8080", got.Static.Listeners[0].Address)
	require.Len(t, got.Static.Listeners[0].Chains[0].HTTP.Filters, 1)
	require.Equal(t, []*cluster.Config{{Name: "models", ConnectTimeout: time.Second, Endpoints: []cluster.EndpointConfig{{Address: "127.0.0.1:8000", Weight: 1}}}}, got.Static.Clusters)
}

func TestDynamicBootstrap(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		text string
		want []string
	}{
		"a DNS cluster":          {text: dynamic, want: []string{"fridayd.local:19010", "[::1]:19010"}},
		"a static one":           {text: strings.NewReplacer("STRICT_DNS", "STATIC", "fridayd.local", "10.0.0.9", "dns_lookup_family: V4_ONLY", "").Replace(dynamic), want: []string{"10.0.0.9:19010", "[::1]:19010"}},
		"Google's gRPC":          {text: strings.Replace(before(dynamic, "static_resources"), "envoy_grpc: {cluster_name: xds}", "google_grpc: {target_uri: 'dns:///x:1', stat_prefix: x}", 1), want: []string{"dns:///x:1"}},
		"the older HTTP/2 field": {text: dynamic[:strings.Index(dynamic, "    typed_extension")] + "    http2_protocol_options: {}\n" + dynamic[strings.Index(dynamic, "    load_assignment"):], want: []string{"fridayd.local:19010", "[::1]:19010"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, err := bootstrap.Load(write(t, tt.text))
			require.NoError(t, err)
			got, err := bootstrap.Compile(b, parser())
			require.NoError(t, err)
			require.Equal(t, tt.want, uris(got.ADS.Targets))
			require.Empty(t, got.Static.Clusters, "nothing can be routed to the control plane")
			require.Equal(t, "me", got.Node.GetId())
		})
	}
}

func TestLoadErrors(t *testing.T) {
	t.Parallel()
	_, err := bootstrap.Load(filepath.Join(t.TempDir(), "none.yaml"))
	require.ErrorIs(t, err, os.ErrNotExist)
	for name, tt := range map[string]struct{ text, want string }{
		"YAML":      {"a: b: c", "not valid YAML: yaml: "},
		"twice":     {"node: {}\nnode: {}", `not valid YAML: yaml: unmarshal errors:`},
		"fields":    {"node: {idd: x}\nadmin: {address: {socket_address: {port_value: x}}}", "admin.address.socket_address.port_value: \"x\": not a uint32\nFILE: node.idd: unknown field"},
		"extension": {`static_resources: {clusters: [{name: x, transport_socket: {name: tls, typed_config: {"@type": type.googleapis.com/a.B}}}]}`, `static_resources.clusters[0].transport_socket.typed_config.@type: "type.googleapis.com/a.B": unknown type`},
		"empty":     {"# nothing\n", "empty: no bootstrap in it"},
		"no object": {"[]", "[]: not a envoy.config.bootstrap.v3.Bootstrap"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := write(t, tt.text)
			_, err := bootstrap.Load(path)
			require.Error(t, err)
			require.True(t, strings.HasPrefix(strings.ReplaceAll(err.Error(), path, "FILE"), "FILE: "+tt.want), err.Error())
		})
	}
}

func TestCompileErrors(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		text string
		want []string
	}{
		"fields": {strings.Replace(static, "node:", "hds_config: {api_type: GRPC}\nlayered_runtime: {}\nnode:", 1), []string{
			`bootstrap "me": hds_config: not supported`,
			`bootstrap "me": layered_runtime: not supported`,
		}},
		"an unknown cluster": {strings.Replace(static, "cluster: models", "cluster: modles", 1), []string{
			`listener "in": virtual_hosts[0].routes[0].route.cluster: "modles": unknown cluster, and validate_clusters is set (the default for inline routes)`,
		}},
		"rds, EDS, twice": {`static_resources: {clusters: [{name: a, type: EDS, eds_cluster_config: {eds_config: {ads: {}}}}, {name: a}, {name: b, lb_policy: CLUSTER_PROVIDED}], listeners: [` +
			`{name: l, address: {socket_address: {address: 127.0.0.1, port_value: 1}}, filter_chains: [{filters: [{name: f, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager, stat_prefix: x, rds: {route_config_name: r, config_source: {ads: {}}}, http_filters: [{name: r, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}]}}]}]}]}`, []string{
			`cluster "a": type: EDS: not supported yet in static_resources`,
			`static_resources.clusters[1].name: "a": stands there twice`,
			`cluster "b": lb_policy: CLUSTER_PROVIDED: goes with type ORIGINAL_DST only, which goes with no other`,
			`listener "l": rds: not supported yet in static_resources`,
		}},
		"nothing to do": {"{}", []string{"nothing to do: neither static_resources.listeners nor dynamic_resources"}},
		"nor here":      {before(static, "static_resources") + "static_resources: {clusters: []}", []string{"nothing to do: neither static_resources.listeners nor dynamic_resources"}},
		"REST":          {strings.Replace(dynamic, "api_type: GRPC", "api_type: REST", 1), []string{`bootstrap "me": dynamic_resources.ads_config.api_type: REST: not supported yet, only GRPC, DELTA_GRPC`}},
		"no type":       {strings.Replace(dynamic, "api_type: GRPC, transport_api_version: V3,", "", 1), []string{`dynamic_resources.ads_config.api_type: missing: only GRPC, DELTA_GRPC`, `dynamic_resources.ads_config.transport_api_version: AUTO: not supported, only V3`}},
		"no services":   {"dynamic_resources: {ads_config: {api_type: GRPC, transport_api_version: V3}}", []string{`dynamic_resources.lds_config.ads: missing: listeners and clusters both come by ADS`, `dynamic_resources.cds_config.ads: missing: listeners and clusters both come by ADS`, `dynamic_resources.ads_config.grpc_services: missing`}},
		"no such":       {strings.Replace(dynamic, "cluster_name: xds}", "cluster_name: xsd}", 1), []string{`dynamic_resources.ads_config.grpc_services[0].envoy_grpc.cluster_name: "xsd": not one of static_resources.clusters`}},
		"TLS, no h2":    {strings.Replace(strings.Replace(dynamic, "http2_protocol_options", "http_protocol_options", 1), "type: STRICT_DNS", "type: STRICT_DNS\n    transport_socket: {name: tls}", 1), []string{`cluster "xds": typed_extension_protocol_options: http2_protocol_options missing: a control plane speaks gRPC`, `cluster "xds": transport_socket.typed_config: "": only UpstreamTlsContext`}},
		"admin's name":  {"admin: {address: {socket_address: {address: localhost, port_value: 1}}}", []string{`admin.address.socket_address.address: "localhost": not an IP address`}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, err := bootstrap.Decode([]byte(tt.text))
			require.NoError(t, err)
			_, err = bootstrap.Compile(b, parser())
			require.Error(t, err)
			require.Equal(t, tt.want, strings.Split(err.Error(), "\n"))
		})
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(static))
	f.Add([]byte(dynamic))
	p := parser()
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := bootstrap.Decode(data)
		if err != nil {
			return
		}
		if got, err := bootstrap.Compile(b, p); err == nil {
			require.NotNil(t, got.Static)
			require.NotNil(t, got.Node)
		}
	})
}

func uris(targets []bootstrap.Target) (out []string) {
	for _, t := range targets {
		out = append(out, t.URI)
	}
	return out
}
