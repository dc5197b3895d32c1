package healthcheck_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp"

	"github.com/fridaymesh/friday/filters/healthcheck"
	"github.com/fridaymesh/friday/proxy"
	"github.com/fridaymesh/friday/proxy/router"
)

// cluster has endpoints, some of them healthy.
type cluster struct {
	proxy.Picker

	endpoints []*proxy.Endpoint
}

func (c *cluster) Endpoints() []*proxy.Endpoint { return c.endpoints }

func newCluster(healthy, ill int) *cluster {
	c := &cluster{}
	for i := range healthy + ill {
		ep := new(proxy.Endpoint)
		ep.Healthy.Store(i < healthy)
		c.endpoints = append(c.endpoints, ep)
	}
	return c
}

// TestHealthCheck: a request that is one is answered here, by how many endpoints are
// healthy; others pass.
func TestHealthCheck(t *testing.T) {
	t.Parallel()
	text, err := router.NewString(router.StringMatch{Text: "/healthz"})
	require.NoError(t, err)
	headers, err := router.NewHeaders([]router.HeaderMatch{{Name: ":path", Value: text}})
	require.NoError(t, err)
	clusters := map[string]*cluster{"well": newCluster(2, 0), "half": newCluster(1, 1), "ill": newCluster(0, 2), "empty": newCluster(0, 0)}
	for name, tt := range map[string]struct {
		path   string
		want   map[string]float64
		status int // 0: it passes
	}{
		"another path":        {"/", nil, 0},
		"no cluster to heed":  {"/healthz", nil, 200},
		"all healthy":         {"/healthz", map[string]float64{"well": 100}, 200},
		"half of them":        {"/healthz", map[string]float64{"half": 50}, 200},
		"too few":             {"/healthz", map[string]float64{"half": 51}, 503},
		"none":                {"/healthz", map[string]float64{"ill": 1}, 503},
		"none is enough":      {"/healthz", map[string]float64{"ill": 0, "empty": 0}, 200},
		"one of two clusters": {"/healthz", map[string]float64{"well": 100, "ill": 1}, 503},
		"no endpoints":        {"/healthz", map[string]float64{"empty": 1}, 503},
		"no such cluster":     {"/healthz", map[string]float64{"nowhere": 0}, 503},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, err := healthcheck.Builder{}.Build(&healthcheck.Config{Headers: headers, Clusters: tt.want}, proxy.Env{Picker: func(name string) (proxy.Picker, bool) {
				c, ok := clusters[name]
				return c, ok
			}})
			require.NoError(t, err)
			h := new(fasthttp.RequestHeader)
			h.SetRequestURI(tt.path)
			req := &proxy.Request{Header: h, Body: proxy.NoBody}
			passed := false
			resp, err := f.Handle(t.Context(), req, proxy.HandlerFunc(func(context.Context, *proxy.Request) (*proxy.Response, error) {
				passed = true
				return proxy.NewResponse(), nil
			}))
			require.NoError(t, err)
			require.Equal(t, tt.status == 0, passed)
			require.Equal(t, tt.status != 0, req.HealthCheck)
			if tt.status != 0 {
				require.Equal(t, tt.status, resp.Header.StatusCode())
			}
		})
	}
}
