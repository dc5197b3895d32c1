package config

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/fridaymesh/friday/proxy"
	"github.com/fridaymesh/friday/proxy/action"
	"github.com/fridaymesh/friday/proxy/format"
	"github.com/fridaymesh/friday/proxy/tracing"
)

// route is a Route, compiled.
type route struct {
	*limits

	name, host string
	targets    []target
	total      uint32 // of the targets' weights
	draw       string
	policies   []action.HashPolicy // where the draw is by hash
	// secure, where not nil, answers what did not come over TLS.
	secure proxy.Handler
	rule   *tracing.Rule
}

// limits are a route's limits of time.
type limits struct {
	timeout, duration time.Duration
	idle, grpc        *time.Duration
	offset            time.Duration
}

// target is where a route leads: a cluster, or an answer of its own.
type target struct {
	cluster string
	header  string // that names the cluster
	weight  uint32
	chained
}

// choose picks a target by weight.
func (r *route) choose(req *proxy.Request) *target {
	if len(r.targets) == 1 {
		return &r.targets[0]
	}
	n := r.number(req)
	for i := range r.targets {
		if n < r.targets[i].weight {
			return &r.targets[i]
		}
		n -= r.targets[i].weight
	}
	return &r.targets[0]
}

// number is a number below total: a random one, or what the request says.
func (r *route) number(req *proxy.Request) uint32 {
	total := uint64(r.total)
	if r.draw != "" {
		if text, ok := format.RequestField(req, r.draw); ok {
			if n, err := strconv.ParseUint(text, 10, 64); err == nil {
				return uint32(n % total) // #nosec G115 -- below total
			}
		}
	}
	if r.policies != nil {
		if n, ok := action.Hash(r.policies, req); ok {
			return uint32(n % total) // #nosec G115 -- below total
		}
	}
	return rand.Uint32N(r.total) // #nosec G404 -- shares of traffic need no secrecy
}

// name of the cluster that req goes to.
func (t *target) name(req *proxy.Request) string {
	if t.header == "" {
		return t.cluster
	}
	name, _ := format.RequestField(req, t.header)
	return name
}

func (cc *compiler) route(t *RouteTable, vh *VirtualHost, r *Route) (*route, error) {
	out := &route{
		name: r.Name, host: vh.Name, draw: r.Draw,
		limits: &limits{timeout: r.Timeout, idle: r.IdleTimeout, duration: r.MaxDuration, grpc: r.GRPCTimeout, offset: r.GRPCOffset},
	}
	if out.name == "" {
		out.name = vh.Name
	}
	out.rule = cc.out.rule.With(r.Tracing)
	if r.DrawByHash {
		out.policies = r.Forward.Hash
	}
	if vh.RequireTLS {
		out.secure = proxy.HandlerFunc(toHTTPS)
	}
	actions := 0
	for _, is := range []bool{len(r.Clusters) > 0, r.Direct != nil, r.Redirect != nil} {
		if is {
			actions++
		}
	}
	if actions != 1 {
		return nil, errors.New("exactly one of a cluster, a direct response and a redirect is needed")
	}
	if len(r.Clusters) == 0 {
		chain, err := cc.own(r, t.levels(vh, r, nil), vh)
		out.targets = []target{{chained: chain}}
		return out, err
	}
	for i := range r.Clusters {
		wc := &r.Clusters[i]
		if out.total+wc.Weight < out.total {
			return nil, errors.New("weighted clusters: the sum of the weights is too large")
		}
		out.total += wc.Weight
		last, err := cc.forward(r, wc, t.levels(vh, r, wc))
		if err != nil {
			return nil, err
		}
		chain, err := cc.chain(wc.Name, last, wc.Overrides, r.Overrides, vh.Overrides)
		if err != nil {
			return nil, err
		}
		chain.around(func(h proxy.Handler) proxy.Handler { return cc.pinned(h, r, wc) })
		out.targets = append(out.targets, target{cluster: wc.Name, header: wc.Header, weight: wc.Weight, chained: chain})
	}
	if len(out.targets) > 1 && out.total == 0 {
		return nil, errors.New("weighted clusters: the sum of the weights is 0")
	}
	return out, nil
}

// toHTTPS answers with the same address under https.
func toHTTPS(_ context.Context, req *proxy.Request) (*proxy.Response, error) {
	action.OriginForm(req.Header)
	resp := proxy.NewResponse()
	resp.Header.SetStatusCode(http.StatusMovedPermanently)
	proxy.AddField(&resp.Header, "location", "https://"+string(req.Header.Host())+string(req.Header.RequestURI()))
	return resp, nil
}

// own is the chain of a route that answers by itself.
func (cc *compiler) own(r *Route, levels []action.Headers, vh *VirtualHost) (chained, error) {
	var last proxy.Handler
	var err error
	if r.Direct != nil {
		last, err = action.NewDirect(r.Direct, levels)
	} else {
		last, err = action.NewRedirect(r.Redirect, levels)
	}
	if err != nil {
		return chained{}, err
	}
	return cc.chain("", last, r.Overrides, vh.Overrides)
}

// levels are the header mutations that apply, in their order.
func (t *RouteTable) levels(vh *VirtualHost, r *Route, wc *WeightedCluster) []action.Headers {
	levels := []action.Headers{r.Headers, vh.Headers, t.Headers}
	if t.SpecificLast {
		slices.Reverse(levels)
	}
	if wc != nil { // comes first in any case, in Envoy
		levels = slices.Insert(levels, 0, wc.Headers)
	}
	return levels
}

// forward is what ends the chain to a cluster.
func (cc *compiler) forward(r *Route, wc *WeightedCluster, levels []action.Headers) (proxy.Handler, error) {
	directory := cc.out.directory
	find := func(name string) (proxy.Handler, bool) {
		cl, ok := (*directory.clusters.Load())[name]
		return cl, ok
	}
	unknown := noCluster(r.UnknownStatus)
	next := unknown
	if wc.Header != "" {
		next = &named{find: find, unknown: unknown}
	} else if cl, ok := cc.cluster(wc.Name); ok {
		next = cl
	}
	for i := range r.Forward.Mirrors {
		cc.cluster(r.Forward.Mirrors[i].Cluster)
	}
	f := r.Forward
	f.Levels = levels
	if wc.Host != "" {
		f.Rewrite.Host, f.Rewrite.HostHeader, f.Rewrite.HostRegex = wc.Host, "", nil
	}
	f.Mirrors = slices.Clone(f.Mirrors)
	for i := range f.Mirrors {
		f.Mirrors[i].Log, f.Mirrors[i].Timeout = cc.env.Log, r.Timeout
	}
	h, err := action.NewForward(&f, next, find)
	if err != nil {
		return nil, fmt.Errorf("cluster %q: %w", wc.Name, err)
	}
	return h, nil
}

// noCluster answers for a cluster that does not exist, as Envoy does.
func noCluster(status int) proxy.Handler {
	if status == 0 {
		status = http.StatusServiceUnavailable
	}
	return proxy.HandlerFunc(func(context.Context, *proxy.Request) (*proxy.Response, error) {
		return nil, &proxy.Error{Status: status, Flag: proxy.FlagNoCluster}
	})
}

// named sends each request to the cluster that it names.
type named struct {
	find    func(name string) (proxy.Handler, bool)
	unknown proxy.Handler
}

func (n *named) Handle(ctx context.Context, req *proxy.Request) (*proxy.Response, error) {
	if cl, ok := n.find(req.Cluster); ok {
		return cl.Handle(ctx, req)
	}
	return n.unknown.Handle(ctx, req)
}
