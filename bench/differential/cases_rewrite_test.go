//go:build interop

package differential

// one routes what matches to a, with further fields of the RouteAction.
func one(match, action string) Config {
	return Config{Routes: `[{match: {` + match + `}, route: {cluster: a, ` + action + `}}]`}
}

func rewriteCases() []Case {
	return []Case{
		{Name: "prefix rewrite", Config: one(`prefix: /api/`, `prefix_rewrite: /`), Requests: get("/api/v1?q=/api/", "/api/", "/api/a%20b")},
		{Name: "prefix rewrite of a part of a segment", Config: one(`prefix: /api`, `prefix_rewrite: /v2`), Requests: get("/api/x", "/apix", "/api?y")},
		{Name: "prefix rewrite of a path", Config: one(`path: /old`, `prefix_rewrite: /new`), Requests: get("/old", "/old?x=1")},
		{Name: "prefix rewrite of a separated prefix", Config: one(`path_separated_prefix: /old`, `prefix_rewrite: /new`), Requests: get("/old", "/old/x?y")},
		{Name: "prefix rewrite of a regex", Config: one(`safe_regex: {regex: "/old.*"}`, `prefix_rewrite: /new`), Requests: get("/old", "/old/x?y")},
		{Name: "prefix rewrite in any case", Config: one(`prefix: /API, case_sensitive: false`, `prefix_rewrite: /v`), Requests: get("/api/x", "/Api")},
		{Name: "regex rewrite", Config: one(`prefix: /`, `regex_rewrite: {pattern: {regex: "^/service/([^/]+)(/.*)$"}, substitution: "\\2/instance/\\1"}`), Requests: get("/service/foo/v1/api", "/service/foo", "/service/a/b?c=/service/d/e")},
		{Name: "regex rewrite of every match", Config: one(`prefix: /`, `regex_rewrite: {pattern: {regex: "one"}, substitution: "two$1"}`), Requests: get("/xxx/one/yyy/one/zzz?one")},
		{Name: "path rewrite by format", Config: one(`prefix: /`, `path_rewrite: "/new%REQ(x-p)%"`), Requests: []Request{{Path: "/a?b", Header: []string{"x-p: /c"}}, {Path: "/a?b"}}},
		{Name: "host rewrite", Config: one(`prefix: /`, `host_rewrite_literal: model.test`), Requests: []Request{{}, {HTTP2: true}, {Host: "x:1"}}},
		{Name: "host rewrite by header", Config: one(`prefix: /`, `host_rewrite_header: x-host`), Requests: with("x-host: b.test", "")},
		{Name: "host rewrite by the path", Config: one(`prefix: /`, `host_rewrite_path_regex: {pattern: {regex: "^/(.+)/.+$"}, substitution: "\\1.test"}`), Requests: get("/envoy/x?y", "/x")},
		{Name: "host rewrite by format", Config: one(`prefix: /`, `host_rewrite: "p-%REQ(x-h)%"`), Requests: with("x-h: b", "")},
		{Name: "x-forwarded-host", Config: one(`prefix: /`, `host_rewrite_literal: model.test, append_x_forwarded_host: true`), Requests: with("", "x-forwarded-host: first.test")},
		{
			Name: "host and path in a weighted cluster",
			Config: Config{Routes: `
- match: {prefix: /api}
  route: {prefix_rewrite: /x, weighted_clusters: {clusters: [{name: a, weight: 1, host_rewrite_literal: w.test}]}}
`},
			Requests: get("/api/1"),
		},
	}
}

func redirectCases() []Case {
	redirect := func(match, fields string) Config {
		return Config{Routes: `[{match: {` + match + `}, redirect: {` + fields + `}}]`}
	}
	return []Case{
		{Name: "redirect to https", Config: redirect(`prefix: /`, `https_redirect: true`), Requests: []Request{{Path: "/a?b=c"}, {Host: "h.test:80"}, {Host: "h.test:8080"}, {Host: "[::1]:80", Path: "/x"}}},
		{Name: "redirect by scheme", Config: redirect(`prefix: /`, `scheme_redirect: ftp`), Requests: get("/a")},
		{Name: "redirect to a host", Config: redirect(`prefix: /`, `host_redirect: new.test`), Requests: []Request{{Path: "/a?b"}, {Host: "h:99"}}},
		{Name: "redirect to a port", Config: redirect(`prefix: /`, `port_redirect: 8443`), Requests: []Request{{Path: "/a?b"}, {Host: "h.test:99"}, {Host: "[::1]:99"}, {Host: "[::1]"}}},
		{Name: "redirect to host and port", Config: redirect(`prefix: /`, `host_redirect: new.test, port_redirect: 81, https_redirect: true`), Requests: get("/")},
		{Name: "redirect to a path", Config: redirect(`prefix: /`, `path_redirect: /new`), Requests: get("/a", "/a?b=c")},
		{Name: "redirect to a path with a query", Config: redirect(`prefix: /`, `path_redirect: "/new?x=y"`), Requests: get("/a", "/a?b=c")},
		{Name: "redirect without the query", Config: redirect(`prefix: /`, `path_redirect: /new, strip_query: true`), Requests: get("/a", "/a?b=c")},
		{Name: "redirect of a prefix", Config: redirect(`prefix: /old`, `prefix_rewrite: /new`), Requests: get("/old/x?y=z", "/old")},
		{Name: "redirect of a prefix without the query", Config: redirect(`prefix: /old`, `prefix_rewrite: /new, strip_query: true`), Requests: get("/old/x?y=z", "/old")},
		{Name: "redirect by regex", Config: redirect(`prefix: /`, `regex_rewrite: {pattern: {regex: "^/a/(.*)$"}, substitution: "/b/\\1"}`), Requests: get("/a/x?y=/a/z", "/c")},
		{Name: "redirect to a format", Config: redirect(`prefix: /`, `path_rewrite: "/new/%REQ(x-v)%"`), Requests: with("x-v: 2", "")},
		{Name: "redirect statuses", Config: Config{Routes: `
- {match: {prefix: /302}, redirect: {path_redirect: /, response_code: FOUND}}
- {match: {prefix: /303}, redirect: {path_redirect: /, response_code: SEE_OTHER}}
- {match: {prefix: /307}, redirect: {path_redirect: /, response_code: TEMPORARY_REDIRECT}}
- {match: {prefix: /308}, redirect: {path_redirect: /, response_code: PERMANENT_REDIRECT}}
`}, Requests: []Request{{Path: "/302"}, {Path: "/303"}, {Method: "POST", Path: "/307", Body: "x"}, {Path: "/308"}, {Path: "/x"}}},
		{Name: "tls required", Config: Config{VirtualHosts: `[{name: v, domains: ["*"], require_tls: ALL, routes: [{match: {prefix: /}, route: {cluster: a}}]}]`}, Requests: []Request{{Path: "/a?b"}, {Host: "h:80"}, {Host: "h:81"}}},
		{Name: "direct response", Config: Config{Routes: `
- {match: {prefix: /text}, direct_response: {status: 418, body: {inline_string: tea}}}
- {match: {prefix: /empty}, direct_response: {status: 200}}
- {match: {prefix: /204}, direct_response: {status: 204}}
- {match: {prefix: /bytes}, direct_response: {status: 503, body: {inline_bytes: aGVsbG8=}}}
`}, Requests: []Request{{Path: "/text"}, {Path: "/text", Method: "HEAD"}, {Path: "/empty"}, {Path: "/204"}, {Path: "/bytes"}, {Method: "POST", Path: "/text", Body: "abc"}}},
		{Name: "direct response by format", Config: Config{Routes: `
- {match: {prefix: /text}, direct_response: {status: 200, body: {inline_string: b}, body_format: {text_format_source: {inline_string: "%REQ(x-a)% %RESPONSE_CODE% %LOCAL_REPLY_BODY%"}}}}
- {match: {prefix: /json}, direct_response: {status: 400, body: {inline_string: b}, body_format: {json_format: {code: "%RESPONSE_CODE%", text: "%LOCAL_REPLY_BODY%", a: "%REQ(x-a)%"}}}}
`}, Requests: []Request{{Path: "/text", Header: []string{"x-a: 1"}}, {Path: "/json"}, {Path: "/json", Header: []string{"x-a: 1"}}}, Allow: []string{"code of own answers"}},
	}
}
