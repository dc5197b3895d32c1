package config

import (
	"context"
	"net/http"

	"github.com/fridaymesh/friday/proxy"
)

// chained is a chain of filters and what ends it.
type chained struct {
	whole proxy.Handler
	// after is what stands behind those filters that asked for it, by name; nil: none did.
	after map[string]proxy.Handler
}

// behind notes that what there is so far stands behind a filter.
func (c *chained) behind(filter string) {
	if c.after == nil {
		c.after = make(map[string]proxy.Handler)
	}
	c.after[filter] = c.whole
}

// around puts something before the chain, wherever a request begins in it.
func (c *chained) around(f func(proxy.Handler) proxy.Handler) {
	c.whole = f(c.whole)
	for name, h := range c.after {
		c.after[name] = f(h)
	}
}

// originOf names a listener's filter chain by what it is for, not by what it does.
func originOf(l *Listener, id string) string { return l.Name + "\n" + id }

// rest is what filters see as Env.Rest. It looks for the route in the snapshot in force,
// since whoever holds it outlives snapshots.
type rest struct {
	b              *Builder
	origin, filter string
}

var _ proxy.Handler = (*rest)(nil)

func (x *rest) Handle(ctx context.Context, req *proxy.Request) (*proxy.Response, error) {
	if inForce := x.b.inForce.Load(); inForce != nil && (*inForce)[x.origin] != nil {
		if r, ok := (*inForce)[x.origin].Match(req.Header); ok {
			t := r.choose(req)
			req.Route, req.VirtualHost, req.Cluster = r.name, r.host, t.name(req)
			r.rule.Begin(req)
			if h := t.after[x.filter]; h != nil {
				return r.limited(ctx, req, h)
			}
		}
	}
	return nil, &proxy.Error{Status: http.StatusNotFound, Flag: proxy.FlagNoRoute, Unsent: true}
}
