package router_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp"

	"github.com/fridaymesh/friday/proxy/router"
)

func exact(s string) *router.StringMatch { return &router.StringMatch{Text: s} }

func TestHeaders(t *testing.T) {
	type lines []string
	for name, c := range map[string]struct {
		match   router.HeaderMatch
		yes, no []lines
	}{
		"present in any case": {
			router.HeaderMatch{Name: "X-Model", Present: true},
			[]lines{{"x-model: a"}, {"X-MODEL: a"}, {"X-Model:"}, {"x-mOdEl: a"}},
			[]lines{{}, {"x-models: a"}, {"x-mode: l"}},
		},
		"absent": {router.HeaderMatch{Name: "x-model"}, []lines{{}, {"x-modem: 1"}}, []lines{{"X-mODEL: a"}}},
		"present, inverted": {
			router.HeaderMatch{Name: "x", Present: true, Invert: true}, []lines{{}}, []lines{{"X: 1"}},
		},
		"value": {
			router.HeaderMatch{Name: "x", Value: exact("a")}, []lines{{"X: a"}, {"x:  a "}}, []lines{{}, {"x: A"}, {"x: b"}},
		},
		"value, inverted: an absent header does not hold": {
			router.HeaderMatch{Name: "x", Value: exact("a"), Invert: true}, []lines{{"x: b"}}, []lines{{}, {"x: a"}},
		},
		"value, inverted, absent taken for empty": {
			router.HeaderMatch{Name: "x", Value: exact("a"), Invert: true, TreatMissingAsEmpty: true}, []lines{{}, {"x: b"}}, []lines{{"x: a"}},
		},
		"absent taken for empty": {
			router.HeaderMatch{Name: "x", Value: exact(""), TreatMissingAsEmpty: true}, []lines{{}, {"x:"}}, []lines{{"x: a"}},
		},
		"one of several lines": {
			router.HeaderMatch{Name: "x", Value: exact("b")},
			[]lines{{"x: a", "y: 1", "x: b", "x: c"}, {"x: b", "x: a"}},
			[]lines{{"x: a,b"}, {"x: a", "x: c"}},
		},
		"none of several lines": {
			router.HeaderMatch{Name: "x", Value: exact("b"), Invert: true},
			[]lines{{"x: a", "x: c"}, {"x: a,b"}},
			[]lines{{"x: a", "x: b"}, {"x: b"}},
		},
		"several spellings": {
			router.HeaderMatch{Name: "ab", Value: exact("3")},
			[]lines{{"ab: 1", "Ab: 2", "aB: 3", "aB: 4"}, {"AB: 1", "AB: 3"}, {"aB: 1", "x: y", "AB:2", "aB:  3 "}},
			[]lines{{"ab: 1", "Ab: 2", "aB: 4"}},
		},
		"folded lines": {
			router.HeaderMatch{Name: "ab", Value: exact("1 2")}, []lines{{"ab: 1", "  2", "AB: 3"}, {"ab: 1", "\t2", "ab: 3"}}, []lines{{"ab: 12", "ab: 3"}},
		},
		"a number": {
			router.HeaderMatch{Name: "x", Range: &router.Range{Start: -5, End: 10}}, []lines{{"x: -5"}, {"x: 9"}, {"x: a", "x: 1"}}, []lines{{}, {"x: 10"}, {"x: 1.5"}, {"x: a"}},
		},
		"no number": {
			router.HeaderMatch{Name: "x", Range: &router.Range{Start: 1, End: 10}, Invert: true}, []lines{{"x: a"}, {"x: 10"}}, []lines{{}, {"x: 5"}},
		},
		"prefix":            {match(router.Prefix, "ab", false), []lines{{"x: abc"}, {"x: ab"}}, []lines{{"x: a"}, {"x: Abc"}}},
		"suffix":            {match(router.Suffix, "bc", false), []lines{{"x: abc"}, {"x: bc"}}, []lines{{"x: c"}, {"x: aBc"}}},
		"contains":          {match(router.Contains, "bc", false), []lines{{"x: abbcd"}, {"x: bc"}}, []lines{{"x: b"}, {"x: bdc"}, {"x:"}}},
		"exact, any case":   {match(router.Exact, "Ab", true), []lines{{"x: aB"}}, []lines{{"x: a"}, {"x: abc"}}},
		"prefix, any case":  {match(router.Prefix, "Ab", true), []lines{{"x: aBc"}}, []lines{{"x: a"}, {"x: cab"}}},
		"suffix, any case":  {match(router.Suffix, "bC", true), []lines{{"x: aBc"}}, []lines{{"x: c"}, {"x: bcd"}}},
		"contains any case": {match(router.Contains, "bC", true), []lines{{"x: aBcd"}, {"x: xBC"}}, []lines{{"x: b"}, {"x:"}}},
		"case is ASCII's":   {match(router.Exact, "k", true), []lines{{"x: K"}}, []lines{{"x: \u212a"}}},
		"regex": {
			router.HeaderMatch{Name: "x", Value: &router.StringMatch{Kind: router.Regex, Regex: regexp.MustCompile("a|ab")}},
			[]lines{{"x: a"}, {"x: ab"}},
			[]lines{{"x: abc"}, {"x: ba"}},
		},
		"method":               {router.HeaderMatch{Name: ":method", Value: exact("GET")}, []lines{{}}, nil},
		"another method":       {router.HeaderMatch{Name: ":Method", Value: exact("POST")}, nil, []lines{{}}},
		"path is with query":   {router.HeaderMatch{Name: ":path", Value: exact("/p?q=1")}, []lines{{}}, nil},
		"authority":            {router.HeaderMatch{Name: ":authority", Value: exact("Host.name:1")}, []lines{{}}, nil},
		"host is authority":    {router.HeaderMatch{Name: "HOST", Present: true}, []lines{{}}, nil},
		"content type":         {router.HeaderMatch{Name: "content-type", Value: exact("a/b")}, []lines{{"content-type: a/b"}, {"CONTENT-type: a/b"}}, []lines{{}}},
		"user agent":           {router.HeaderMatch{Name: "User-Agent", Value: exact("u")}, []lines{{"uSER-agent: u"}}, []lines{{}}},
		"content length":       {router.HeaderMatch{Name: "content-length", Value: exact("5")}, []lines{{"Content-length: 5"}}, []lines{{}}},
		"cookie as it stands":  {router.HeaderMatch{Name: "cookie", Value: exact("b=2;a=1; ")}, nil, []lines{{"Cookie: b=2; a=1"}}},
		"cookie":               {router.HeaderMatch{Name: "cookie", Value: exact("b=2;a=1")}, []lines{{"cookie: b=2;a=1"}, {"COOKIE: b=2;a=1"}}, []lines{{"Cookie: a=1"}}},
		"transfer encoding":    {router.HeaderMatch{Name: "transfer-encoding", Value: exact("chunked")}, []lines{{"TRANSFER-encoding: chunked"}}, []lines{{}}},
		"etag, an odd casing":  {router.HeaderMatch{Name: "if-none-match", Present: true}, []lines{{"If-None-match: x"}}, []lines{{}}},
		"a name within a line": {router.HeaderMatch{Name: "x", Present: true}, nil, []lines{{"a: x: 1"}, {"ax: 1"}}},
	} {
		t.Run(name, func(t *testing.T) {
			table := one(t, router.Match{Prefix: "/", Headers: []router.HeaderMatch{c.match}})
			for _, l := range c.yes {
				_, ok := table.Match(get(t, "Host.name:1", "/p?q=1", l...))
				require.True(t, ok, strings.Join(l, " | "))
			}
			for _, l := range c.no {
				_, ok := table.Match(get(t, "Host.name:1", "/p?q=1", l...))
				require.False(t, ok, strings.Join(l, " | "))
			}
		})
	}
}

func match(kind router.StringKind, text string, ignoreCase bool) router.HeaderMatch {
	return router.HeaderMatch{Name: "x", Value: &router.StringMatch{Kind: kind, Text: text, IgnoreCase: ignoreCase}}
}

// A head that was made rather than parsed, and one changed since, match by what
// they hold now; and matching leaves them as they were.
func TestHeadersSetByHand(t *testing.T) {
	table := one(t, router.Match{Prefix: "/", Headers: []router.HeaderMatch{{Name: "X-Model", Value: exact("b")}}})
	for _, normalising := range []bool{true, false} {
		h := &fasthttp.RequestHeader{}
		if !normalising {
			h.DisableNormalizing()
		}
		h.SetRequestURI("/v1")
		h.Add("x-model", "a")
		h.Add("x-model", "b")
		h.Set("Cookie", "a=1")
		before := h.String()
		_, ok := table.Match(h)
		require.True(t, ok)
		require.Equal(t, before, h.String())
		require.Equal(t, !normalising, h.DisableNormalizing())
	}
	h := get(t, "h", "/", "X-model: c", "cookie: b=2;a=1; ")
	h.Del("X-model")
	h.Set("x-model", "b")
	_, ok := table.Match(h)
	require.True(t, ok)
	require.Equal(t, "b=2;a=1;", string(h.Peek("cookie")), "cookies are not parsed")
}

func TestQuery(t *testing.T) {
	for name, c := range map[string]struct {
		match   router.QueryMatch
		yes, no []string
	}{
		"present":        {router.QueryMatch{Name: "a", Present: true}, []string{"?a", "?a=", "?b&a=1", "?&a"}, []string{"", "?", "?b=a", "?A=1", "?%61=1"}},
		"absent":         {router.QueryMatch{Name: "a"}, []string{"", "?b"}, []string{"?a"}},
		"value":          {router.QueryMatch{Name: "a", Value: exact("1")}, []string{"?a=1", "?a=1&a=2"}, []string{"?a=2&a=1", "?a", "?a=%31", ""}},
		"empty value":    {router.QueryMatch{Name: "a", Value: exact("")}, []string{"?a", "?a="}, []string{"?a=1", ""}},
		"value with =":   {router.QueryMatch{Name: "a", Value: exact("b=c")}, []string{"?a=b=c"}, []string{"?a=b"}},
		"not decoded":    {router.QueryMatch{Name: "a", Value: exact("x%20y")}, []string{"?a=x%20y"}, []string{"?a=x+y", "?a=x%20Y"}},
		"string matcher": {router.QueryMatch{Name: "a", Value: &router.StringMatch{Kind: router.Prefix, Text: "v"}}, []string{"?a=v1"}, []string{"?a=w"}},
	} {
		t.Run(name, func(t *testing.T) {
			table := one(t, router.Match{Prefix: "/", Query: []router.QueryMatch{c.match}})
			for _, q := range c.yes {
				_, ok := table.Match(get(t, "h", "/p"+q))
				require.True(t, ok, q)
			}
			for _, q := range c.no {
				_, ok := table.Match(get(t, "h", "/p"+q))
				require.False(t, ok, q)
			}
		})
	}
}
