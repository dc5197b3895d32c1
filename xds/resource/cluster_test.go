package resource_test

import (
	"testing"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/proxy"
	"github.com/fridaymesh/friday/proxy/cluster"
	"github.com/fridaymesh/friday/xds/resource"
)

const endpoint = `{endpoint: {address: {socket_address: {address: 10.0.0.1, port_value: 80}}}}`

func TestCluster(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		yaml string
		want resource.Cluster
	}{
		"static": {yaml: `{name: c, load_assignment: {cluster_name: c, endpoints: [{lb_endpoints: [` + endpoint + `]}]}}`, want: resource.Cluster{
			Config: &cluster.Config{Name: "c", Endpoints: []cluster.EndpointConfig{{Address: "10.0.0.1:80", Weight: 1}}},
		}},
		"keepalive": {yaml: `{name: c, type: STATIC, http2_protocol_options: {connection_keepalive: {interval: 30s, timeout: 5s}}}`, want: resource.Cluster{
			Config: &cluster.Config{Name: "c", Protocol: proxy.UpstreamHTTP2, KeepaliveInterval: 30 * time.Second, KeepaliveTimeout: 5 * time.Second},
		}},
		"static, empty": {yaml: `{name: c, type: STATIC}`, want: resource.Cluster{Config: &cluster.Config{Name: "c"}}},
		"EDS": {yaml: `
name: c
type: EDS
eds_cluster_config: {service_name: s, eds_config: {ads: {}, resource_api_version: V3, initial_fetch_timeout: 0s}}
lb_policy: LEAST_REQUEST
connect_timeout: 0.25s
alt_stat_name: x
typed_extension_protocol_options:
  envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
    "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
    common_http_protocol_options: {idle_timeout: 3s, max_requests_per_connection: 100}
    explicit_http_config: {http_protocol_options: {}}
`, want: resource.Cluster{
			Config: &cluster.Config{Name: "c", Policy: cluster.LeastRequest, ConnectTimeout: 250 * time.Millisecond, IdleTimeout: 3 * time.Second, MaxRequestsPerConnection: 100},
			EDS:    "s",
		}},
		"EDS by its own name": {yaml: `{name: c, type: EDS, lb_policy: RANDOM, eds_cluster_config: {eds_config: {ads: {}}}}`, want: resource.Cluster{
			Config: &cluster.Config{Name: "c", Policy: cluster.Random}, EDS: "c", FetchTimeout: 15 * time.Second,
		}},
		"no idle timeout": {yaml: `{name: c, typed_extension_protocol_options: {envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {"@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, common_http_protocol_options: {idle_timeout: 0s}, explicit_http_config: {http_protocol_options: {}}}}}`, want: resource.Cluster{
			Config: &cluster.Config{Name: "c", IdleTimeout: resource.Unlimited},
		}},
		"HTTP/2": {yaml: `{name: c, typed_extension_protocol_options: {envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {"@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, explicit_http_config: {http2_protocol_options: {max_concurrent_streams: 100}}}}}`, want: resource.Cluster{
			Config: &cluster.Config{Name: "c", Protocol: proxy.UpstreamHTTP2},
		}},
		"HTTP/2 in the older place": {yaml: `{name: c, http2_protocol_options: {}}`, want: resource.Cluster{
			Config: &cluster.Config{Name: "c", Protocol: proxy.UpstreamHTTP2},
		}},
		"the newer place counts": {yaml: `{name: c, http2_protocol_options: {}, typed_extension_protocol_options: {envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {"@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, explicit_http_config: {http_protocol_options: {}}}}}`, want: resource.Cluster{
			Config: &cluster.Config{Name: "c"},
		}},
		"as the caller": {yaml: `{name: c, typed_extension_protocol_options: {envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {"@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, use_downstream_protocol_config: {http_protocol_options: {}, http2_protocol_options: {}}}}}`, want: resource.Cluster{
			Config: &cluster.Config{Name: "c", Protocol: proxy.UpstreamAsCaller},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, err := parser().Cluster(decode(t, tt.yaml, new(clusterv3.Cluster)))
			require.NoError(t, err)
			require.Equal(t, tt.want, *c)
		})
	}
}

func TestClusterErrors(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		yaml string
		want []string
	}{
		"nameless": {yaml: `{}`, want: []string{`name: value length must be at least 1 runes`}},
		"fields": {yaml: `{name: c, type: STATIC, connect_timeout: 0s, health_checks: [{}], lb_subset_config: {}, lrs_server: {self: {}}, transport_socket: {name: tls}}`, want: []string{
			`lb_subset_config: not supported`,
			`lrs_server: not supported`,
			`connect_timeout: 0s: value must be greater than 0s`,
			`health_checks[0].timeout: value is required`,
			`health_checks[0].interval: value is required`,
			`health_checks[0].unhealthy_threshold: value is required`,
			`health_checks[0].healthy_threshold: value is required`,
			`health_checks[0].http_health_check|tcp_health_check|grpc_health_check: value is required`,
			`transport_socket.typed_config: missing`,
		}},
		"undefined enums": {yaml: `{name: c, type: 77, lb_policy: 78}`, want: []string{
			`type: 77: not supported yet, only STATIC, STRICT_DNS, LOGICAL_DNS, EDS, ORIGINAL_DST`,
			`lb_policy: 78: not supported yet, only ROUND_ROBIN, LEAST_REQUEST, RANDOM, RING_HASH, MAGLEV, CLUSTER_PROVIDED, LOAD_BALANCING_POLICY_CONFIG`,
		}},
		"EDS without source": {yaml: `{name: c, type: EDS}`, want: []string{`eds_cluster_config: missing`}},
		"EDS of a file":      {yaml: `{name: c, type: EDS, load_assignment: {cluster_name: x}, eds_cluster_config: {eds_config: {path: /x}}}`, want: []string{`eds_cluster_config.eds_config.path: /x: not supported`, `load_assignment: not beside type EDS`, `eds_cluster_config.eds_config.ads: missing: other sources are not supported`}},
		"EDS that is STATIC": {yaml: `{name: c, eds_cluster_config: {eds_config: {ads: {}}}}`, want: []string{`eds_cluster_config: needs type EDS`}},
		"protocols": {yaml: `{name: c, typed_extension_protocol_options: {envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {"@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, explicit_http_config: {http3_protocol_options: {}}}, other: {"@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, auto_config: {}}}}`, want: []string{
			`typed_extension_protocol_options["envoy.extensions.upstreams.http.v3.HttpProtocolOptions"].explicit_http_config.http3_protocol_options: not supported`,
			`typed_extension_protocol_options["other"]: "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions": not supported`,
		}},
		"a name in a STATIC one": {yaml: `{name: c, load_assignment: {cluster_name: c, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: models.local, port_value: 0}}}}]}]}}`, want: []string{
			`load_assignment.endpoints[0].lb_endpoints[0].endpoint.address.socket_address.address: "models.local": not an IP address`,
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := decode(t, tt.yaml, new(clusterv3.Cluster))
			c, err := parser().Cluster(m)
			require.Nil(t, c)
			require.Equal(t, tt.want, lines(t, `cluster "`+m.GetName()+`": `, err))
		})
	}
}

func TestEndpoints(t *testing.T) {
	t.Parallel()
	got, err := parser().Endpoints(decode(t, `
cluster_name: c
endpoints:
- locality: {region: a}
  load_balancing_weight: 3
  lb_endpoints:
  - `+endpoint+`
  - {endpoint: {hostname: h, address: {socket_address: {address: "fd00::1", port_value: 8000}}}, load_balancing_weight: 5, health_status: DEGRADED}
- lb_endpoints:
  - {endpoint: {address: {socket_address: {address: 10.0.0.3, port_value: 80}}}, health_status: DRAINING}
  - {endpoint: {address: {socket_address: {address: 10.0.0.1, port_value: 80}}}, load_balancing_weight: 9}
`, new(endpointv3.ClusterLoadAssignment)))
	require.NoError(t, err)
	a := cluster.Locality{Region: "a"}
	require.Equal(t, &resource.Endpoints{
		Name: "c",
		Endpoints: []cluster.EndpointConfig{
			{Address: "10.0.0.1:80", Weight: 1, Locality: a, LocalityWeight: 3},
			{Address: "[fd00::1]:8000", Hostname: "h", Weight: 5, Health: cluster.HealthDegraded, Locality: a, LocalityWeight: 3},
			{Address: "10.0.0.3:80", Weight: 1, Health: cluster.HealthDraining},
		},
	}, got)
}

func TestEndpointsErrors(t *testing.T) {
	t.Parallel()
	m := decode(t, `
cluster_name: c
policy: {drop_overloads: [{category: x}]}
endpoints:
- priority: 1
  lb_endpoints:
  - {endpoint: {address: {socket_address: {address: 10.0.0.1, port_value: 0}}}, load_balancing_weight: 0, health_status: 55}
  - {endpoint_name: x}
  - {endpoint: {address: {socket_address: {address: 10.0.0.1, named_port: http}}}}
- leds_cluster_locality_config: {}
  lb_endpoints: [{endpoint: {address: {socket_address: {address: 10.0.0.7, port_value: 1}}}, load_balancing_weight: 4294967295}]
`, new(endpointv3.ClusterLoadAssignment))
	got, err := parser().Endpoints(m)
	require.Nil(t, got)
	require.Equal(t, []string{
		`endpoints[0].lb_endpoints[0].health_status: 55: not defined`,
		`endpoints[0].lb_endpoints[1].endpoint_name: x: not supported`,
		`endpoints[0].lb_endpoints[2].endpoint.address.socket_address.named_port: http: not supported`,
		`endpoints[1].leds_cluster_locality_config: not supported`,
		`endpoints[0].lb_endpoints[0].load_balancing_weight: 0: value must be greater than or equal to 1`,
		`endpoints[0].lb_endpoints[0].endpoint.address.socket_address.port_value: 0: not a port to connect to`,
		`endpoints[0].lb_endpoints[2].endpoint.address.socket_address.port_value: 0: not a port to connect to`,
		`endpoints: total weight 4294967296: must be at most 4294967295`,
	}, lines(t, `endpoints "c": `, err))
}
