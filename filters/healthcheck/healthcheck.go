package healthcheck

import (
	"context"
	"net/http"

	"github.com/fridaymesh/friday/proxy"
	"github.com/fridaymesh/friday/proxy/router"
)

// Config is which requests are health checks, and when they are answered 200.
type Config struct {
	Headers *router.Headers
	// Clusters must have so many percent of their endpoints healthy.
	Clusters map[string]float64
}

// Builder makes the filter of a *Config.
type Builder struct{}

var _ proxy.Builder = Builder{}

// Build makes the filter.
func (Builder) Build(config proxy.FilterConfig, env proxy.Env) (proxy.Filter, error) {
	return &filter{config.(*Config), env.Picker}, nil //nolint:forcetypeassert // the parser's
}

type filter struct {
	*Config

	picker func(cluster string) (proxy.Picker, bool)
}

func (f *filter) Handle(ctx context.Context, req *proxy.Request, next proxy.Handler) (*proxy.Response, error) {
	if !f.Headers.Match(req.Header) {
		return next.Handle(ctx, req)
	}
	req.HealthCheck = true
	resp := proxy.NewResponse()
	if !f.healthy() {
		resp.Header.SetStatusCode(http.StatusServiceUnavailable)
	}
	return resp, nil
}

func (f *filter) healthy() bool {
	for name, percent := range f.Clusters {
		cluster, ok := f.picker(name)
		if !ok {
			return false
		}
		endpoints := everyone(cluster)
		healthy := 0
		for _, ep := range endpoints {
			if ep.Healthy.Load() {
				healthy++
			}
		}
		if len(endpoints) == 0 && percent > 0 || 100*float64(healthy) < percent*float64(len(endpoints)) {
			return false
		}
	}
	return true
}

// everyone is a cluster's endpoints, also those that are not picked.
func everyone(p proxy.Picker) []*proxy.Endpoint {
	if all, ok := p.(interface{ All() []*proxy.Endpoint }); ok {
		return all.All()
	}
	return p.Endpoints()
}
