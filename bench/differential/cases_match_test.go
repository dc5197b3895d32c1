//go:build interop

package differential

import "strings"

// get asks for paths.
func get(paths ...string) (requests []Request) {
	for _, p := range paths {
		requests = append(requests, Request{Path: p})
	}
	return requests
}

// with asks for "/" with headers, one request for each; lines of one are parted by "|".
func with(headers ...string) (requests []Request) {
	for _, h := range headers {
		r := Request{}
		if h != "" {
			r.Header = strings.Split(h, "|")
		}
		requests = append(requests, r)
	}
	return requests
}

// matching has a route with a match to a, and all else to b.
func matching(match string) Config {
	return Config{Routes: `
- match: {` + match + `}
  route: {cluster: a}
- match: {prefix: /}
  route: {cluster: b}
`}
}

func matchCases() []Case {
	return []Case{
		{
			Name: "the first route that matches wins",
			Config: Config{Routes: `
- match: {prefix: /a}
  route: {cluster: a}
- match: {path: /b}
  route: {cluster: b}
- match: {path: /a/never}
  route: {cluster: d}
- match: {prefix: /}
  route: {cluster: c}
`},
			Requests: []Request{
				{Path: "/a"},
				{Path: "/ab?x=1"},
				{Path: "/a/never"},
				{Path: "/b"},
				{Path: "/b/"},
				{Path: "/b?x"},
				{Path: "/", HTTP2: true},
				{Method: "POST", Path: "/x", Body: "hello"},
			},
		},
		{Name: "no route", Config: Config{Routes: `[{match: {prefix: /a}, route: {cluster: a}}]`}, Requests: get("/b", "/A", "/")},
		{
			Name: "domains: exact, suffix, prefix, any",
			Config: Config{VirtualHosts: `
- {name: exact, domains: [api.test, "api.test:8080"], routes: [{match: {prefix: /}, route: {cluster: a}}]}
- {name: suffix, domains: ["*.test", "*-x.y.test"], routes: [{match: {prefix: /}, route: {cluster: b}}]}
- {name: prefix, domains: ["api.*"], routes: [{match: {prefix: /}, route: {cluster: c}}]}
- {name: any, domains: ["*"], routes: [{match: {prefix: /only}, route: {cluster: d}}]}
`},
			Requests: []Request{
				{Host: "api.test"},
				{Host: "API.Test"},
				{Host: "api.test:8080"},
				{Host: "api.test:81"},
				{Host: "b.test"},
				{Host: "z-x.y.test"},
				{Host: ".test"},
				{Host: "api.net"},
				{Host: "api."},
				{Host: "other", Path: "/only"},
				{Host: "other"},
			},
		},
		{
			Name: "domains without the port",
			Config: Config{Table: `{ignore_port_in_host_matching: true}`, VirtualHosts: `
- {name: exact, domains: [api.test], routes: [{match: {prefix: /}, route: {cluster: a}}]}
- {name: any, domains: ["*"], routes: [{match: {prefix: /}, route: {cluster: b}}]}
`},
			Requests: []Request{{Host: "api.test"}, {Host: "api.test:81"}, {Host: "[::1]:81"}, {Host: "api.test.:81"}},
		},
		{Name: "path in any case", Config: matching(`path: /Abc, case_sensitive: false`), Requests: get("/abc", "/ABC?x", "/abc/", "/abcd")},
		{Name: "prefix in any case", Config: matching(`prefix: /Abc, case_sensitive: false`), Requests: get("/abc", "/ABCd", "/ab")},
		{Name: "path separated prefix", Config: matching(`path_separated_prefix: /v1/x`), Requests: get("/v1/x", "/v1/x/", "/v1/x/y", "/v1/xy", "/v1/x?y", "/V1/x", "/v1")},
		{Name: "path separated prefix in any case", Config: matching(`path_separated_prefix: /v1/x, case_sensitive: false`), Requests: get("/V1/X", "/V1/X/y", "/V1/Xy")},
		{Name: "regex of the whole path", Config: matching(`safe_regex: {regex: "/v[0-9]+/(a|ab)"}`), Requests: get("/v1/a", "/v12/ab", "/v1/abc", "/x/v1/a", "/v1/a?b")},
		{
			Name:     "headers: exact, prefix, suffix, contains, regex",
			Config:   Config{Routes: headerRoutes("string_match: {exact: one}", "string_match: {prefix: pre}", "string_match: {suffix: post}", "string_match: {contains: mid}", "string_match: {safe_regex: {regex: 'r[0-9]+'}}")},
			Requests: with("x-a: one", "x-a: One", "x-a: prefix", "x-a: thepost", "x-a: amidb", "x-a: r12", "x-a: r12x", "", "x-a: "),
		},
		{
			Name:     "headers in any case",
			Config:   Config{Routes: headerRoutes("string_match: {exact: One, ignore_case: true}", "string_match: {prefix: Pre, ignore_case: true}", "string_match: {suffix: Post, ignore_case: true}", "string_match: {contains: Mid, ignore_case: true}")},
			Requests: with("x-a: ONE", "X-A: preFIX", "x-A: thepost", "x-a: aMIDb"),
		},
		{Name: "a header is there", Config: matching(`prefix: /, headers: [{name: X-A, present_match: true}]`), Requests: with("", "x-a: 1", "x-a: ", "x-b: 1")},
		{Name: "a header is not there", Config: matching(`prefix: /, headers: [{name: x-a, present_match: false}]`), Requests: with("", "x-a: 1")},
		{Name: "a header by its name only", Config: matching(`prefix: /, headers: [{name: x-a}]`), Requests: with("", "x-a: 1")},
		{Name: "a header inverted", Config: matching(`prefix: /, headers: [{name: x-a, string_match: {exact: "1"}, invert_match: true}]`), Requests: with("", "x-a: 1", "x-a: 2")},
		{Name: "a missing header as empty, inverted", Config: matching(`prefix: /, headers: [{name: x-a, string_match: {exact: "1"}, invert_match: true, treat_missing_header_as_empty: true}]`), Requests: with("", "x-a: 1", "x-a: 2")},
		{Name: "a missing header as empty", Config: matching(`prefix: /, headers: [{name: x-a, string_match: {exact: ""}, treat_missing_header_as_empty: true}]`), Requests: with("", "x-a: 1")},
		{Name: "a header's number", Config: matching(`prefix: /, headers: [{name: x-a, range_match: {start: -5, end: 10}}]`), Requests: with("", "x-a: -5", "x-a: 9", "x-a: 10", "x-a: 1.5", "x-a: a", "x-a: -6")},
		{Name: "a header's number inverted", Config: matching(`prefix: /, headers: [{name: x-a, range_match: {start: 1, end: 10}, invert_match: true}]`), Requests: with("", "x-a: 5", "x-a: 10", "x-a: a")},
		{Name: "several lines of a header", Config: matching(`prefix: /, headers: [{name: x-a, string_match: {exact: "1,2"}}]`), Requests: with("x-a: 1,2", "x-a: 1")},
		{Name: "one of several lines of a header", Config: matching(`prefix: /, headers: [{name: x-a, string_match: {exact: "2"}}]`), Requests: with("x-a: 1|x-a: 2", "x-a: 2|x-a: 1", "x-a: 1|x-a: 3")},
		{Name: "none of several lines of a header", Config: matching(`prefix: /, headers: [{name: x-a, string_match: {exact: "2"}, invert_match: true}]`), Requests: with("x-a: 1|x-a: 2", "x-a: 2|x-a: 2", "x-a: 1|x-a: 3")},
		{Name: "several lines of a header by prefix", Config: matching(`prefix: /, headers: [{name: x-a, string_match: {prefix: "2"}}]`), Requests: with("x-a: 1|x-a: 2", "x-a: 2|x-a: 1")},
		{
			Name:     "all headers must match",
			Config:   matching(`prefix: /, headers: [{name: x-a, string_match: {exact: "1"}}, {name: x-b, string_match: {exact: "2"}}]`),
			Requests: with("x-a: 1", "x-b: 2", "x-a: 1|x-b: 2"),
		},
		{
			Name:     "pseudo-headers",
			Config:   matching(`prefix: /, headers: [{name: ":method", string_match: {exact: POST}}, {name: ":authority", string_match: {prefix: case}}, {name: ":path", string_match: {contains: "q="}}]`),
			Requests: []Request{{Method: "POST", Path: "/?q=1", Body: "x"}, {Path: "/?q=1"}, {Method: "POST", Path: "/", Body: "x"}},
		},
		{
			Name:     "query parameters",
			Config:   matching(`prefix: /, query_parameters: [{name: a, string_match: {exact: "1"}}, {name: b, present_match: true}]`),
			Requests: get("/?a=1&b", "/?b=2&a=1", "/?a=1", "/?a=2&b=1", "/?a=2&a=1&b", "/?A=1&b", "/?a=%31&b"),
		},
		{Name: "a query parameter by regex", Config: matching(`prefix: /, query_parameters: [{name: a, string_match: {safe_regex: {regex: "[0-9]+"}}}]`), Requests: get("/?a=12", "/?a=1x", "/?a=", "/")},
		{Name: "cookies", Config: matching(`prefix: /, cookies: [{name: k, string_match: {exact: v}}]`), Requests: with("cookie: k=v", "cookie: a=b; k=v", "cookie: k=w", "", "cookie: K=v")},
		{Name: "a cookie inverted", Config: matching(`prefix: /, cookies: [{name: k, string_match: {exact: v}, invert_match: true}]`), Requests: with("cookie: k=v", "cookie: k=w", "")},
		{Name: "grpc only", Config: matching(`prefix: /, grpc: {}`), Requests: []Request{
			{Method: "POST", HTTP2: true, Header: []string{"content-type: application/json"}},
			{Method: "POST", HTTP2: true, Header: []string{"content-type: application/grpcx"}},
		}},
		{Name: "a share of none and of all", Config: Config{Routes: `
- match: {prefix: /, runtime_fraction: {default_value: {numerator: 0}, runtime_key: a}}
  route: {cluster: a}
- match: {prefix: /, runtime_fraction: {default_value: {numerator: 1000000, denominator: MILLION}}}
  route: {cluster: b}
- match: {prefix: /}
  route: {cluster: c}
`}, Requests: []Request{{Times: 20}}},
		{Name: "an encoded path is not decoded", Config: matching(`prefix: /a%2Fb`), Requests: get("/a%2Fb", "/a%2fb", "/a/b")},
		{Name: "no cluster of that name", Config: Config{Table: `{validate_clusters: false}`, Routes: `
- match: {prefix: /404}
  route: {cluster: nobody, cluster_not_found_response_code: NOT_FOUND}
- match: {prefix: /500}
  route: {cluster: nobody, cluster_not_found_response_code: INTERNAL_SERVER_ERROR}
- match: {prefix: /}
  route: {cluster: nobody}
`}, Requests: get("/404", "/500", "/")},
		{Name: "non-forwarding action", Config: Config{Routes: `[{match: {prefix: /}, non_forwarding_action: {}}]`}, Requests: get("/")},
		{Name: "cluster by header", Config: Config{Routes: `[{match: {prefix: /}, route: {cluster_header: x-to}}]`}, Requests: with("x-to: a", "x-to: b", "x-to: nobody", "")},
	}
}

// headerRoutes has a route for each condition on x-a, to a, b, c and so on, and the rest
// to f.
func headerRoutes(conditions ...string) string {
	var b strings.Builder
	for i, c := range conditions {
		b.WriteString("- match: {prefix: /, headers: [{name: x-a, " + c + "}]}\n  route: {cluster: " + endpointNames()[i] + "}\n")
	}
	b.WriteString("- match: {prefix: /}\n  route: {cluster: f}\n")
	return b.String()
}
