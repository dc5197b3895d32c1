package cors_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp"

	"github.com/fridaymesh/friday/filters/cors"
	"github.com/fridaymesh/friday/proxy"
	"github.com/fridaymesh/friday/proxy/router"
)

func origins(t *testing.T, all ...router.StringMatch) (out []*router.StringMatch) {
	t.Helper()
	for _, m := range all {
		s, err := router.NewString(m)
		require.NoError(t, err)
		out = append(out, s)
	}
	return out
}

func request(method string, headers ...string) *proxy.Request {
	h := new(fasthttp.RequestHeader)
	h.SetMethod(method)
	h.SetRequestURI("/")
	for i := 0; i < len(headers); i += 2 {
		h.Set(headers[i], headers[i+1])
	}
	return &proxy.Request{Header: h, Body: proxy.NoBody}
}

func TestCORS(t *testing.T) {
	t.Parallel()
	const question, origin = "Access-Control-Request-Method", "Origin"
	policy := func(change func(*cors.Config)) *cors.Config {
		c := &cors.Config{
			Origins: origins(t, router.StringMatch{Text: "https://a.test"}, router.StringMatch{Kind: router.Suffix, Text: ".b.test"}),
			Methods: "GET, POST", Headers: "x-a", Expose: "x-b", MaxAge: "600", Credentials: true,
		}
		if change != nil {
			change(c)
		}
		return c
	}
	marked := map[string]string{
		"Access-Control-Allow-Origin": "https://a.test", "Access-Control-Allow-Credentials": "true", "Access-Control-Expose-Headers": "x-b",
	}
	answered := map[string]string{
		"Access-Control-Allow-Origin": "https://a.test", "Access-Control-Allow-Credentials": "true", "Access-Control-Expose-Headers": "x-b",
		"Access-Control-Allow-Methods": "GET, POST", "Access-Control-Allow-Headers": "x-a", "Access-Control-Max-Age": "600",
	}
	for name, tt := range map[string]struct {
		config *cors.Config
		req    *proxy.Request
		passes bool
		want   map[string]string
	}{
		"no origin":                    {policy(nil), request("GET"), true, nil},
		"an origin":                    {policy(nil), request("GET", origin, "https://a.test"), true, marked},
		"an origin that is not there":  {policy(nil), request("GET", origin, "https://c.test"), true, nil},
		"a question":                   {policy(nil), request("OPTIONS", origin, "https://a.test", question, "POST"), false, answered},
		"a question of another":        {policy(nil), request("OPTIONS", origin, "https://c.test", question, "POST"), true, nil},
		"a question of another, here":  {policy(func(c *cors.Config) { c.Refuse = true }), request("OPTIONS", origin, "https://c.test", question, "POST"), false, nil},
		"OPTIONS that is no question":  {policy(nil), request("OPTIONS", origin, "https://a.test"), true, marked},
		"disabled":                     {policy(func(c *cors.Config) { c.Disabled = true }), request("OPTIONS", origin, "https://a.test", question, "POST"), true, nil},
		"no policy":                    {&cors.Config{}, request("OPTIONS", origin, "https://a.test", question, "POST"), true, nil},
		"everybody":                    {&cors.Config{Origins: origins(t, router.StringMatch{Text: "*"})}, request("GET", origin, "x"), true, map[string]string{"Access-Control-Allow-Origin": "x"}},
		"a private network is refused": {policy(nil), request("OPTIONS", origin, "https://a.test", question, "GET", "Access-Control-Request-Private-Network", "true"), false, answered},
		"a private network": {
			&cors.Config{Origins: origins(t, router.StringMatch{Text: "*"}), PrivateNetwork: true}, request("OPTIONS", origin, "x", question, "GET", "Access-Control-Request-Private-Network", "true"), false,
			map[string]string{"Access-Control-Allow-Origin": "x", "Access-Control-Allow-Private-Network": "true"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, failing := range []bool{false, true} {
				passed := false
				f, err := cors.Builder{}.Build(tt.config, proxy.Env{})
				require.NoError(t, err)
				resp, err := f.Handle(t.Context(), tt.req, proxy.HandlerFunc(func(context.Context, *proxy.Request) (*proxy.Response, error) {
					passed = true
					if failing {
						return nil, errors.New("no upstream")
					}
					return proxy.NewResponse(), nil
				}))
				h := new(fasthttp.ResponseHeader)
				switch {
				case err == nil:
					h = &resp.Header
				case proxy.AsError(t.Context(), err).Decorate != nil: // answers that are made here are marked, too
					proxy.AsError(t.Context(), err).Decorate(h)
				}
				require.Equal(t, tt.passes, passed)
				got := map[string]string{}
				for name, value := range h.All() {
					if lower := strings.ToLower(string(name)); strings.HasPrefix(lower, "access-control-") {
						got[lower] = string(value)
					}
				}
				require.Len(t, got, len(tt.want))
				for name, value := range tt.want {
					require.Equal(t, value, got[strings.ToLower(name)], name)
				}
			}
		})
	}
}
