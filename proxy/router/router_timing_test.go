package router_test

import (
	"fmt"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp"

	"github.com/fridaymesh/friday/proxy/router"
)

// callers' usual head.
func chat(t testing.TB, host, target string) *fasthttp.RequestHeader {
	t.Helper()
	return get(t, host, target, "User-Agent: OpenAI/Python 3.54.0", "Accept: application/json", "Content-Type: application/json",
		"Authorization: Bearer sk-0123456789abcdef0123456789abcdef", "X-Stainless-Lang: python", "X-Stainless-Arch: x64",
		"Content-Length: 120", "x-model: llama")
}

// table has n routes in each of two hosts; the last of them takes what nobody
// else does.
func table(t testing.TB, n int) *router.Table[string] {
	t.Helper()
	var routes []router.Entry[string]
	for i := range n - 1 {
		m := router.Match{Prefix: fmt.Sprintf("/v2/models/model-%d/", i)}
		if i%2 == 1 {
			m = router.Match{Path: fmt.Sprintf("/v1/models/model-%d", i)}
		}
		routes = append(routes, router.Entry[string]{Match: m, Value: "one"})
	}
	routes = append(routes, prefix("/", "last"))
	table, err := router.NewTable([]router.VirtualHost[string]{
		{Domains: []string{"models.example.com", "*.models.example.com"}, Routes: routes},
		{Domains: []string{"*"}, Routes: routes},
	})
	require.NoError(t, err)
	return table
}

func BenchmarkMatch(b *testing.B) {
	sidecar := one(b, router.Match{Prefix: "/"})
	b.Run("sidecar", func(b *testing.B) { run(b, sidecar, chat(b, "localhost:8000", "/v1/chat/completions")) })
	for _, n := range []int{1, 10, 100, 5000} {
		t := table(b, n)
		b.Run(fmt.Sprint(n, "/last"), func(b *testing.B) { run(b, t, chat(b, "models.example.com", "/v1/chat/completions")) })
		b.Run(fmt.Sprint(n, "/middle"), func(b *testing.B) {
			run(b, t, chat(b, "Eu.Models.example.com", fmt.Sprintf("/v2/models/model-%d/infer", n/4*2)))
		})
	}
	byHeader := one(b, router.Match{Prefix: "/v1/", Headers: []router.HeaderMatch{{Name: "x-model", Value: exact("llama")}}})
	b.Run("header", func(b *testing.B) { run(b, byHeader, chat(b, "localhost", "/v1/chat/completions")) })
	byRegex := one(b, router.Match{Regex: regexp.MustCompile(`/v[12]/models/([^/]+)/infer`)})
	b.Run("regex", func(b *testing.B) { run(b, byRegex, chat(b, "localhost", "/v2/models/llama/infer")) })
}

func run(b *testing.B, t *router.Table[string], h *fasthttp.RequestHeader) {
	b.Helper()
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := t.Match(h); !ok {
			b.Fatal("no match")
		}
	}
}

func TestMatchDoesNotAllocate(t *testing.T) {
	everything := router.Match{
		Prefix: "/V1/", IgnoreCase: true,
		Headers: []router.HeaderMatch{
			{Name: "X-Model", Value: &router.StringMatch{Kind: router.Contains, Text: "AMA", IgnoreCase: true}},
			{Name: "content-type", Value: exact("application/json")},
			{Name: "x-stainless-os"},
			{Name: ":method", Value: exact("GET")},
			// No regular expression: theirs is a sync.Pool, which forgets at random under
			// the race detector. The benchmark shows that they do not allocate either.
			{Name: ":path", Value: &router.StringMatch{Kind: router.Suffix, Text: "a=1"}},
		},
		Query: []router.QueryMatch{{Name: "a", Value: exact("1")}},
	}
	for name, table := range map[string]*router.Table[string]{"bare": one(t, router.Match{Prefix: "/"}), "conditions": one(t, everything), "index": table(t, 100)} {
		for _, host := range []string{"models.example.com", "A.Models.Example.COM:80"} {
			h := chat(t, host, "/v1/chat/completions?a=1")
			ok := true
			n := testing.AllocsPerRun(100, func() {
				_, matched := table.Match(h)
				ok = ok && matched
			})
			require.True(t, ok, name)
			require.Zero(t, n, name)
		}
	}
}
