package config

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/fridaymesh/friday/proxy"
	"github.com/fridaymesh/friday/proxy/router"
	"github.com/fridaymesh/friday/proxy/telemetry"
	"github.com/fridaymesh/friday/proxy/tracing"
)

// compiler makes the routes of one filter chain.
type compiler struct {
	change *Change
	http   *HTTP
	env    proxy.Env
	// built has the filters made so far, so that routes of equal configuration
	// share one.
	built map[builtKey]proxy.Filter
	// resumes are the names of the filters that have asked for the rest of their chains.
	resumes map[string]bool
	origin  string
	out     *compiled
}

type builtKey struct {
	name    string
	config  proxy.FilterConfig // a pointer, so equal means the same
	cluster string             // of filters that are made for one
}

func (c *Change) compile(l *Listener, id string, h *HTTP, t *RouteTable) (*compiled, error) {
	key := compiledKey{originOf(l, id), h, t}
	if old := c.reusable(key); old != nil {
		return c.reuse(key, old), nil
	}
	cc := &compiler{
		change: c,
		http:   h,
		env: proxy.Env{
			Log:      c.b.log.With(zap.String(telemetry.FieldListener, l.Name)),
			Metrics:  c.b.registry,
			Origin:   key.origin,
			StateDir: c.b.defaults.StateDir,
			Trial:    c.b.defaults.Trial,
		},
		built:   make(map[builtKey]proxy.Filter),
		resumes: make(map[string]bool),
		origin:  key.origin,
		out:     newCompiled(c.clusters),
	}
	cc.env.Picker, cc.env.Keep = cc.picker, cc.keep
	tracer, err := cc.tracer()
	if err != nil {
		return nil, err
	}
	cc.out.rule = tracing.NewRule(tracer, h.Tracing)
	hosts := make([]router.VirtualHost[*route], 0, len(t.VirtualHosts))
	var errs []error
	for _, vh := range t.VirtualHosts {
		host := router.VirtualHost[*route]{Name: vh.Name, Domains: vh.Domains}
		for i, r := range vh.Routes {
			compiled, err := cc.route(t, vh, r)
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
	var options []router.Option
	if t.IgnorePort {
		options = append(options, router.IgnorePort())
	}
	table, err := router.NewTable(hosts, options...)
	if err != nil {
		return nil, fmt.Errorf("route table %q: %w", t.Name, err)
	}
	cc.out.table = table
	c.compiled[key] = cc.out
	return cc.out, nil
}

// chain composes the filters, each with the most specific of the overrides,
// around last. The cluster is where it leads, empty where that is not known.
func (cc *compiler) chain(cluster string, last proxy.Handler, overrides ...map[string]Override) (chained, error) {
	out := chained{whole: last}
	for i := range slices.Backward(cc.http.Filters) {
		f := &cc.http.Filters[i]
		config, disabled := f.effective(overrides)
		if disabled {
			continue
		}
		filter, err := cc.filter(f, config, cluster)
		if err != nil {
			return chained{}, err
		}
		if cc.resumes[f.Name] {
			out.behind(f.Name)
		}
		out.whole = proxy.Chain(out.whole, filter)
	}
	return out, nil
}

// effective is a filter's configuration under overrides, the most specific first.
func (f *Filter) effective(overrides []map[string]Override) (config proxy.FilterConfig, disabled bool) {
	config, disabled = f.Config, f.Disabled
	combiner, all := f.Factory.(proxy.Combiner)
	levels := []proxy.FilterConfig{f.Config}
	found := false
	for _, m := range overrides {
		o, ok := m[f.Name]
		switch {
		case !ok:
			continue
		case !found:
			found, disabled = true, o.Disabled
			if o.Config != nil {
				config = o.Config
			}
		}
		if o.Config != nil {
			levels = slices.Insert(levels, 1, o.Config) // the least specific first
		}
	}
	if all && len(levels) > 1 {
		config = combiner.Combine(levels)
	}
	return config, disabled
}

func (cc *compiler) filter(f *Filter, config proxy.FilterConfig, cluster string) (proxy.Filter, error) {
	builder, bound := f.Factory.(proxy.ClusterBuilder)
	if bound = bound && cluster != ""; !bound {
		cluster = ""
	}
	key := builtKey{f.Name, config, cluster}
	if b, ok := cc.built[key]; ok {
		return b, nil
	}
	env := cc.env
	env.Log = env.Log.Named(f.Name)
	env.Rest = func() proxy.Handler {
		cc.resumes[f.Name] = true
		return &rest{b: cc.change.b, origin: cc.origin, filter: f.Name}
	}
	var b proxy.Filter
	var err error
	if bound {
		b, err = builder.BuildFor(cluster, config, env)
	} else {
		b, err = f.Factory.Build(config, env)
	}
	if err != nil {
		return nil, fmt.Errorf("filter %q: %w", f.Name, err)
	}
	cc.built[key] = b
	return b, nil
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
