//go:build interop

package differential

// pushCases are about configurations that follow one another.
func pushCases() []Case {
	return []Case{
		{
			Name:     "routes change",
			Config:   Config{Routes: `[{match: {prefix: /}, route: {cluster: a}}]`},
			Requests: get("/"),
			Then: []Step{
				{Config: Config{Routes: `[{match: {prefix: /x}, route: {cluster: b}}]`}, Requests: get("/", "/x")},
				{Config: Config{Routes: `[{match: {prefix: /}, route: {cluster: c}}]`}, Requests: get("/", "/x")},
			},
		},
		{
			Name:     "routes go",
			Config:   Config{Routes: `[{match: {prefix: /}, route: {cluster: a}}]`},
			Requests: get("/"),
			Then:     []Step{{Config: Config{}, Requests: get("/")}},
		},
		{
			Name:     "bad routes are kept out",
			Config:   Config{Routes: `[{match: {prefix: /}, route: {cluster: a}}]`},
			Requests: get("/"),
			Then: []Step{
				{Refused: routeURL, Config: Config{Routes: `[{match: {safe_regex: {regex: "a("}}, route: {cluster: b}}]`}, Requests: get("/")},
				{Refused: routeURL, Config: Config{VirtualHosts: `[{name: one, domains: ["a.test"]}, {name: two, domains: ["A.test"]}]`}, Requests: get("/")},
				{Refused: routeURL, Config: Config{Routes: `[{match: {prefix: /}, route: {cluster: b, prefix_rewrite: /a, regex_rewrite: {pattern: {regex: a}, substitution: b}}}]`}, Requests: get("/")},
				{Refused: routeURL, Config: Config{Routes: `[{match: {prefix: /}, route: {weighted_clusters: {clusters: [{name: a, weight: 0}]}}}]`}, Requests: get("/")},
				{Refused: routeURL, Config: Config{Routes: `[{match: {prefix: /}}]`}, Requests: get("/")},
				{Refused: routeURL, Config: Config{Routes: `[{match: {prefix: /}, route: {cluster: b}, request_headers_to_add: [{header: {key: ":path", value: x}}]}]`}, Requests: get("/")},
				{Refused: routeURL, Config: Config{Routes: `[{match: {prefix: /}, route: {cluster: b}, request_headers_to_add: [{header: {key: a, value: "%NOTHING%"}}]}]`}, Requests: get("/")},
				{Config: Config{Routes: `[{match: {prefix: /}, route: {cluster: b}}]`}, Requests: get("/")},
			},
		},
		{
			Name:     "bad listeners are kept out",
			Config:   Config{Routes: `[{match: {prefix: /}, route: {cluster: a}}]`},
			Requests: get("/"),
			Then: []Step{
				{Refused: listenerURL, Config: Config{Routes: `[{match: {prefix: /}, route: {cluster: a}}]`, HCM: `{max_request_headers_kb: 99999}`}, Requests: get("/")},
				{Refused: listenerURL, Config: Config{Routes: `[{match: {prefix: /}, route: {cluster: a}}]`, Filters: `[{name: x, typed_config: {'@type': type.googleapis.com/xds.type.v3.TypedStruct, type_url: type.googleapis.com/no.such.Filter}}]`}, Requests: get("/")},
			},
		},
	}
}
