package resource_test

import (
	"net/netip"
	"testing"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/proxy"
	"github.com/fridaymesh/friday/proxy/cluster"
)

const policies = "type.googleapis.com/envoy.extensions.load_balancing_policies."

// Every field that a cluster may have, in parts.
func TestClusterParts(t *testing.T) {
	t.Parallel()
	balanced := func(set func(c *cluster.Config)) func(*cluster.Config) { return set }
	for name, tt := range map[string]struct {
		yaml string
		want func(c *cluster.Config)
	}{
		"names": {`
type: STRICT_DNS
dns_lookup_family: V4_PREFERRED
dns_refresh_rate: 7s
dns_jitter: 1s
dns_failure_refresh_rate: {base_interval: 2s}
typed_dns_resolver_config: {name: envoy.network.dns_resolver.cares, typed_config: {"@type": type.googleapis.com/envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig, udp_max_queries: 100, resolvers: [{socket_address: {address: 10.0.0.53, port_value: 53}}]}}
load_assignment: {cluster_name: c, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: models.local, port_value: 80}}}}]}]}
`, func(c *cluster.Config) {
			c.Discovery = cluster.StrictDNS
			c.DNS = cluster.DNS{Family: cluster.FamilyV4Preferred, Refresh: 7 * time.Second, Jitter: time.Second, FailureBase: 2 * time.Second, FailureMax: 20 * time.Second, Servers: []netip.AddrPort{netip.MustParseAddrPort("10.0.0.53:53")}}
			c.Endpoints = []cluster.EndpointConfig{{Address: "models.local:80", Weight: 1}}
		}},
		"a DNS cluster": {`
cluster_type: {name: envoy.cluster.dns, typed_config: {"@type": type.googleapis.com/envoy.extensions.clusters.dns.v3.DnsCluster, dns_lookup_family: V6_ONLY, all_addresses_in_single_endpoint: true}}
load_assignment: {cluster_name: c, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: models.local, port_value: 80}}}}]}]}
`, func(c *cluster.Config) {
			c.Discovery, c.DNS.Family = cluster.LogicalDNS, cluster.FamilyV6
			c.Endpoints = []cluster.EndpointConfig{{Address: "models.local:80", Weight: 1}}
		}},
		"where it was going": {`
type: ORIGINAL_DST
lb_policy: CLUSTER_PROVIDED
cleanup_interval: 60s
original_dst_lb_config: {use_http_header: true, upstream_port_override: 8080}
upstream_bind_config: {source_address: {address: 127.0.0.6, port_value: 0}}
`, func(c *cluster.Config) {
			c.Discovery, c.Source = cluster.OriginalDestination, netip.MustParseAddrPort("127.0.0.6:0")
			c.Original = cluster.Original{Header: "x-envoy-original-dst-host", Port: 8080, Cleanup: time.Minute}
		}},
		"common": {`
common_lb_config: {healthy_panic_threshold: {value: 30}, locality_weighted_lb_config: {}, ignore_new_hosts_until_first_hc: true, close_connections_on_host_set_change: true, update_merge_window: 1s}
ignore_health_on_host_removal: true
preconnect_policy: {per_upstream_preconnect_ratio: 1.5}
`, func(c *cluster.Config) {
			c.Panic, c.LocalityWeighted, c.IgnoreNew, c.CloseOnChange, c.LeaveAtOnce, c.Preconnect = new(30.0), true, true, true, true, 1.5
		}},
		"least request": {`
lb_policy: LEAST_REQUEST
least_request_lb_config: {choice_count: 3, active_request_bias: {default_value: 0.5, runtime_key: p}, slow_start_config: {slow_start_window: 60s, aggression: {default_value: 2, runtime_key: q}, min_weight_percent: {value: 5}}}
`, balanced(func(c *cluster.Config) {
			c.Policy = cluster.LeastRequest
			c.Balance = cluster.Balance{Choices: 3, Bias: new(0.5), SlowStart: &cluster.SlowStart{Window: time.Minute, Aggression: 2, MinPercent: new(5.0)}}
		})},
		"ring hash": {`{lb_policy: RING_HASH, ring_hash_lb_config: {minimum_ring_size: 7, hash_function: MURMUR_HASH_2}, common_lb_config: {consistent_hashing_lb_config: {hash_balance_factor: 150}}}`, balanced(func(c *cluster.Config) {
			c.Policy = cluster.RingHash
			c.Balance = cluster.Balance{Ring: cluster.Ring{Min: 7, Max: 8 << 20, Murmur: true}, BalanceFactor: 150}
		})},
		"maglev": {`{lb_policy: MAGLEV, maglev_lb_config: {table_size: 1009}}`, balanced(func(c *cluster.Config) {
			c.Policy, c.Balance.Table = cluster.Maglev, 1009
		})},
		"typed": {`load_balancing_policy: {policies: [{typed_extension_config: {name: x, typed_config: {"@type": type.googleapis.com/google.protobuf.Duration, value: 1s}}}, {typed_extension_config: {name: q, typed_config: {"@type": ` + policies + `wrr_locality.v3.WrrLocality, endpoint_picking_policy: {policies: [{typed_extension_config: {name: z, typed_config: {"@type": ` + policies + `least_request.v3.LeastRequest, selection_method: FULL_SCAN}}}]}}}}]}`, balanced(func(c *cluster.Config) {
			c.Policy, c.LocalityWeighted, c.Balance.FullScan = cluster.LeastRequest, true, true
		})},
		"typed maglev": {`load_balancing_policy: {policies: [{typed_extension_config: {name: q, typed_config: {"@type": ` + policies + `maglev.v3.Maglev, table_size: 11, locality_weighted_lb_config: {}}}}]}`, balanced(func(c *cluster.Config) {
			c.Policy, c.LocalityWeighted, c.Balance.Table = cluster.Maglev, true, 11
		})},
		"typed random": {`load_balancing_policy: {policies: [{typed_extension_config: {name: q, typed_config: {"@type": ` + policies + `random.v3.Random}}}]}`, balanced(func(c *cluster.Config) {
			c.Policy = cluster.Random
		})},
		"circuit breakers": {`circuit_breakers: {thresholds: [{max_connections: 1, max_requests: 2}, {max_requests: 9}, {priority: HIGH, retry_budget: {budget_percent: {value: 30}}}]}`, func(c *cluster.Config) {
			many := new(uint32(1024))
			c.Limits[0] = cluster.Limits{MaxConnections: new(uint32(1)), MaxPending: many, MaxRequests: new(uint32(2)), MaxRetries: new(uint32(3))}
			c.Limits[1] = cluster.Limits{MaxConnections: many, MaxPending: many, MaxRequests: many, MaxRetries: new(uint32(3)), Budget: &cluster.Budget{Percent: 30, Min: 3}}
		}},
		"outlier detection": {`outlier_detection: {consecutive_5xx: 7, base_ejection_time: 600s, enforcing_failure_percentage: 50, successful_active_health_check_uneject_host: false}`, func(c *cluster.Config) {
			rate := cluster.Rate{Hosts: 5, Volume: 100, Factor: 1900, Enforce: 100}
			failing := cluster.Rate{Hosts: 5, Volume: 50, Threshold: 85}
			c.Outliers = &cluster.Outliers{
				Interval: 10 * time.Second, BaseEjection: 600 * time.Second, MaxEjection: 600 * time.Second, MaxPercent: 10, NoUnejectByCheck: true,
				Consecutive5xx: cluster.Consecutive{Count: 7, Enforce: 100}, ConsecutiveGateway: cluster.Consecutive{Count: 5}, ConsecutiveLocal: cluster.Consecutive{Count: 5, Enforce: 100},
				SuccessRate: rate, LocalSuccessRate: rate, FailureRate: failing, LocalFailureRate: failing,
			}
			c.Outliers.FailureRate.Enforce = 50
		}},
		"HTTP health check": {`
health_checks:
- timeout: 1s
  interval: 5s
  unhealthy_threshold: 2
  healthy_threshold: 3
  reuse_connection: false
  no_traffic_interval: 9s
  interval_jitter_percent: 10
  http_health_check:
    path: /healthz
    host: h
    method: HEAD
    expected_statuses: [{start: 200, end: 300}]
    retriable_statuses: [{start: 503, end: 504}]
    codec_client_type: HTTP2
    request_headers_to_add: [{header: {key: a, value: "1"}}, {header: {key: b, value: "2"}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}]
    request_headers_to_remove: [user-agent]
    receive: [{text: "6f6b"}]
`, func(c *cluster.Config) {
			c.Check = &cluster.Check{
				Timeout: time.Second, Interval: 5 * time.Second, UnhealthyAfter: 2, HealthyAfter: 3, NoReuse: true, NoTraffic: 9 * time.Second, JitterPercent: 10,
				HTTP: &cluster.HTTPCheck{
					Host: "h", Path: "/healthz", Method: "HEAD", HTTP2: true,
					Expected: []cluster.StatusRange{{Start: 200, End: 300}}, Retriable: []cluster.StatusRange{{Start: 503, End: 504}},
					Add: [][2]string{{"a", "1"}}, Set: [][2]string{{"b", "2"}}, Remove: []string{"user-agent"}, Receive: [][]byte{[]byte("ok")},
				},
			}
		}},
		"TCP health check": {`health_checks: [{timeout: 1s, interval: 5s, unhealthy_threshold: 1, healthy_threshold: 1, tcp_health_check: {send: {binary: aGk=}, receive: [{text: "6f6b"}]}}]`, func(c *cluster.Config) {
			c.Check = &cluster.Check{Timeout: time.Second, Interval: 5 * time.Second, UnhealthyAfter: 1, HealthyAfter: 1, TCP: &cluster.TCPCheck{Send: []byte("hi"), Receive: [][]byte{[]byte("ok")}}}
		}},
		"gRPC health check": {`health_checks: [{timeout: 1s, interval: 5s, unhealthy_threshold: 1, healthy_threshold: 1, grpc_health_check: {service_name: s, authority: a, initial_metadata: [{header: {key: k, value: v}}]}}]`, func(c *cluster.Config) {
			c.Check = &cluster.Check{Timeout: time.Second, Interval: 5 * time.Second, UnhealthyAfter: 1, HealthyAfter: 1, GRPC: &cluster.GRPCCheck{Service: "s", Authority: "a", Metadata: [][2]string{{"k", "v"}}}}
		}},
		"older places": {`{protocol_selection: USE_DOWNSTREAM_PROTOCOL, max_requests_per_connection: 5, common_http_protocol_options: {idle_timeout: 1s, max_connection_duration: 9s}}`, func(c *cluster.Config) {
			c.Protocol, c.MaxRequestsPerConnection, c.IdleTimeout, c.MaxConnectionDuration = proxy.UpstreamAsCaller, 5, time.Second, 9*time.Second
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, err := parser().Cluster(named(t, tt.yaml))
			require.NoError(t, err)
			want := &cluster.Config{Name: "c"}
			tt.want(want)
			require.Equal(t, want, c.Config)
		})
	}
}

func named(t *testing.T, yaml string) *clusterv3.Cluster {
	t.Helper()
	m := decode(t, yaml, new(clusterv3.Cluster))
	m.Name = "c"
	return m
}

func TestClusterPartsErrors(t *testing.T) {
	t.Parallel()
	for yaml, want := range map[string]string{
		`{lb_policy: MAGLEV, maglev_lb_config: {table_size: 10}}`:                                   `maglev_lb_config.table_size: 10: must be a prime, at most 5000011`,
		`{lb_policy: RING_HASH, ring_hash_lb_config: {minimum_ring_size: 9, maximum_ring_size: 8}}`: `ring_hash_lb_config.minimum_ring_size: 9: must not be more than maximum_ring_size, 8, and that not more than 8388608`,
		`{type: ORIGINAL_DST}`:                      `lb_policy: ROUND_ROBIN: goes with type ORIGINAL_DST only, which goes with no other`,
		`{lb_policy: LOAD_BALANCING_POLICY_CONFIG}`: `load_balancing_policy: missing`,
		`{load_balancing_policy: {policies: [{typed_extension_config: {name: x, typed_config: {"@type": type.googleapis.com/google.protobuf.Duration, value: 1s}}}]}}`: `load_balancing_policy.policies: none is of a type that is supported`,
		`{type: LOGICAL_DNS}`: `load_assignment: LOGICAL_DNS needs exactly one locality and one endpoint`,
		`{lb_policy: RING_HASH, common_lb_config: {consistent_hashing_lb_config: {use_hostname_for_hashing: true}}}`: `use_hostname_for_hashing: needs type STRICT_DNS, as in Envoy`,
		`{filters: [{name: other}]}`: `filters[0].typed_config: "": not supported`,
		`{upstream_bind_config: {source_address: {address: x, port_value: 0}}}`:                                                                                                                                               `upstream_bind_config.source_address.address: "x": not an IP address`,
		`{health_checks: [{timeout: 1s, interval: 1s, unhealthy_threshold: 1, healthy_threshold: 1, http_health_check: {path: /, expected_statuses: [{start: 300, end: 200}]}}]}`:                                             `health_checks[0].http_health_check.expected_statuses[0]: 300 to 200: must be within 100 to 600, the end not included`,
		`{health_checks: [{timeout: 1s, interval: 1s, unhealthy_threshold: 1, healthy_threshold: 1, tcp_health_check: {send: {text: xy}}}]}`:                                                                                  `health_checks[0].tcp_health_check.send.text: "xy": not hexadecimal`,
		`{health_checks: [{timeout: 1s, interval: 1s, unhealthy_threshold: 1, healthy_threshold: 1, tcp_health_check: {}}, {timeout: 1s, interval: 1s, unhealthy_threshold: 1, healthy_threshold: 1, tcp_health_check: {}}]}`: `health_checks: 2: only one is supported`,
	} {
		_, err := parser().Cluster(named(t, yaml))
		require.Equal(t, []string{want}, lines(t, `cluster "c": `, err), yaml)
	}
}

func TestEndpointParts(t *testing.T) {
	t.Parallel()
	got, err := parser().Endpoints(decode(t, `
cluster_name: c
policy: {overprovisioning_factor: 150, weighted_priority_health: true, drop_overloads: [{category: x, drop_percentage: {numerator: 5}}, {category: z, drop_percentage: {numerator: 5, denominator: TEN_THOUSAND}}]}
endpoints:
- locality: {region: r, zone: z, sub_zone: s}
  priority: 2
  load_balancing_weight: 4
  lb_endpoints:
  - endpoint:
      hostname: h
      address: {socket_address: {address: 10.0.0.1, port_value: 80}}
      health_check_config: {port_value: 81, hostname: k, address: {socket_address: {address: 10.0.0.9, port_value: 0}}, disable_active_health_check: true}
    health_status: TIMEOUT
    metadata: {filter_metadata: {envoy.lb: {hash_key: k}, istio: {workload: x}, envoy.transport_socket_match: {tlsMode: istio}}}
`, new(endpointv3.ClusterLoadAssignment)))
	require.NoError(t, err)
	require.Equal(t, cluster.Load{Overprovisioning: 150, WeightedHealth: true, Drops: []cluster.Drop{{Category: "x", PerMillion: 50_000}, {Category: "z", PerMillion: 500}}}, got.Load)
	require.Equal(t, []cluster.EndpointConfig{{
		Address: "10.0.0.1:80", Hostname: "h", Weight: 1, Health: cluster.HealthTimeout, Priority: 2,
		Locality: cluster.Locality{Region: "r", Zone: "z", SubZone: "s"}, LocalityWeight: 4,
		Metadata: map[string]map[string]any{"envoy.lb": {"hash_key": "k"}, "envoy.transport_socket_match": {"tlsMode": "istio"}},
		Check:    &cluster.EndpointCheck{Address: "10.0.0.9:81", Hostname: "k", Disabled: true},
	}}, got.Endpoints)
}
