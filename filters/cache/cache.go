package cache

import (
	"context"
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/anypb"

	"github.com/fridaymesh/friday/filters/cache/shared"
	"github.com/fridaymesh/friday/filters/inference"
	"github.com/fridaymesh/friday/proxy"
	cachev1 "github.com/fridaymesh/friday/xds/api/friday/filters/http/cache/v1"
	"github.com/fridaymesh/friday/xds/api/settings"
)

const (
	// Name is the filter's name in a chain.
	Name = "friday.filters.http.cache"
	// TypeURL is the type of its configuration.
	TypeURL = "type.googleapis.com/friday.filters.http.cache.v1.Cache"
)

// maxCallBytes is the largest request body that is looked into; a larger one
// passes untouched.
const maxCallBytes = 16 << 20

// Factory declares the filter.
type Factory struct{}

var _ proxy.Factory = Factory{}

// TypeURL is [TypeURL].
func (Factory) TypeURL() string { return TypeURL }

// Parse reads a configuration of [TypeURL] into a [*Config]; a nil one is one with nothing
// set. Errors name the field and the value.
func (Factory) Parse(config *anypb.Any) (proxy.FilterConfig, error) {
	return settings.Parse(config, parse)
}

// Build makes the filter of one route's configuration. Those of equal max_bytes share
// one state.
func (Factory) Build(config proxy.FilterConfig, env proxy.Env) (proxy.Filter, error) {
	c, ok := config.(*Config)
	if !ok {
		return nil, fmt.Errorf("%s: a configuration of type %T", Name, config)
	}
	name := fmt.Sprintf("%s %d", Name, c.MaxBytes)
	s, err := proxy.Kept(env, name, func() (*state, error) { return newState(env, c.MaxBytes) })
	if err != nil {
		return nil, fmt.Errorf("%s: %w", Name, err)
	}
	switch {
	case c.Persist && env.StateDir != "":
		s.persist(env.StateDir)
	case c.Persist && !env.Trial:
		env.Log.Warn("persist: nothing is kept across restarts without --state-dir")
	}
	f := &filter{config: c, state: s, names: newHeaderSet(c.TenantHeaders)}
	if c.Shared != nil && !env.Trial {
		f.tier, err = proxy.Kept(env, Name+" shared "+c.Shared.String(), func() (*shared.Store, error) {
			return shared.Open(*c.Shared, shared.Env{Log: s.log, Metrics: s.metrics}), nil
		})
		if err != nil {
			return nil, fmt.Errorf("%s: shared: %w", Name, err)
		}
		f.tier.Tell(name, func(model string, before time.Time) { s.purge(model, before) })
	}
	return f, nil
}

// filter is one route's cache. It is immutable; what changes is in the state.
type filter struct {
	config *Config
	state  *state
	tier   *shared.Store // nil: none
	names  headerSet
}

var _ proxy.Filter = (*filter)(nil)

// Handle answers req from what is known, as far as that goes. What is not understood, or
// may not be answered twice, passes untouched.
func (f *filter) Handle(ctx context.Context, req *proxy.Request, next proxy.Handler) (*proxy.Response, error) {
	if f.config.Disabled || !req.Header.IsPost() || req.Upgrade != "" {
		return next.Handle(ctx, req)
	}
	if protocol := wholeProtocol(req.Header.RequestURI()); protocol != "" {
		return f.handleWhole(ctx, req, next, protocol)
	}
	call, err := inference.Of(req, maxCallBytes)
	if err != nil {
		return nil, fmt.Errorf("reading the request: %w", err)
	}
	if call == nil || call.GRPC || !f.wanted(call.Protocol) {
		return next.Handle(ctx, req)
	}
	l := f.look(req, next)
	if l.passes || l.control.noStore || f.config.Usage == cachev1.Cache_BYPASS && call.Usage && call.Items > 1 {
		return l.pass(ctx, bypass)
	}
	return l.serveItems(ctx, call)
}

// handleWhole is Handle for requests for whole answers.
func (f *filter) handleWhole(ctx context.Context, req *proxy.Request, next proxy.Handler, protocol string) (*proxy.Response, error) {
	if !f.wanted(protocol) {
		return next.Handle(ctx, req)
	}
	l := f.look(req, next)
	if l.passes || !l.json || l.control.noStore {
		return l.pass(ctx, bypass)
	}
	body, err := inference.Whole(req, maxCallBytes)
	if err != nil {
		return nil, fmt.Errorf("reading the request: %w", err)
	}
	a := (*asked)(nil)
	if body != nil {
		a = read(protocol, body)
	}
	if a == nil || !a.again(f.config.Determinism) {
		return l.pass(ctx, bypass)
	}
	req.Trace.Model = a.model
	return l.serveWhole(ctx, a, body)
}

// wanted says whether the configuration lets requests of a protocol be cached.
func (f *filter) wanted(protocol string) bool {
	_, found := slices.BinarySearch(f.config.Protocols, protocol)
	return found
}

// lookup is one request on its way through the cache.
type lookup struct {
	head

	filter *filter
	req    *proxy.Request
	next   proxy.Handler
}

func (f *filter) look(req *proxy.Request, next proxy.Handler) *lookup {
	return &lookup{head: f.names.read(req), filter: f, req: req, next: next}
}

// ask is what the request's head says of how it wants to be answered.
func (l *lookup) ask(model string) *ask {
	return &ask{
		config: l.filter.config, cluster: l.req.Cluster, model: model, tier: l.filter.tier, maxAge: l.control.maxAge, anew: l.control.noCache,
		known: l.control.onlyIfCached,
	}
}

// result is what became of a lookup.
type result string

const (
	hit       result = "hit"
	miss      result = "miss"
	partial   result = "partial"
	coalesced result = "coalesced"
	bypass    result = "bypass"
	stale     result = "stale"
)

// debugAnswer says to a caller who asked with x-friday-debug what became of its request.
const debugAnswer = "x-friday-cache"

// done counts a lookup, and tells its caller.
func (l *lookup) done(resp *proxy.Response, r result) *proxy.Response {
	l.filter.state.metrics.CacheLookups.WithLabelValues(l.req.Cluster, string(r)).Inc()
	l.req.Span.Set("friday.cache", string(r))
	if l.debug && resp != nil {
		resp.Header.Set(debugAnswer, string(r))
	}
	return resp
}

// pass has the request answered without the cache.
func (l *lookup) pass(ctx context.Context, r result) (*proxy.Response, error) {
	resp, err := l.next.Handle(ctx, l.req)
	return l.done(resp, r), err
}

// unknown is the answer to who wants nothing but what is known (RFC 9111 section
// 5.2.1.7).
func (l *lookup) unknown() error {
	l.done(nil, miss)
	return &proxy.Error{Status: 504, Flag: proxy.FlagNoHealthyUpstream, Message: "not in the cache"}
}
