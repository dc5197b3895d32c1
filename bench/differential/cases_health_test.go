//go:build interop

package differential

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// retried is a cluster whose route retries.
func retried(fields string) Config {
	c := pick(fields, group("", member("a")))
	c.Routes = strings.Replace(c.Routes, "hash_policy: [{header: {header_name: key}}]", "retry_policy: {retry_on: 5xx, num_retries: 1}", 1)
	return c
}

func limitCases() []Case {
	slow := Request{Play: "delay=2s"}
	one := group("", member("a"))
	return []Case{
		{Name: "one request at once", Config: pick("circuit_breakers: {thresholds: [{max_requests: 1}]},", one), Each: together(3, slow)},
		{Name: "two requests of high priority", Config: func() Config {
			c := pick("circuit_breakers: {thresholds: [{max_requests: 1}, {priority: HIGH, max_requests: 2}]},", one)
			c.Routes = strings.Replace(c.Routes, "hash_policy:", "priority: HIGH, hash_policy:", 1)
			return c
		}(), Each: together(4, slow)},
		{Name: "the answer of a full cluster", Config: pick("circuit_breakers: {thresholds: [{max_requests: 0}]},", one), Requests: []Request{{}}},
		{Name: "one connection, none waiting", Config: pick("circuit_breakers: {thresholds: [{max_connections: 1, max_pending_requests: 1}]},", one), Each: together(4, slow)},
		{Name: "no retry at once", Config: retried("circuit_breakers: {thresholds: [{max_retries: 0}]},"), Requests: []Request{{Play: "status=503 first=1"}}},
		{Name: "a retry in the budget", Config: retried("circuit_breakers: {thresholds: [{retry_budget: {budget_percent: {value: 100}, min_retry_concurrency: 1}}]},"), Requests: []Request{{Play: "status=503 first=1"}}},
		{Name: "no retry in the budget", Config: retried("circuit_breakers: {thresholds: [{retry_budget: {budget_percent: {value: 0}, min_retry_concurrency: 0}}]},"), Requests: []Request{{Play: "status=503 first=1"}}},
	}
}

func outlierCases() []Case {
	two := group("", member("a"), member("b"))
	fail := func(play string, n int, then func(t *testing.T, s *side) any) func(t *testing.T, s *side) any {
		return func(t *testing.T, s *side) any {
			t.Helper()
			for range n {
				reached(t, s, &Request{Play: play})
			}
			return then(t, s)
		}
	}
	detect := func(more string) string {
		return "outlier_detection: {interval: 60s, max_ejection_percent: 100, " + more + "}, common_lb_config: {healthy_panic_threshold: {value: 0}, update_merge_window: 0s},"
	}
	return []Case{
		{Name: "ejected after 5xx in a row", Config: pick(detect("consecutive_5xx: 3"), two), Each: fail("status=500 at=a", 8, until("b"))},
		{Name: "not ejected before", Config: pick(detect("consecutive_5xx: 3"), two), Each: fail("status=500 at=a", 4, who(10))},
		{Name: "a success starts anew", Config: pick(detect("consecutive_5xx: 3"), two), Each: func(t *testing.T, s *side) any {
			for range 3 {
				fail("status=500 at=a", 4, who(2))(t, s)
			}
			return who(10)(t, s)
		}},
		{Name: "not enforced", Config: pick(detect("consecutive_5xx: 3, enforcing_consecutive_5xx: 0"), two), Each: fail("status=500 at=a", 8, who(10))},
		{Name: "gateway failures", Config: pick(detect("consecutive_5xx: 100, consecutive_gateway_failure: 2, enforcing_consecutive_gateway_failure: 100"), two), Each: fail("status=503 at=a", 6, until("b"))},
		{Name: "a 500 is no gateway failure", Config: pick(detect("consecutive_5xx: 100, consecutive_gateway_failure: 2, enforcing_consecutive_gateway_failure: 100"), two), Each: fail("status=500 at=a", 6, who(10))},
		{Name: "connection failures", Config: pick(detect("consecutive_5xx: 3"), group("", member("gone"), member("b"))), Each: fail("", 8, until("b")), Allow: nil},
		{Name: "local failures apart", Config: pick(detect("consecutive_5xx: 3, split_external_local_origin_errors: true, consecutive_local_origin_failure: 2"), two), Each: fail("abort at=a", 8, who(10))},
		{Name: "all ejected", Config: pick(detect("consecutive_5xx: 2"), two), Each: fail("status=500", 8, until("503"))},
		{Name: "all but one ejected", Config: pick("outlier_detection: {interval: 60s, consecutive_5xx: 2, max_ejection_percent: 67}, common_lb_config: {healthy_panic_threshold: {value: 0}, update_merge_window: 0s},", group("", member("a"), member("b"), member("c"))), Each: fail("status=500", 20, untilOne)},
		{Name: "too few may be ejected", Config: pick("outlier_detection: {interval: 60s, consecutive_5xx: 2},", two), Each: fail("status=500 at=a", 8, who(10))},
		{Name: "one may be ejected always", Config: pick("outlier_detection: {interval: 60s, consecutive_5xx: 2, always_eject_one_host: true}, common_lb_config: {healthy_panic_threshold: {value: 0}, update_merge_window: 0s},", two), Each: fail("status=500 at=a", 8, until("b"))},
		{
			Name: "ejected and back again", Config: pick("outlier_detection: {interval: 0.2s, base_ejection_time: 0.5s, max_ejection_percent: 100, consecutive_5xx: 2}, common_lb_config: {healthy_panic_threshold: {value: 0}, update_merge_window: 0s},", two),
			Each: fail("status=500 at=a", 6, until("a", "b")),
		},
		{Name: "failure percentage", Config: pick("outlier_detection: {interval: 0.5s, max_ejection_percent: 100, consecutive_5xx: 1000, enforcing_success_rate: 0, failure_percentage_threshold: 60, enforcing_failure_percentage: 100, failure_percentage_minimum_hosts: 2, failure_percentage_request_volume: 3}, common_lb_config: {healthy_panic_threshold: {value: 0}, update_merge_window: 0s},",
			group("", member("a"), member("b"), member("c"))), Each: fail("status=500 at=a", 30, until("b", "c"))},
		{Name: "success rate", Config: pick("outlier_detection: {interval: 0.5s, max_ejection_percent: 100, consecutive_5xx: 1000, success_rate_minimum_hosts: 3, success_rate_request_volume: 5, success_rate_stdev_factor: 1000}, common_lb_config: {healthy_panic_threshold: {value: 0}, update_merge_window: 0s},",
			group("", member("a"), member("b"), member("c"), member("d"))), Each: fail("status=500 at=a", 60, until("b", "c", "d"))},
	}
}

func checkCases() []Case {
	check := func(what string) string {
		return "common_lb_config: {healthy_panic_threshold: {value: 0}, update_merge_window: 0s}, health_checks: [{timeout: 1s, interval: 0.2s, no_traffic_interval: 0.2s, unhealthy_threshold: 1, healthy_threshold: 1, " + what + "}],"
	}
	some := group("", member("a"), member("gone"), member("b"))
	var cases []Case
	for name, what := range map[string]string{
		"HTTP":                        "http_health_check: {path: /healthz}",
		"HTTP/2":                      "http_health_check: {path: /healthz, codec_client_type: HTTP2}",
		"HTTP, other statuses":        "http_health_check: {path: /healthz, expected_statuses: [{start: 201, end: 300}]}",
		"HTTP, the status of success": "http_health_check: {path: /healthz, expected_statuses: [{start: 200, end: 300}]}",
		"HTTP, by a word":             "http_health_check: {path: /healthz, receive: [{text: '61'}]}",
		"TCP":                         "tcp_health_check: {}",
		"TCP, with words":             "tcp_health_check: {send: {text: '474554202f20485454502f312e310d0a686f73743a20780d0a0d0a'}, receive: [{text: '485454502f312e31'}]}",
		"gRPC, which nobody speaks":   "grpc_health_check: {service_name: x}",
	} {
		fields := check(what)
		if strings.HasPrefix(name, "gRPC") { // Envoy asks for it
			fields = "http2_protocol_options: {}, " + fields
		}
		cases = append(cases, Case{Name: "health check: " + name, Config: pick(fields, some), Each: settled(who(20))})
	}
	return append(cases,
		Case{Name: "health check at another port", Config: pick(check("http_health_check: {path: /}"), group("",
			`{endpoint: {health_check_config: {port_value: "${gone}"}, address: {socket_address: {address: 127.0.0.1, port_value: "${a}"}}}}`, member("b"))), Each: settled(who(20))},
		Case{Name: "health check disabled for one", Config: pick(check("http_health_check: {path: /, expected_statuses: [{start: 201, end: 202}]}"), group("",
			`{endpoint: {health_check_config: {disable_active_health_check: true}, address: {socket_address: {address: 127.0.0.1, port_value: "${a}"}}}}`, member("b"))), Each: settled(who(20))},
		Case{Name: "an endpoint removed although it is healthy", Config: discovered("removal", check("http_health_check: {path: /}"), "", group("", member("a"), member("b"))), Each: settled(who(20)), Then: []Step{
			{Config: discovered("removal", check("http_health_check: {path: /}"), "", group("", member("b"))), Each: settled(who(20))},
		}},
		Case{Name: "an endpoint removed whatever its health", Config: discovered("removal-at-once", "ignore_health_on_host_removal: true, "+check("http_health_check: {path: /}"), "", group("", member("a"), member("b"))), Each: settled(who(20)), Then: []Step{
			{Config: discovered("removal-at-once", "ignore_health_on_host_removal: true, "+check("http_health_check: {path: /}"), "", group("", member("b"))), Each: settled(who(20))},
		}},
	)
}

// settled lets health checks have their say first.
func settled(then func(t *testing.T, s *side) any) func(t *testing.T, s *side) any {
	return func(t *testing.T, s *side) any {
		t.Helper()
		time.Sleep(600 * time.Millisecond)
		return then(t, s)
	}
}

func discoveryCases() []Case {
	named := func(fields, host, port string) Config {
		at := `{endpoint: {address: {socket_address: {address: ` + host + `, port_value: "${` + port + `}"}}}}`
		if !strings.Contains(fields, "cluster_type") {
			fields = "dns_lookup_family: V4_ONLY, " + fields
		}
		return pick(fields, group("", at))
	}
	original := pick("")
	original.Routes = to("original")
	original.Clusters = `[{name: original, connect_timeout: 1s, type: ORIGINAL_DST, lb_policy: CLUSTER_PROVIDED, original_dst_lb_config: {use_http_header: true}}]`
	// In the place of a good one: of a new one that it refuses, Envoy 1.40 says so in its
	// log only, and then takes no cluster any more.
	bad := func(name, fields string, endpoints ...string) Case {
		x := fmt.Sprint("x", fresh.Add(1))
		good, wrong := static(x, "", group("", member("a"))), static(x, fields, group("", endpoints...))
		return Case{Name: "refused: " + name, Config: Config{Routes: to(x), Clusters: "[" + good + "]"}, Requests: []Request{{}}, Then: []Step{{
			Config:  Config{Routes: to(x), Clusters: "[" + wrong + "]"},
			Refused: clusterURL, Requests: []Request{{}},
		}}}
	}
	return []Case{
		{Name: "STRICT_DNS", Config: named("type: STRICT_DNS,", "localhost", "a"), Requests: []Request{{}}},
		{Name: "STRICT_DNS of an address", Config: named("type: STRICT_DNS,", "127.0.0.1", "a"), Requests: []Request{{}}},
		{Name: "STRICT_DNS of nobody", Config: named("type: STRICT_DNS,", "nobody.invalid", "a"), Requests: []Request{{}}},
		{Name: "LOGICAL_DNS", Config: named("type: LOGICAL_DNS,", "localhost", "b"), Requests: []Request{{}}},
		{Name: "a typed DNS cluster", Config: named(`cluster_type: {name: envoy.cluster.dns, typed_config: {"@type": type.googleapis.com/envoy.extensions.clusters.dns.v3.DnsCluster, dns_lookup_family: V4_ONLY}},`, "localhost", "c"), Requests: []Request{{}}},
		{Name: "ORIGINAL_DST by header", Config: original, Each: func(t *testing.T, s *side) any {
			t.Helper()
			var got []string
			for _, to := range []string{"127.0.0.1:${a}", "127.0.0.1:${b}", "127.0.0.1:${a}", "nonsense", ""} {
				r := &Request{}
				if to != "" {
					r.Header = []string{"x-envoy-original-dst-host: " + s.stage.fill(to)}
				}
				got = append(got, reached(t, s, r))
			}
			return got[:4]
		}},
		{Name: "connects from another address", Config: pick("upstream_bind_config: {source_address: {address: 127.0.0.6, port_value: 0}},", group("", member("a"))), Requests: []Request{{}}},
		bad("a table that is no prime", "lb_policy: MAGLEV, maglev_lb_config: {table_size: 1000},", member("a")),
		bad("a ring smaller than its least size", "lb_policy: RING_HASH, ring_hash_lb_config: {minimum_ring_size: 20, maximum_ring_size: 10},", member("a")),
		bad("CLUSTER_PROVIDED that is not", "lb_policy: CLUSTER_PROVIDED,", member("a")),
		bad("two health checks", "health_checks: [{timeout: 1s, interval: 1s, unhealthy_threshold: 1, healthy_threshold: 1, tcp_health_check: {}}, {timeout: 1s, interval: 1s, unhealthy_threshold: 1, healthy_threshold: 1, tcp_health_check: {}}],", member("a")),
		bad("two endpoints of a logical name", "type: LOGICAL_DNS,", member("a"), member("b")),
		bad("a STATIC name", "", strings.Replace(member("a"), "127.0.0.1", "localhost", 1)),
	}
}
