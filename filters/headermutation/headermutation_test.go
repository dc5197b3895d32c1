package headermutation_test

import (
	"context"
	"errors"
	"iter"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp"

	"github.com/fridaymesh/friday/filters/headermutation"
	"github.com/fridaymesh/friday/proxy"
	"github.com/fridaymesh/friday/proxy/format"
)

func add(t *testing.T, name, value string) *format.Mutation {
	t.Helper()
	m, err := format.NewMutation([]format.HeaderValue{{Name: name, Value: value}}, nil)
	require.NoError(t, err)
	return m
}

func level(t *testing.T, value string, last bool) *headermutation.Config {
	t.Helper()
	return &headermutation.Config{
		Request: []*format.Mutation{add(t, "x-level", value)}, Response: []*format.Mutation{add(t, "x-level", value)}, SpecificLast: last,
	}
}

// TestLevels: the chain's own mutations come first, then those of the most specific level,
// or else of the least.
func TestLevels(t *testing.T) {
	t.Parallel()
	host, route := level(t, "host", false), level(t, "route", false)
	for name, tt := range map[string]struct {
		configs []proxy.FilterConfig
		want    string
	}{
		"the chain's alone":       {[]proxy.FilterConfig{level(t, "chain", false)}, "chain"},
		"a route's alone":         {[]proxy.FilterConfig{nil, route}, "route"},
		"the most specific":       {[]proxy.FilterConfig{level(t, "chain", false), host, route}, "chain route host"},
		"the most specific, last": {[]proxy.FilterConfig{level(t, "chain", true), host, route}, "chain host route"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, err := headermutation.Builder{}.Build(headermutation.Builder{}.Combine(tt.configs), proxy.Env{})
			require.NoError(t, err)
			for _, failing := range []bool{false, true} {
				h, seen := new(fasthttp.RequestHeader), ""
				h.SetRequestURI("/")
				resp, err := f.Handle(t.Context(), &proxy.Request{Header: h}, proxy.HandlerFunc(func(_ context.Context, req *proxy.Request) (*proxy.Response, error) {
					seen = joined(req.Header.All(), "x-level")
					if failing {
						return nil, errors.New("no upstream")
					}
					return proxy.NewResponse(), nil
				}))
				require.Equal(t, tt.want, seen)
				out := new(fasthttp.ResponseHeader)
				if err == nil {
					out = &resp.Header
				} else {
					proxy.AsError(t.Context(), err).Decorate(out)
				}
				require.Equal(t, tt.want, joined(out.All(), "x-level"))
			}
		})
	}
}

// joined are the values of the headers of a name, whatever its case.
func joined(headers iter.Seq2[[]byte, []byte], name string) string {
	var all []string
	for n, v := range headers {
		if strings.EqualFold(string(n), name) {
			all = append(all, string(v))
		}
	}
	return strings.Join(all, " ")
}

// TestRemoval: by name and by what names match; what is added later stays.
func TestRemoval(t *testing.T) {
	t.Parallel()
	removal, err := format.NewMutation(nil, []string{"x-gone"})
	require.NoError(t, err)
	many := format.NewRemoval(func(name []byte) bool { return strings.HasPrefix(strings.ToLower(string(name)), "x-many-") })
	f, err := headermutation.Builder{}.Build(&headermutation.Config{Request: []*format.Mutation{removal, many, add(t, "x-many-c", "%REQ(x-kept)%")}}, proxy.Env{})
	require.NoError(t, err)
	h := new(fasthttp.RequestHeader)
	h.SetRequestURI("/")
	for _, name := range []string{"X-Gone", "X-Many-A", "X-Many-B", "X-Kept"} {
		h.Set(name, "v")
	}
	_, err = f.Handle(t.Context(), &proxy.Request{Header: h}, proxy.HandlerFunc(func(context.Context, *proxy.Request) (*proxy.Response, error) {
		return proxy.NewResponse(), nil
	}))
	require.NoError(t, err)
	require.Empty(t, h.Peek("X-Gone"))
	require.Empty(t, h.Peek("X-Many-A"))
	require.Empty(t, h.Peek("X-Many-B"))
	require.Equal(t, "v", joined(h.All(), "x-many-c"))
	require.Equal(t, "v", string(h.Peek("X-Kept")))
}
