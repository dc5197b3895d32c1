package jwtauthn

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/valyala/fasthttp"

	"github.com/fridaymesh/friday/proxy"
	"github.com/fridaymesh/friday/proxy/telemetry"
)

const name = "envoy.filters.http.jwt_authn"

// Builder makes the filter of a *Config.
type Builder struct{}

var (
	_ proxy.Builder  = Builder{}
	_ proxy.Combiner = Builder{}
)

// Combine puts the most specific route's word beside the chain's rules.
func (Builder) Combine(configs []proxy.FilterConfig) proxy.FilterConfig {
	out := Config{}
	if chain, ok := configs[0].(*Config); ok {
		out = *chain
	}
	for _, c := range configs[1:] {
		out.Route = c.(*Config).Route //nolint:forcetypeassert // the parser's
		break                         // the first is the most specific
	}
	return &out
}

// Build makes the filter.
func (Builder) Build(config proxy.FilterConfig, env proxy.Env) (proxy.Filter, error) {
	m := telemetry.New(env.Metrics)
	c := config.(*Config) //nolint:forcetypeassert // the parser's
	f := &filter{
		Config: c, sources: map[*Provider]*source{},
		allowed: m.JWT.WithLabelValues("allowed"), denied: m.JWT.WithLabelValues("denied"),
	}
	if env.Trial {
		return f, nil
	}
	for _, p := range f.Providers {
		if p.Remote == nil {
			continue
		}
		r := *p.Remote
		s, err := proxy.Kept(env, fmt.Sprintf("%s keys %+v", name, r), func() (*source, error) { return newSource(r, env.Log.Named("jwt_authn")), nil })
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if picker, ok := env.Picker(r.Cluster); ok {
			s.use(picker)
		}
		f.sources[p] = s
	}
	return f, nil
}

type filter struct {
	*Config

	sources         map[*Provider]*source
	allowed, denied prometheus.Counter
}

func (f *filter) Handle(ctx context.Context, req *proxy.Request, next proxy.Handler) (*proxy.Response, error) {
	r, err := f.requirement(req)
	if err != nil {
		f.denied.Inc()
		return nil, err
	}
	if r == nil {
		return next.Handle(ctx, req)
	}
	uri := address(req)
	v := visit{ctx: ctx, req: req, sources: f.sources, now: time.Now()}
	if s := v.require(r); s != good {
		if err := context.Cause(ctx); err != nil {
			return nil, err
		}
		f.denied.Inc()
		return nil, f.refusal(uri, s)
	}
	f.allowed.Inc()
	return next.Handle(ctx, req)
}

// requirement is what is asked of the request; nil: nothing.
func (f *filter) requirement(req *proxy.Request) (*Requirement, error) {
	if f.Preflights && preflight(req.Header) {
		return nil, nil //nolint:nilnil // as the comment says
	}
	if f.Route != nil {
		if f.Route.Disabled {
			return nil, nil //nolint:nilnil // as above
		}
		if r, ok := f.Named[f.Route.Requirement]; ok {
			return r, nil
		}
		return nil, &proxy.Error{
			Status: http.StatusForbidden, Flag: proxy.FlagNoCredentials,
			Message: fmt.Sprintf("Failed JWT authentication: Wrong requirement_name: %s. It should be one of [%s]", f.Route.Requirement, strings.Join(slices.Sorted(maps.Keys(f.Named)), ",")),
		}
	}
	if f.Rules == nil {
		return nil, nil //nolint:nilnil // as above
	}
	r, _ := f.Rules.Match(req.Header)
	return r, nil
}

func preflight(h *fasthttp.RequestHeader) bool {
	if !bytes.Equal(h.Method(), []byte(http.MethodOptions)) {
		return false
	}
	origin, _ := proxy.FieldValue(h, "origin")
	method, _ := proxy.FieldValue(h, "access-control-request-method")
	return origin != "" && method != ""
}

// maxRealm is how much of the target an answer repeats.
const maxRealm = 256

// address is what was asked for, before anything is taken out of it.
func address(req *proxy.Request) string {
	scheme := "http"
	if req.TLS != nil {
		scheme = "https"
	}
	target := req.Header.RequestURI()
	return scheme + "://" + string(req.Header.Host()) + string(target[:min(len(target), maxRealm)])
}

// refusal is the answer (RFC 6750 section 3).
func (f *filter) refusal(uri string, s Status) error {
	e := &proxy.Error{Status: http.StatusUnauthorized, Flag: proxy.FlagNoCredentials, Err: reason(s)}
	if s == otherAudience {
		e.Status = http.StatusForbidden
	}
	if f.Terse {
		return e
	}
	e.Message = string(s)
	challenge := `Bearer realm="` + strings.ReplaceAll(uri, `"`, "%22") + `"`
	if s != missing {
		challenge += `, error="invalid_token"`
	}
	e.Decorate = func(h *fasthttp.ResponseHeader) { h.Set("www-authenticate", challenge) }
	return e
}

// reason is why, for the log.
type reason Status

func (r reason) Error() string { return string(r) }
