package config

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/fridaymesh/friday/proxy"
	"github.com/fridaymesh/friday/proxy/router"
	"github.com/fridaymesh/friday/proxy/telemetry"
)

// route is a Route, compiled.
type route struct {
	name    string
	timeout time.Duration
	targets []target
	total   uint32 // of the targets' weights
}

// target is where a route leads: a cluster, or an answer of its own.
type target struct {
	cluster string
	weight  uint32
	chain   proxy.Handler
}

// choose picks a target by weight.
func (r *route) choose() *target {
	if len(r.targets) == 1 {
		return &r.targets[0]
	}
	n := rand.Uint32N(r.total) // #nosec G404 -- shares of traffic need no secrecy
	for i := range r.targets {
		if n < r.targets[i].weight {
			return &r.targets[i]
		}
		n -= r.targets[i].weight
	}
	return &r.targets[0]
}

// compiler makes the routes of one filter chain.
type compiler struct {
	change *Change
	http   *HTTP
	env    proxy.Env
	// built has the filters made so far, so that routes of equal configuration
	// share one.
	built map[builtKey]proxy.Filter
	out   *compiled
}

type builtKey struct {
	name   string
	config proxy.FilterConfig // a pointer, so equal means the same
}

func (c *Change) compile(l *Listener, h *HTTP, t *RouteTable) (*router.Table[*route], error) {
	key := compiledKey{l.Name, h, t}
	if old := c.reusable(key); old != nil {
		return c.reuse(key, old), nil
	}
	cc := &compiler{
		change: c,
		http:   h,
		env: proxy.Env{
			Log:     c.b.log.With(zap.String(telemetry.FieldListener, l.Name)),
			Metrics: c.b.registry,
		},
		built: make(map[builtKey]proxy.Filter),
		out:   newCompiled(c.clusters),
	}
	cc.env.Picker, cc.env.Keep = cc.picker, cc.keep
	hosts := make([]router.VirtualHost[*route], 0, len(t.VirtualHosts))
	var errs []error
	for _, vh := range t.VirtualHosts {
		host := router.VirtualHost[*route]{Name: vh.Name, Domains: vh.Domains}
		for i, r := range vh.Routes {
			compiled, err := cc.route(vh, r)
			if err != nil {
				errs = append(errs, fmt.Errorf("route table %q: virtual host %q: routes[%d]: %w", t.Name, vh.Name, i, err))
				continue
			}
			host.Routes = append(host.Routes, router.Entry[*route]{Match: r.Match, Value: compiled})
		}
		hosts = append(hosts, host)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	table, err := router.NewTable(hosts)
	if err != nil {
		return nil, fmt.Errorf("route table %q: %w", t.Name, err)
	}
	cc.out.table = table
	c.compiled[key] = cc.out
	return table, nil
}

func (cc *compiler) route(vh *VirtualHost, r *Route) (*route, error) {
	out := &route{name: r.Name, timeout: r.Timeout}
	if out.name == "" {
		out.name = vh.Name
	}
	if r.Direct != nil {
		if len(r.Clusters) > 0 {
			return nil, errors.New("both a cluster and a direct response")
		}
		if r.Direct.Status < 200 || r.Direct.Status > 599 {
			return nil, fmt.Errorf("direct response: status %d: must be 200 to 599", r.Direct.Status)
		}
		chain, err := cc.chain(directHandler(r.Direct), r.Overrides, vh.Overrides)
		if err != nil {
			return nil, err
		}
		out.targets = []target{{chain: chain}}
		return out, nil
	}
	for _, wc := range r.Clusters {
		if out.total+wc.Weight < out.total {
			return nil, errors.New("weighted clusters: the sum of the weights is too large")
		}
		out.total += wc.Weight
		chain, err := cc.chain(cc.last(r, wc.Name), wc.Overrides, r.Overrides, vh.Overrides)
		if err != nil {
			return nil, err
		}
		out.targets = append(out.targets, target{cluster: wc.Name, weight: wc.Weight, chain: chain})
	}
	switch {
	case len(out.targets) == 0:
		return nil, errors.New("neither a cluster nor a direct response")
	case len(out.targets) > 1 && out.total == 0:
		return nil, errors.New("weighted clusters: the sum of the weights is 0")
	}
	return out, nil
}

// chain composes the filters, each with the most specific of the overrides,
// around last.
func (cc *compiler) chain(last proxy.Handler, overrides ...map[string]Override) (proxy.Handler, error) {
	filters := make([]proxy.Filter, 0, len(cc.http.Filters))
	for i := range cc.http.Filters {
		f := &cc.http.Filters[i]
		config, disabled := f.Config, f.Disabled
		for _, m := range overrides {
			if o, ok := m[f.Name]; ok {
				disabled = o.Disabled
				if o.Config != nil {
					config = o.Config
				}
				break
			}
		}
		if disabled {
			continue
		}
		filter, err := cc.filter(f, config)
		if err != nil {
			return nil, err
		}
		filters = append(filters, filter)
	}
	return proxy.Chain(last, filters...), nil
}

func (cc *compiler) filter(f *Filter, config proxy.FilterConfig) (proxy.Filter, error) {
	key := builtKey{f.Name, config}
	if b, ok := cc.built[key]; ok {
		return b, nil
	}
	env := cc.env
	env.Log = env.Log.Named(f.Name)
	b, err := f.Factory.Build(config, env)
	if err != nil {
		return nil, fmt.Errorf("filter %q: %w", f.Name, err)
	}
	cc.built[key] = b
	return b, nil
}

// last is what ends a chain: the cluster, behind what the route rewrites.
func (cc *compiler) last(r *Route, name string) proxy.Handler {
	var h proxy.Handler = proxy.HandlerFunc(noCluster)
	if cl, ok := cc.cluster(name); ok {
		h = cl
	}
	if r.PrefixRewrite != "" || r.HostRewrite != "" {
		h = &rewrite{next: h, host: r.HostRewrite, matched: len(r.Match.Prefix) + len(r.Match.Path), prefix: r.PrefixRewrite}
	}
	return h
}

func (h *HTTP) withDefaults(d Defaults) HTTP {
	out := *h
	if out.HeadersTimeout == 0 {
		out.HeadersTimeout = 10 * time.Second
	}
	if out.IdleTimeout == 0 {
		out.IdleTimeout = time.Hour
	}
	if out.MaxHeaderBytes == 0 {
		out.MaxHeaderBytes = 16 << 10
	}
	if out.MaxBodyBytes == 0 {
		out.MaxBodyBytes = d.MaxBodyBytes
	}
	out.Limits = out.Limits.withDefaults()
	return out
}

func directHandler(d *DirectResponse) proxy.Handler {
	body := []byte(strings.Clone(d.Body))
	return proxy.HandlerFunc(func(context.Context, *proxy.Request) (*proxy.Response, error) {
		r := proxy.NewResponse()
		r.Header.SetStatusCode(d.Status)
		if len(body) > 0 && d.Status != http.StatusNoContent && d.Status != http.StatusNotModified {
			r.Header.SetContentType("text/plain")
			r.Body = proxy.NewBytesBody(body)
		}
		return r, nil
	})
}
