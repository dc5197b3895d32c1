package cache_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/filters/cache"
	"github.com/fridaymesh/friday/filters/filtertest"
	"github.com/fridaymesh/friday/proxy"
)

// echo answers everything with how often it was asked, so that what is given again shows.
func echo(tb testing.TB, config string, headers ...string) (*door, *atomic.Int32) {
	tb.Helper()
	calls := new(atomic.Int32)
	return over(tb, config, func(_ context.Context, _ *proxy.Request) (*proxy.Response, error) {
		n := calls.Add(1)
		return answer(200, fmt.Sprintf(`{"data":[{"index":0,"embedding":[%d]}],"choices":[%d]}`, n, n), headers...), nil
	}), calls
}

func TestWhoSharesWithWhom(t *testing.T) {
	const text, cold = `{"model":"e","input":"a"}`, `{"model":"m","temperature":0,"messages":[1]}`
	for _, test := range []struct {
		name, config       string
		headers1, headers2 []string
		share              bool
	}{
		{name: "the same", share: true},
		{name: "another key", headers1: []string{"Authorization", "Bearer a"}, headers2: []string{"Authorization", "Bearer b"}},
		{name: "a key and none", headers1: []string{"Authorization", "Bearer a"}},
		{name: "none and a key", headers2: []string{"authorization", "Bearer a"}},
		{name: "the same key", headers1: []string{"Authorization", "Bearer a"}, headers2: []string{"authorization", "Bearer a"}, share: true},
		{name: "a key under another name", headers1: []string{"x-api-key", "a"}, headers2: []string{"api-key", "a"}},
		{name: "a key in two parts", headers1: []string{"x-api-key", "ab"}, headers2: []string{"x-api-key", "a", "api-key", "b"}},
		{name: "an empty key", headers1: []string{"x-api-key", ""}, headers2: nil},
		{name: "an organization", headers1: []string{"OpenAI-Organization", "a"}, headers2: []string{"openai-organization", "b"}},
		{name: "a cookie", headers1: []string{"Cookie", "s=1"}, headers2: []string{"Cookie", "s=2"}},
		{name: "a host", headers1: []string{"Host", "a"}, headers2: []string{"Host", "b"}},
		{name: "what is welcome", headers1: []string{"Accept-Encoding", "gzip"}},
		{name: "told to", config: "tenant_headers: 'x-tenant'", headers1: []string{"Authorization", "a", "x-tenant", "1"}, headers2: []string{"Authorization", "b", "X-Tenant", "1"}, share: true},
		{name: "told not to", config: "tenant_headers: 'x-tenant'", headers1: []string{"x-tenant", "1"}, headers2: []string{"x-tenant", "2"}},
		{name: "another agent", headers1: []string{"User-Agent", "a"}, headers2: []string{"User-Agent", "b"}, share: true},
		{name: "an idempotency key", headers1: []string{"Idempotency-Key", "a"}, headers2: []string{"Idempotency-Key", "a"}},
		{name: "a digest", headers1: []string{"Content-Digest", "a"}, headers2: []string{"Content-Digest", "a"}},
	} {
		for _, p := range []struct{ path, body string }{{embedPath, text}, {chatPath, cold}} {
			t.Run(test.name+" "+p.path, func(t *testing.T) {
				d, calls := echo(t, test.config)
				first := d.ask(t, p.path, p.body, test.headers1...)
				second := d.ask(t, p.path, p.body, test.headers2...)
				require.Equal(t, test.share, first.body == second.body)
				require.EqualValues(t, map[bool]int{true: 1, false: 2}[test.share], calls.Load())
			})
		}
	}
}

func TestWhatIsTheSame(t *testing.T) {
	const anything = "determinism: ANY"
	for _, test := range []struct {
		config, path, first, second string
		share                       bool
	}{
		{anything, chatPath, `{"model":"m","seed":9007199254740993}`, `{"model":"m","seed":9007199254740993}`, true},
		{anything, chatPath, `{"model":"m","seed":9007199254740993}`, `{"model":"m","seed":9007199254740992}`, false},
		{anything, chatPath, `{"model":"m","top_p":1.0}`, `{"model":"m","top_p":1}`, false},
		{anything, chatPath, `{"model":"m","top_p":1}`, ` { "top_p" : 1 , "model" : "m" } `, true},
		{anything, chatPath, `{"a":{"b":[1,{"c":2,"d":3}]},"model":"m"}`, `{"model":"m","a":{"b":[1,{"d":3,"c":2}]}}`, true},
		{anything, chatPath, `{"a":[1,2],"model":"m"}`, `{"model":"m","a":[2,1]}`, false},
		{anything, chatPath, `{"a":[[1],2],"model":"m"}`, `{"model":"m","a":[[1,2]]}`, false},
		{anything, chatPath, `{"a":"1","model":"m"}`, `{"model":"m","a":1}`, false},
		{anything, chatPath, `{"model":"m","stream":true}`, `{"model":"m"}`, false},
		{anything, chatPath, `{"model":"m"}`, `{"model":"n"}`, false},
		{anything, chatPath, `{"model":"m","user":"a"}`, `{"model":"m","user":"b"}`, false},
		// Not to be written in one way.
		{anything, chatPath, `{"model":"m","a":1,"a":2}`, `{"model":"m","a":1,"a":2}`, false},
		{anything, chatPath, `{"model":"m","b":{"a":1,"a":1}}`, `{"model":"m","b":{"a":1,"a":1}}`, false},
		{anything, chatPath, `{"model":"m","\u0061":1}`, `{"model":"m","\u0061":1}`, false},
		{anything, chatPath, "{\"model\":\"m\xff\"}", "{\"model\":\"m\xff\"}", false},
		{anything, chatPath, `{"model":"m"} x`, `{"model":"m"} x`, false},
		{anything, chatPath, `["m"]`, `["m"]`, false},
		{anything, chatPath, `{"model":"m","store":true}`, `{"model":"m","store":true}`, false},
		// What may be given again.
		{"", chatPath, `{"model":"m","temperature":0}`, `{"model":"m","temperature":0}`, true},
		{"", chatPath, `{"model":"m","temperature":0.0}`, `{"model":"m","temperature":0.0}`, true},
		{"", chatPath, `{"model":"m","temperature":0.7}`, `{"model":"m","temperature":0.7}`, false},
		{"", chatPath, `{"model":"m","temperature":null}`, `{"model":"m","temperature":null}`, false},
		{"", chatPath, `{"model":"m","temperature":"0"}`, `{"model":"m","temperature":"0"}`, false},
		{"", chatPath, `{"model":"m"}`, `{"model":"m"}`, false},
		{"", chatPath, `{"model":"m","seed":1}`, `{"model":"m","seed":1}`, false},
		{"", "/v1/completions", `{"model":"m","prompt":"a","temperature":0}`, `{"model":"m","prompt":"a","temperature":0}`, true},
		{"", "/v1/completions", `{"model":"m","prompt":"a"}`, `{"model":"m","prompt":"a"}`, false},
		{"determinism: SEEDED", chatPath, `{"model":"m","seed":1,"temperature":0.7}`, `{"model":"m","seed":1,"temperature":0.7}`, true},
		{"determinism: SEEDED", chatPath, `{"model":"m","temperature":0.7}`, `{"model":"m","temperature":0.7}`, false},
		{anything, chatPath, `{"model":"m","temperature":0.7}`, `{"model":"m","temperature":0.7}`, true},
		{"protocols: OPENAI", chatPath, `{"model":"m","temperature":0}`, `{"model":"m","temperature":0}`, false},
		{"disabled: true", embedPath, `{"model":"m","input":"a"}`, `{"model":"m","input":"a"}`, false},
		// Items.
		{"", embedPath, `{"model":"m","input":"a"}`, `{"model":"m","input":["a"]}`, true},
		{"", embedPath, `{"model":"m","input":"a"}`, `{"model":"m","input":"a "}`, false},
		{"", embedPath, `{"model":"m","input":"a"}`, `{"model":"n","input":"a"}`, false},
		{"", embedPath, `{"model":"m","input":"a","dimensions":3}`, `{"model":"m","input":"a","dimensions":3.0}`, false},
		{"", embedPath, `{"model":"m","input":"1"}`, `{"model":"m","input":[1]}`, false},
		{"", embedPath, `{"model":"m","input":[9007199254740993]}`, `{"model":"m","input":[9007199254740992]}`, false},
		{"", embedPath, `{"model":"m","input":[1,2]}`, `{"model":"m","input":[[1,2]]}`, true}, // the token ids of one text
		{"", embedPath + "?v=1", `{"model":"m","input":"a"}`, `{"model":"m","input":"a"}`, true},
		{"", predictPath, `{"instances":[1]}`, `{"instances":[1]}`, false},
	} {
		d, _ := echo(t, test.config)
		first := d.ask(t, test.path, test.first)
		second := d.ask(t, test.path, test.second)
		require.Equal(t, test.share, first.body == second.body, "%s: %s and %s", test.config, test.first, test.second)
	}
}

// What was kept under one list of tenants' headers is not found under another.
func TestAnotherListOfTenants(t *testing.T) {
	server := filtertest.NewServer(1, 0, 0)
	d := newDoor(t, "tenant_headers: 'x-tenant'", server)
	d.ask(t, embedPath, texts("a"), "Authorization", "Bearer a")
	after := proxy.Chain(server, d.house.Build(t, cache.Factory{}, ""))
	r := call(t.Context(), after, filtertest.Request(embedPath, texts("a"), "x-friday-debug", "1"))
	require.Equal(t, "miss", r.header["x-friday-cache"])
	require.Len(t, server.Calls(), 2)
	// And the state is the same one: what was kept before is there for the old list.
	require.Equal(t, "hit", d.ask(t, embedPath, texts("a"), "Authorization", "Bearer b").header["x-friday-cache"])
}

// Tenants do not wait for each other's calls either.
func TestTenantsInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDoor(t, "", filtertest.NewServer(8, time.Second, 0))
		i := 0
		all(t.Context(), d, 4, func() *proxy.Request {
			i++
			return filtertest.Request(embedPath, texts("a"), "x-api-key", fmt.Sprint(i))
		})
		require.Len(t, d.server.Calls(), 4)
	})
}

func TestCacheControl(t *testing.T) {
	const text, cold = `{"model":"e","input":"a"}`, `{"model":"m","temperature":0}`
	for _, test := range []struct {
		name             string
		answers          []string // headers of the answers
		first, then      []string // headers of the requests
		after            time.Duration
		result           string
		resultAfterwards string
	}{
		{name: "caller: no-store", then: []string{"Cache-Control", "no-store"}, result: "bypass", resultAfterwards: "hit"},
		{name: "caller: no-store first", first: []string{"Cache-Control", "no-store"}, result: "miss"},
		{name: "caller: no-cache", then: []string{"Cache-Control", "no-cache"}, result: "miss", resultAfterwards: "hit"},
		{name: "caller: pragma", then: []string{"Pragma", "no-cache"}, result: "miss"},
		{name: "caller: max-age enough", then: []string{"Cache-Control", "max-age=5"}, after: 5 * time.Second, result: "hit"},
		{name: "caller: max-age too small", then: []string{"Cache-Control", "max-age=4"}, after: 5 * time.Second, result: "miss"},
		{name: "caller: max-age that is none", then: []string{"Cache-Control", "max-age=x"}, after: time.Second, result: "miss"},
		{name: "caller: quoted", then: []string{"Cache-Control", `x="no-store, no-cache"`}, result: "hit"},
		{name: "server: no-store", answers: []string{"Cache-Control", "no-store"}, result: "miss"},
		{name: "server: no-cache", answers: []string{"cache-control", "No-Cache"}, result: "miss"},
		{name: "server: private", answers: []string{"Cache-Control", "private, max-age=60"}, result: "miss"},
		{name: "server: max-age", answers: []string{"Cache-Control", "max-age=60"}, after: 59 * time.Second, result: "hit"},
		{name: "server: max-age has passed", answers: []string{"Cache-Control", "max-age=60"}, after: 60 * time.Second, result: "miss"},
		{name: "server: s-maxage wins", answers: []string{"Cache-Control", "max-age=60, s-maxage=10"}, after: 10 * time.Second, result: "miss"},
		{name: "server: age counts", answers: []string{"Cache-Control", "max-age=60", "Age", "50"}, after: 10 * time.Second, result: "miss"},
		{name: "server: max-age beyond the ttl", answers: []string{"Cache-Control", "max-age=99999"}, after: time.Hour, result: "miss"},
		{name: "server: a cookie", answers: []string{"Set-Cookie", "a=1"}, result: "miss"},
		{name: "server: varies by what is in the key", answers: []string{"Vary", "Accept-Encoding, authorization"}, result: "hit"},
		{name: "server: varies by something else", answers: []string{"Vary", "User-Agent"}, result: "miss"},
		{name: "server: varies", answers: []string{"Vary", "*"}, result: "miss"},
		{name: "server: encoded", answers: []string{"Content-Encoding", "gzip"}, result: "miss"},
	} {
		for _, p := range []struct{ path, body string }{{embedPath, text}, {chatPath, cold}} {
			t.Run(test.name+" "+p.path, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					d, _ := echo(t, "", test.answers...)
					d.ask(t, p.path, p.body, test.first...)
					time.Sleep(test.after)
					require.Equal(t, test.result, d.ask(t, p.path, p.body, test.then...).header["x-friday-cache"])
					if test.resultAfterwards != "" {
						require.Equal(t, test.resultAfterwards, d.ask(t, p.path, p.body).header["x-friday-cache"])
					}
				})
			})
		}
	}
	d, calls := echo(t, "")
	for _, p := range []struct{ path, body string }{{embedPath, text}, {chatPath, cold}} {
		r := call(t.Context(), d, filtertest.Request(p.path, p.body, "Cache-Control", "only-if-cached"))
		var pe *proxy.Error
		require.ErrorAs(t, r.err, &pe)
		require.Equal(t, 504, pe.Status)
	}
	require.Zero(t, calls.Load())
}

// What is for one caller is not given to those who wait with it.
func TestNotShared(t *testing.T) {
	for _, headers := range [][]string{{"Set-Cookie", "a=1"}, {"Cache-Control", "no-store"}, {"Vary", "*"}} {
		for _, p := range []struct{ path, body string }{{embedPath, `{"model":"e","input":"a"}`}, {chatPath, `{"model":"m","temperature":0}`}} {
			synctest.Test(t, func(t *testing.T) {
				var calls atomic.Int32
				d := over(t, "", func(context.Context, *proxy.Request) (*proxy.Response, error) {
					n := calls.Add(1)
					time.Sleep(time.Second)
					return answer(200, fmt.Sprintf(`{"data":[{"index":0,"e":%d}]}`, n), headers...), nil
				})
				seen := map[string]bool{}
				for _, r := range all(t.Context(), d, 10, func() *proxy.Request { return filtertest.Request(p.path, p.body) }) {
					require.NoError(t, r.err)
					require.False(t, seen[r.body], "each its own")
					seen[r.body] = true
				}
			})
		}
	}
}

// Headers that are about one request are not given to another.
func TestHeadersOfOne(t *testing.T) {
	d, _ := echo(t, "", "x-request-id", "1", "x-ratelimit-remaining-requests", "7", "etag", `"1"`, "x-model", "m", "x-friday-batch-size", "3")
	first := d.ask(t, embedPath, texts("a"))
	require.Equal(t, "1", first.header["x-request-id"])
	second := d.ask(t, embedPath, texts("a"))
	require.Equal(t, "hit", second.header["x-friday-cache"])
	for _, name := range []string{"x-request-id", "x-ratelimit-remaining-requests", "x-friday-batch-size"} {
		require.NotContains(t, second.header, name)
	}
	require.Equal(t, "m", second.header["x-model"])
}
