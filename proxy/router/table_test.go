package router_test

import (
	"bufio"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp"

	"github.com/fridaymesh/friday/proxy/router"
)

// parsed reads a request's head as the codec does: names as they come.
func parsed(t testing.TB, head string) *fasthttp.RequestHeader {
	t.Helper()
	h := &fasthttp.RequestHeader{}
	h.DisableNormalizing()
	err := h.Read(bufio.NewReader(strings.NewReader(strings.ReplaceAll(head, "\n", "\r\n") + "\r\n\r\n")))
	require.NoError(t, err)
	return h
}

func get(t testing.TB, host, target string, lines ...string) *fasthttp.RequestHeader {
	t.Helper()
	if host == "" {
		return parsed(t, "GET "+target+" HTTP/1.0")
	}
	if target == "*" {
		return parsed(t, "OPTIONS * HTTP/1.1\nHost: "+host)
	}
	return parsed(t, "GET "+target+" HTTP/1.1\nHost: "+host+strings.Join(append([]string{""}, lines...), "\n"))
}

func prefix(p, value string) router.Entry[string] {
	return router.Entry[string]{Match: router.Match{Prefix: p}, Value: value}
}

func TestDomains(t *testing.T) {
	host := func(domain string) router.VirtualHost[string] {
		return router.VirtualHost[string]{Name: domain, Domains: []string{domain}, Routes: []router.Entry[string]{prefix("/", domain)}}
	}
	all := []router.VirtualHost[string]{
		host("*"), host("api.*"), host("api.eu.*"), host("*.Example.com"), host("*-x.example.com"),
		host("api.example.com"), host("api.example.com:8080"), host("[::1]"), host("*.org:81"),
	}
	for _, c := range []struct{ sent, want, ignoringPort string }{
		{"api.example.com", "api.example.com", ""},
		{"API.Example.COM", "api.example.com", ""},
		{"api.example.com:8080", "api.example.com:8080", "api.example.com"},
		{"api.example.com:81", "api.*", "api.example.com"},
		{"b.example.com", "*.Example.com", ""},
		{"b-x.example.com", "*-x.example.com", ""}, // the longer suffix
		{".example.com", "*", ""},                  // a wildcard stands for something
		{"api.example.net", "api.*", ""},
		{"api.eu.net", "api.eu.*", ""}, // the longer prefix
		{"api.", "*", ""},
		{"x.org:81", "*.org:81", "*"},
		{"[::1]", "[::1]", ""},
		{"[::1]:80", "*", "[::1]"},
		{"other", "*", ""},
		{"", "*", ""},
		{strings.Repeat("A", 300) + ".example.com", "*.Example.com", ""},
	} {
		for _, ignore := range []bool{false, true} {
			var options []router.Option
			want := c.want
			if ignore {
				options = append(options, router.IgnorePort())
				if c.ignoringPort != "" {
					want = c.ignoringPort
				}
			}
			table, err := router.NewTable(all, options...)
			require.NoError(t, err)
			got, ok := table.Match(get(t, c.sent, "/x"))
			require.True(t, ok, c.sent)
			require.Equal(t, want, got, "%q, ignoring the port: %v", c.sent, ignore)
		}
	}
}

func TestNoDomainFits(t *testing.T) {
	table, err := router.NewTable([]router.VirtualHost[string]{
		{Name: "a", Domains: []string{"a.com", "*.a.com"}, Routes: []router.Entry[string]{prefix("/", "a")}},
		{Name: "empty", Domains: []string{"*"}},
	})
	require.NoError(t, err)
	for _, sent := range []string{"b.com", ""} {
		_, ok := table.Match(get(t, sent, "/"))
		require.False(t, ok, sent)
	}
	_, ok := (&router.Table[string]{}).Match(get(t, "a.com", "/"))
	require.False(t, ok, "a table of nothing matches nothing")
}

// A host that fits is the host, also where none of its routes takes the request.
func TestNoFallbackBetweenHosts(t *testing.T) {
	table, err := router.NewTable([]router.VirtualHost[string]{
		{Domains: []string{"a.com"}, Routes: []router.Entry[string]{prefix("/a", "a")}},
		{Domains: []string{"*"}, Routes: []router.Entry[string]{prefix("/", "all")}},
	})
	require.NoError(t, err)
	_, ok := table.Match(get(t, "a.com", "/b"))
	require.False(t, ok)
	got, _ := table.Match(get(t, "b.com", "/b"))
	require.Equal(t, "all", got)
}

func TestPaths(t *testing.T) {
	for name, c := range map[string]struct {
		match   router.Match
		yes, no []string
	}{
		"prefix": {
			router.Match{Prefix: "/v1"},
			[]string{"/v1", "/v1/x", "/v10", "/v1?q=/v2", "/v1#f", "http://other/v1/x", "HTTPS://other/v1"},
			[]string{"/v2", "/V1", "/", "/%761", "*", "/x?/v1"},
		},
		"prefix in any case": {router.Match{Prefix: "/v1", IgnoreCase: true}, []string{"/V1/x"}, []string{"/w1"}},
		"path": {
			router.Match{Path: "/v1/models"},
			[]string{"/v1/models", "/v1/models?a=b", "/v1/models#f", "/v1/models#f?a", "http://h/v1/models?x"},
			[]string{"/v1/models/", "/v1/model", "/v1/./models", "/v1//models", "/v1/model%73"},
		},
		"path in any case": {router.Match{Path: "/V1", IgnoreCase: true}, []string{"/v1"}, []string{"/v1/"}},
		"root of an absolute target": {
			router.Match{Path: "/"}, []string{"http://a.com", "http://a.com/", "http://a.com?q", "/"}, []string{"http://a.com/x", "*"},
		},
		"regex is of the whole path": {
			router.Match{Regex: regexp.MustCompile("/a|/ab")}, []string{"/a", "/ab", "/ab?x"}, []string{"/abc", "/x/a"},
		},
		"regex with an open quotation": {
			router.Match{Regex: regexp.MustCompile(`/\Q.`)}, []string{"/."}, []string{"/x", "/.."},
		},
		"regex with flags": {
			router.Match{Regex: regexp.MustCompile(`(?i)/MODELS/[^/]+`)}, []string{"/models/x"}, []string{"/models/", "/models/x/y"},
		},
		"regex is not by line": {router.Match{Regex: regexp.MustCompile(`(?m)^/a$`)}, []string{"/a"}, []string{"/a/b"}},
	} {
		t.Run(name, func(t *testing.T) {
			table := one(t, c.match)
			for _, target := range c.yes {
				_, ok := table.Match(get(t, "h", target))
				require.True(t, ok, target)
			}
			for _, target := range c.no {
				_, ok := table.Match(get(t, "h", target))
				require.False(t, ok, target)
			}
		})
	}
}

func one(t testing.TB, m router.Match) *router.Table[string] {
	t.Helper()
	table, err := router.NewTable([]router.VirtualHost[string]{
		{Name: "h", Domains: []string{"*"}, Routes: []router.Entry[string]{{Match: m, Value: "yes"}}},
	})
	require.NoError(t, err)
	return table
}

// In absolute form the target names the host, whatever Host says.
func TestAbsoluteTargetNamesTheHost(t *testing.T) {
	table, err := router.NewTable([]router.VirtualHost[string]{
		{Domains: []string{"a.com"}, Routes: []router.Entry[string]{prefix("/", "a")}},
		{Domains: []string{"b.com"}, Routes: []router.Entry[string]{prefix("/", "b")}},
	})
	require.NoError(t, err)
	got, _ := table.Match(get(t, "b.com", "http://a.com/x"))
	require.Equal(t, "a", got)
}

func TestFirstRouteWins(t *testing.T) {
	entries := []router.Entry[string]{
		{Match: router.Match{Prefix: "/v1/x", Headers: []router.HeaderMatch{{Name: "a", Present: true}}}, Value: "header"},
		prefix("/v1", "v1"),
		{Match: router.Match{Path: "/v1/x"}, Value: "never"},
		prefix("/", "rest"),
	}
	// The same with and without the index of many routes.
	for _, filler := range []int{0, 100} {
		routes := entries
		for range filler {
			routes = append([]router.Entry[string]{prefix("/nobody-asks", "filler")}, routes...)
		}
		table, err := router.NewTable([]router.VirtualHost[string]{{Domains: []string{"*"}, Routes: routes}})
		require.NoError(t, err)
		for target, want := range map[string]string{"/v1/x": "v1", "/v2": "rest"} {
			got, _ := table.Match(get(t, "h", target))
			require.Equal(t, want, got)
		}
		got, _ := table.Match(get(t, "h", "/v1/x", "A: 1"))
		require.Equal(t, "header", got)
	}
}

func TestNewTableRefuses(t *testing.T) {
	host := func(m router.Match) []router.VirtualHost[string] {
		return []router.VirtualHost[string]{{Name: "h", Domains: []string{"*"}, Routes: []router.Entry[string]{prefix("/", ""), {Match: m}}}}
	}
	domains := func(d ...string) []router.VirtualHost[string] {
		return []router.VirtualHost[string]{{Name: "first", Domains: []string{"x"}}, {Name: "h", Domains: d}}
	}
	str := func(m router.StringMatch) router.Match {
		return router.Match{Prefix: "/", Headers: []router.HeaderMatch{{Name: "a", Value: &m}}}
	}
	posix := regexp.MustCompilePOSIX("a**")
	for want, hosts := range map[string][]router.VirtualHost[string]{
		`virtual_hosts[1] ("h").domains: must not be empty`:                                                                       domains(),
		`virtual_hosts[1] ("h").domains[1]: "A": duplicate domain`:                                                                domains("a", "A"),
		`virtual_hosts[1] ("h").domains[0]: "X": duplicate domain`:                                                                domains("X"),
		`virtual_hosts[1] ("h").domains[1]: "*": duplicate domain`:                                                                domains("*", "*"),
		`virtual_hosts[1] ("h").domains[1]: "*.A": duplicate domain`:                                                              domains("*.a", "*.A"),
		`virtual_hosts[1] ("h").domains[1]: "a.*": duplicate domain`:                                                              domains("a.*", "a.*"),
		`virtual_hosts[1] ("h").domains[0]: "": must not be empty`:                                                                domains(""),
		`virtual_hosts[1] ("h").domains[0]: "a.*.b": one "*" may stand at the beginning or at the end`:                            domains("a.*.b"),
		`virtual_hosts[1] ("h").domains[0]: "*.b.*": one "*" may stand at the beginning or at the end`:                            domains("*.b.*"),
		`virtual_hosts[1] ("h").domains[0]: "http://a": has a character that no host has`:                                         domains("http://a"),
		`virtual_hosts[0] ("h").routes[1].match: exactly one of prefix, path, separated and regex must be set, not 0`:             host(router.Match{}),
		`virtual_hosts[0] ("h").routes[1].match: exactly one of prefix, path, separated and regex must be set, not 2`:             host(router.Match{Prefix: "/", Path: "/a"}),
		`virtual_hosts[0] ("h").routes[1].match.headers[0].name: must not be empty`:                                               host(router.Match{Prefix: "/", Headers: []router.HeaderMatch{{}}}),
		`virtual_hosts[0] ("h").routes[1].match.headers[0].name: ":scheme": only :method, :path and :authority are known`:         host(router.Match{Prefix: "/", Headers: []router.HeaderMatch{{Name: ":scheme"}}}),
		`virtual_hosts[0] ("h").routes[1].match.headers[0]: value and present exclude each other`:                                 host(router.Match{Prefix: "/", Headers: []router.HeaderMatch{{Name: "a", Present: true, Value: &router.StringMatch{}}}}),
		`virtual_hosts[0] ("h").routes[1].match.query[0].name: must not be empty`:                                                 host(router.Match{Prefix: "/", Query: []router.QueryMatch{{}}}),
		`virtual_hosts[0] ("h").routes[1].match.headers[0].value.text: must not be empty but for an exact match`:                  host(str(router.StringMatch{Kind: router.Prefix})),
		`virtual_hosts[0] ("h").routes[1].match.headers[0].value.regex: must be set`:                                              host(str(router.StringMatch{Kind: router.Regex})),
		`virtual_hosts[0] ("h").routes[1].match.headers[0].value.kind: 7 is not known`:                                            host(str(router.StringMatch{Kind: 7})),
		"virtual_hosts[0] (\"h\").routes[1].match.regex: \"a**\": error parsing regexp: invalid nested repetition operator: `**`": host(router.Match{Regex: posix}),
	} {
		_, err := router.NewTable(hosts)
		require.EqualError(t, err, want)
	}
}
