//go:build interop

package differential

func headerCases() []Case {
	request := func(add string) Config {
		return Config{Routes: `[{match: {prefix: /}, route: {cluster: a}, request_headers_to_add: [` + add + `]}]`}
	}
	levels := `
  - name: v
    domains: ["*"]
    request_headers_to_add: [{header: {key: x-l, value: host}}, {header: {key: x-o, value: host}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}]
    response_headers_to_add: [{header: {key: x-r, value: host}}, {header: {key: x-ro, value: host}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}]
    request_headers_to_remove: [x-gone-h]
    routes:
    - match: {prefix: /}
      request_headers_to_add: [{header: {key: x-l, value: route}}, {header: {key: x-o, value: route}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}]
      response_headers_to_add: [{header: {key: x-r, value: route}}, {header: {key: x-ro, value: route}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}]
      response_headers_to_remove: [x-upstream]
      route:
        weighted_clusters:
          clusters:
          - name: a
            weight: 1
            request_headers_to_add: [{header: {key: x-l, value: cluster}}, {header: {key: x-o, value: cluster}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}]
            response_headers_to_add: [{header: {key: x-r, value: cluster}}, {header: {key: x-ro, value: cluster}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}]
            request_headers_to_remove: [x-gone-c]
`
	table := `request_headers_to_add: [{header: {key: x-l, value: table}}, {header: {key: x-o, value: table}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}],
response_headers_to_add: [{header: {key: x-r, value: table}}, {header: {key: x-ro, value: table}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}]`
	sent := []Request{{Header: []string{"x-l: caller", "x-o: caller", "x-gone-h: 1", "x-gone-c: 1"}, Play: "set=x-upstream:1 set=x-r:upstream"}}
	return []Case{
		{
			Name: "append actions on requests",
			Config: request(`
{header: {key: X-Append, value: new}},
{header: {key: x-absent, value: new}, append_action: ADD_IF_ABSENT},
{header: {key: x-over, value: new}, append_action: OVERWRITE_IF_EXISTS_OR_ADD},
{header: {key: x-exists, value: new}, append_action: OVERWRITE_IF_EXISTS},
{header: {key: x-old, value: new}, append: false}`),
			Requests: with("", "x-append: o|x-absent: o|x-over: o|x-over: p|x-exists: o|x-old: o"),
		},
		{
			Name: "append actions on responses",
			Config: Config{Routes: `
- match: {prefix: /}
  route: {cluster: a}
  response_headers_to_add:
  - {header: {key: x-append, value: new}}
  - {header: {key: x-absent, value: new}, append_action: ADD_IF_ABSENT}
  - {header: {key: x-over, value: new}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}
  - {header: {key: x-exists, value: new}, append_action: OVERWRITE_IF_EXISTS}
  response_headers_to_remove: [X-Gone, server]
`},
			Requests: []Request{{}, {Play: "set=x-append:o set=x-absent:o set=x-over:o set=x-over:p set=x-exists:o set=x-gone:o set=server:s"}},
		},
		{Name: "removal before addition", Config: Config{Routes: `[{match: {prefix: /}, route: {cluster: a}, request_headers_to_remove: [x-a, X-B], request_headers_to_add: [{header: {key: x-a, value: new}}]}]`}, Requests: with("x-a: old|x-b: old|x-c: stays", "")},
		{Name: "all levels", Config: Config{Table: `{` + table + `}`, VirtualHosts: levels}, Requests: sent},
		{Name: "all levels, the most specific last", Config: Config{Table: `{most_specific_header_mutations_wins: true, ` + table + `}`, VirtualHosts: levels}, Requests: sent},
		{
			Name: "format strings in requests",
			Config: request(`
{header: {key: x-literal, value: "100%%"}},
{header: {key: x-host, value: "%REQ(:AUTHORITY)%"}},
{header: {key: x-path, value: "%REQ(:PATH)%"}},
{header: {key: x-method, value: "%REQ(:METHOD)%"}},
{header: {key: x-proto, value: "%PROTOCOL%"}},
{header: {key: x-both, value: "a-%REQ(x-a)%-b"}},
{header: {key: x-alt, value: "%REQ(x-none?x-a):2%"}},
{header: {key: x-none2, value: "%REQ(x-none)%"}},
{header: {key: x-kept, value: "%REQ(x-none)%"}, keep_empty_value: true},
{header: {key: x-peer, value: "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%"}},
{header: {key: x-local, value: "%DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT%"}},
{header: {key: x-meta, value: "[%DYNAMIC_METADATA(a:b)%]"}}`),
			Requests: []Request{{Path: "/p?q", Header: []string{"x-a: abc"}}, {Path: "/p", HTTP2: true, Header: []string{"x-a: abc"}}, {Path: "/"}},
		},
		{
			Name: "format strings in responses",
			Config: Config{Routes: `
- name: r1
  match: {prefix: /}
  route: {cluster: a}
  response_headers_to_add:
  - {header: {key: x-code, value: "%RESPONSE_CODE%"}}
  - {header: {key: x-req, value: "%REQ(x-a)%"}}
  - {header: {key: x-resp, value: "%RESP(x-endpoint)%"}}
  - {header: {key: x-cluster, value: "%UPSTREAM_CLUSTER%"}}
  - {header: {key: x-route, value: "%ROUTE_NAME%"}}
`},
			Requests: []Request{{Header: []string{"x-a: abc"}}, {Play: "status=404"}},
		},
		{Name: "responses that the proxy makes", Config: Config{Routes: `
- {match: {prefix: /direct}, direct_response: {status: 200, body: {inline_string: x}}, response_headers_to_add: [{header: {key: x-r, value: r}}]}
- {match: {prefix: /redirect}, redirect: {path_redirect: /}, response_headers_to_add: [{header: {key: x-r, value: r}}]}
- {match: {prefix: /empty}, route: {cluster: empty}, response_headers_to_add: [{header: {key: x-r, value: "%RESPONSE_CODE%"}}]}
- {match: {prefix: /nobody}, route: {cluster: nobody}, response_headers_to_add: [{header: {key: x-r, value: r}}]}
`, Table: `{validate_clusters: false}`}, Requests: get("/direct", "/redirect", "/empty", "/nobody"), Allow: []string{"code of own answers"}},
		{Name: "attempt counts", Config: Config{VirtualHosts: `[{name: v, domains: ["*"], include_request_attempt_count: true, include_attempt_count_in_response: true, routes: [{match: {prefix: /}, route: {cluster: a, retry_policy: {retry_on: 5xx, num_retries: 2}}}]}]`}, Requests: []Request{{}, {Play: "status=503 first=1"}, {Play: "status=503"}}},
		{Name: "fields of one connection do not go on", Config: Config{Routes: `[{match: {prefix: /}, route: {cluster: a}}]`}, Requests: with("keep-alive: timeout=5", "proxy-connection: x", "te: trailers", "te: gzip")},
	}
}
