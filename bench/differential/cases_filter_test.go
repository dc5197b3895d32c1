//go:build interop

package differential

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// filtered routes everything to a, behind one filter.
func filtered(name, kind, config string) Config {
	return Config{Routes: toA, Filters: filter(name, kind, config)}
}

func filter(name, kind, config string) string {
	return `[{name: ` + name + `, typed_config: {'@type': type.googleapis.com/envoy.extensions.filters.http.` + kind + `, ` + config + `}}]`
}

func rbacRules(rules string) Config { return filtered("rbac", "rbac.v3.RBAC", `rules: {`+rules+`}`) }

func filterCases() []Case {
	anybody := `principals: [{any: true}]`
	anything := `permissions: [{any: true}]`
	cors := func(policy string) Config {
		return Config{
			Filters: filter("cors", "cors.v3.Cors", ""),
			Routes:  `[{match: {prefix: /}, route: {cluster: a}, typed_per_filter_config: {cors: {'@type': type.googleapis.com/envoy.extensions.filters.http.cors.v3.CorsPolicy, ` + policy + `}}}]`,
		}
	}
	preflight := func(origin string, more ...string) Request {
		return Request{Method: "OPTIONS", Header: append([]string{"origin: " + origin, "access-control-request-method: POST"}, more...)}
	}
	return []Case{
		{Name: "rbac allows by path and method", Config: rbacRules(`policies: {p: {permissions: [{and_rules: {rules: [{header: {name: ":method", string_match: {exact: POST}}}, {url_path: {path: {prefix: /v1/}}}]}}], ` + anybody + `}}`), Requests: []Request{{Method: "POST", Path: "/v1/x", Body: "x"}, {Path: "/v1/x"}, {Method: "POST", Path: "/v2", Body: "x"}, {Method: "POST", Path: "/v1/?a", Body: "x"}}},
		{Name: "rbac denies", Config: rbacRules(`action: DENY, policies: {p: {permissions: [{url_path: {path: {exact: /secret}}}], ` + anybody + `}}`), Requests: get("/secret", "/secret?x", "/secret/", "/open")},
		{Name: "rbac logs", Config: rbacRules(`action: LOG, policies: {p: {` + anything + `, ` + anybody + `}}`), Requests: get("/")},
		{Name: "rbac without policies allows nobody", Config: rbacRules(`policies: {}`), Requests: get("/")},
		{Name: "rbac without rules", Config: filtered("rbac", "rbac.v3.RBAC", ""), Requests: get("/")},
		{Name: "rbac by header, not, or", Config: rbacRules(`policies: {p: {permissions: [{or_rules: {rules: [{header: {name: x-a, string_match: {exact: "1"}}}, {not_rule: {header: {name: x-b, present_match: true}}}]}}], ` + anybody + `}}`), Requests: with("", "x-b: 1", "x-a: 1|x-b: 1", "x-a: 2")},
		{Name: "rbac by port and address", Config: rbacRules(`policies: {p: {permissions: [{destination_ip: {address_prefix: 127.0.0.0, prefix_len: 8}}], principals: [{direct_remote_ip: {address_prefix: 127.0.0.1, prefix_len: 32}}]}}`), Requests: get("/")},
		{Name: "rbac by another port", Config: rbacRules(`policies: {p: {permissions: [{destination_port: 1}], ` + anybody + `}}`), Requests: get("/")},
		{Name: "rbac by the caller's address", Config: rbacRules(`policies: {p: {` + anything + `, principals: [{remote_ip: {address_prefix: 10.0.0.0, prefix_len: 8}}]}}`), Requests: with("x-forwarded-for: 10.1.2.3", "x-forwarded-for: 11.1.2.3", "")},
		{Name: "rbac by certificate, in cleartext", Config: rbacRules(`policies: {p: {` + anything + `, principals: [{authenticated: {principal_name: {exact: "spiffe://a/b"}}}]}}`), Requests: get("/")},
		{Name: "rbac by any certificate, in cleartext", Config: rbacRules(`policies: {p: {` + anything + `, principals: [{authenticated: {}}]}}`), Requests: get("/")},
		{Name: "rbac by principals, and, not", Config: rbacRules(`policies: {p: {` + anything + `, principals: [{and_ids: {ids: [{header: {name: x-a, present_match: true}}, {not_id: {header: {name: x-b, present_match: true}}}]}}, {or_ids: {ids: [{url_path: {path: {exact: /open}}}]}}]}}`), Requests: append(with("", "x-a: 1", "x-a: 1|x-b: 1"), Request{Path: "/open"})},
		{Name: "rbac in the shadow", Config: filtered("rbac", "rbac.v3.RBAC", `shadow_rules: {action: DENY, policies: {p: {`+anything+`, `+anybody+`}}}, shadow_rules_stat_prefix: s`), Requests: get("/")},
		{
			Name: "rbac by route",
			Config: Config{Filters: filter("rbac", "rbac.v3.RBAC", `rules: {action: DENY, policies: {p: {`+anything+`, `+anybody+`}}}`), Routes: `
- match: {prefix: /off}
  route: {cluster: a}
  typed_per_filter_config: {rbac: {'@type': type.googleapis.com/envoy.config.route.v3.FilterConfig, disabled: true}}
- match: {prefix: /empty}
  route: {cluster: a}
  typed_per_filter_config: {rbac: {'@type': type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBACPerRoute}}
- match: {prefix: /own}
  route: {cluster: a}
  typed_per_filter_config: {rbac: {'@type': type.googleapis.com/envoy.config.route.v3.FilterConfig, config: {'@type': type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBACPerRoute, rbac: {rules: {policies: {p: {permissions: [{url_path: {path: {exact: /own/ok}}}], principals: [{any: true}]}}}}}}}
- match: {prefix: /}
  route: {cluster: a}
`},
			Requests: get("/off", "/empty", "/own/ok", "/own/no", "/"),
		},
		{Name: "fault abort", Config: filtered("fault", "fault.v3.HTTPFault", `abort: {http_status: 418, percentage: {numerator: 100}}`), Requests: []Request{{}, {Method: "POST", Body: "x"}}},
		{Name: "fault abort of none", Config: filtered("fault", "fault.v3.HTTPFault", `abort: {http_status: 418, percentage: {numerator: 0}}`), Requests: []Request{{Times: 10}}},
		{Name: "fault abort without a percentage", Config: filtered("fault", "fault.v3.HTTPFault", `abort: {http_status: 418}`), Requests: []Request{{Times: 5}}},
		{Name: "fault abort of gRPC status", Config: filtered("fault", "fault.v3.HTTPFault", `abort: {grpc_status: 14, percentage: {numerator: 100}}`), Requests: []Request{{}, {Method: "POST", HTTP2: true, Header: []string{"content-type: application/grpc"}}}},
		{Name: "fault abort by header", Config: filtered("fault", "fault.v3.HTTPFault", `abort: {header_abort: {}, percentage: {numerator: 100}}`), Requests: with("x-envoy-fault-abort-request: 503", "", "x-envoy-fault-abort-request: 7", "x-envoy-fault-abort-request: 503|x-envoy-fault-abort-request-percentage: 0")},
		{Name: "fault delay", Config: filtered("fault", "fault.v3.HTTPFault", `delay: {fixed_delay: 0.4s, percentage: {numerator: 100}}`), Requests: []Request{{Borders: borders(350, 3000)}}},
		{Name: "fault delay by header", Config: filtered("fault", "fault.v3.HTTPFault", `delay: {header_delay: {}, percentage: {numerator: 100}}`), Requests: []Request{{Header: []string{"x-envoy-fault-delay-request: 1500"}, Borders: borders(1300, 6000)}, {Borders: borders(1300)}}},
		{Name: "fault for some requests", Config: filtered("fault", "fault.v3.HTTPFault", `headers: [{name: x-a, string_match: {exact: "1"}}], upstream_cluster: a, abort: {http_status: 503, percentage: {numerator: 100}}`), Requests: with("x-a: 1", "x-a: 2", "")},
		{Name: "fault for another cluster", Config: filtered("fault", "fault.v3.HTTPFault", `upstream_cluster: b, abort: {http_status: 503, percentage: {numerator: 100}}`), Requests: get("/")},
		{Name: "fault of a share", Config: filtered("fault", "fault.v3.HTTPFault", `abort: {http_status: 503, percentage: {numerator: 300000, denominator: MILLION}}`), Each: func(t *testing.T, s *side) any {
			t.Helper()
			aborted := 0
			for range 400 {
				a, err := s.send(t.Context(), &Request{})
				require.NoError(t, err)
				if a.Status == 503 {
					aborted++
				}
			}
			require.InDelta(t, 120, aborted, 32, s.name) // 3.5 sigma
			return nil
		}},
		{Name: "cors", Config: cors(`allow_origin_string_match: [{exact: "https://a.test"}, {suffix: .b.test}], allow_methods: "GET, POST", allow_headers: x-a, expose_headers: x-b, max_age: "600", allow_credentials: true`), Requests: []Request{
			{Header: []string{"origin: https://a.test"}},
			{Header: []string{"origin: https://x.b.test"}},
			{Header: []string{"origin: https://no.test"}},
			{},
			preflight("https://a.test"), preflight("https://no.test"),
			{Method: "OPTIONS", Header: []string{"origin: https://a.test"}},
			{Header: []string{"origin: https://a.test"}, Play: "set=access-control-allow-origin:* set=access-control-expose-headers:x-c"},
		}},
		{Name: "cors of any origin", Config: cors(`allow_origin_string_match: [{safe_regex: {regex: ".*"}}], allow_methods: GET`), Requests: []Request{{Header: []string{"origin: x"}}, preflight("x")}},
		{Name: "cors refuses by itself", Config: cors(`allow_origin_string_match: [{exact: a}], forward_not_matching_preflights: false`), Requests: []Request{preflight("b"), preflight("a"), {Header: []string{"origin: b"}}}},
		{Name: "cors disabled", Config: cors(`allow_origin_string_match: [{exact: a}], filter_enabled: {default_value: {numerator: 0}}`), Requests: []Request{preflight("a"), {Header: []string{"origin: a"}}}},
		{Name: "cors without a policy", Config: filtered("cors", "cors.v3.Cors", ""), Requests: []Request{preflight("a")}},
		{
			Name: "header mutation in the chain and by route",
			Config: Config{
				Filters: filter("hm", "header_mutation.v3.HeaderMutation", `mutations: {request_mutations: [{append: {header: {key: x-chain, value: "%REQ(:PATH)%"}}}, {remove: x-gone}, {remove_on_match: {key_matcher: {prefix: x-many}}}], response_mutations: [{append: {header: {key: x-out, value: chain}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}}, {remove: x-secret}]}`),
				VirtualHosts: `
- name: v
  domains: ["*"]
  typed_per_filter_config: {hm: {'@type': type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutationPerRoute, mutations: {request_mutations: [{append: {header: {key: x-chain, value: host}}}], response_mutations: [{append: {header: {key: x-out, value: host}}}]}}}
  routes:
  - match: {prefix: /r}
    route: {cluster: a}
    typed_per_filter_config: {hm: {'@type': type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutationPerRoute, mutations: {request_mutations: [{append: {header: {key: x-chain, value: route}}}], response_mutations: [{append: {header: {key: x-out, value: route}}}]}}}
  - {match: {prefix: /direct}, direct_response: {status: 200}}
  - {match: {prefix: /}, route: {cluster: a}}
`,
			},
			Requests: []Request{{Path: "/", Header: []string{"x-gone: 1", "x-many-a: 1", "x-many-b: 2"}, Play: "set=x-secret:1 set=x-out:own"}, {Path: "/r"}, {Path: "/direct"}},
		},
		{Name: "local rate limit", Config: filtered("limit", "local_ratelimit.v3.LocalRateLimit", `stat_prefix: l, token_bucket: {max_tokens: 3, fill_interval: 60s}, filter_enabled: {default_value: {numerator: 100}}, filter_enforced: {default_value: {numerator: 100}}, response_headers_to_add: [{header: {key: x-limited, value: "yes"}}]`), Requests: []Request{{Times: 5}}},
		{Name: "local rate limit of another status", Config: filtered("limit", "local_ratelimit.v3.LocalRateLimit", `stat_prefix: l, status: {code: ServiceUnavailable}, token_bucket: {max_tokens: 1, fill_interval: 60s}, filter_enabled: {default_value: {numerator: 100}}, filter_enforced: {default_value: {numerator: 100}}`), Requests: []Request{{Times: 3}}},
		{Name: "local rate limit not enforced", Config: filtered("limit", "local_ratelimit.v3.LocalRateLimit", `stat_prefix: l, token_bucket: {max_tokens: 1, fill_interval: 60s}, filter_enabled: {default_value: {numerator: 100}}, request_headers_to_add_when_not_enforced: [{header: {key: x-over, value: "yes"}}]`), Requests: []Request{{Times: 3}}},
		{Name: "local rate limit disabled", Config: filtered("limit", "local_ratelimit.v3.LocalRateLimit", `stat_prefix: l, token_bucket: {max_tokens: 1, fill_interval: 60s}`), Requests: []Request{{Times: 3}}},
		{Name: "health checks", Config: filtered("hc", "health_check.v3.HealthCheck", `pass_through_mode: false, headers: [{name: ":path", string_match: {exact: /healthz}}], cluster_min_healthy_percentages: {a: {value: 50}}`), Requests: get("/healthz", "/"), Allow: []string{"x-envoy headers"}},
		{Name: "health checks of a cluster without endpoints", Config: filtered("hc", "health_check.v3.HealthCheck", `pass_through_mode: false, headers: [{name: ":path", string_match: {exact: /healthz}}], cluster_min_healthy_percentages: {empty: {value: 50}}`), Requests: get("/healthz"), Allow: []string{"x-envoy headers"}},
		{Name: "a filter that is disabled", Config: Config{Routes: toA, Filters: `[{name: f, disabled: true, typed_config: {'@type': type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault, abort: {http_status: 503, percentage: {numerator: 100}}}}]`}, Requests: get("/")},
		{Name: "grpc_stats and compressor", Config: Config{Routes: toA, Filters: `[{name: s, typed_config: {'@type': type.googleapis.com/envoy.extensions.filters.http.grpc_stats.v3.FilterConfig}}]`}, Requests: get("/")},
		{Name: "an unknown filter that is optional", Config: Config{Routes: toA, Filters: `[{name: f, is_optional: true, typed_config: {'@type': type.googleapis.com/xds.type.v3.TypedStruct, type_url: type.googleapis.com/no.such.Filter}}]`}, Requests: get("/")},
	}
}
