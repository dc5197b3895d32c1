package resource

import (
	"errors"
	"fmt"
	"strings"

	corsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/cors/v3"
	faultv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/fault/v3"
	mutationv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/header_mutation/v3"
	healthv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/health_check/v3"
	jwtv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/jwt_authn/v3"
	limitv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/local_ratelimit/v3"
	rbacv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/rbac/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/fridaymesh/friday/filters"
	"github.com/fridaymesh/friday/filters/cors"
	"github.com/fridaymesh/friday/filters/fault"
	"github.com/fridaymesh/friday/filters/headermutation"
	"github.com/fridaymesh/friday/filters/healthcheck"
	"github.com/fridaymesh/friday/filters/jwtauthn"
	"github.com/fridaymesh/friday/filters/localratelimit"
	"github.com/fridaymesh/friday/filters/rbac"
	"github.com/fridaymesh/friday/proxy"
)

// errLeftAside says that a filter is recognised and does nothing here. Its text is why.
type errLeftAside struct{ why string }

func (e errLeftAside) Error() string { return e.why }

// asideFilters are the HTTP filters that are recognised and do nothing here, by the
// names of their configurations, each with its reason.
func asideFilters() map[string]string {
	const stats, telemetry = "metrics are Friday's own", "it feeds Istio's telemetry"
	return map[string]string{
		"envoy.extensions.filters.http.grpc_stats.v3.FilterConfig": stats,
		"stats.PluginConfig": stats,
		"istio.envoy.config.filter.http.alpn.v2alpha1.FilterConfig": "it chooses ALPN for Istio's own protocols",
		"io.istio.http.peer_metadata.Config":                        telemetry,
		"envoy.tcp.metadata_exchange.config.MetadataExchange":       telemetry,
		"envoy.extensions.filters.http.wasm.v3.Wasm":                "there is no WebAssembly; Istio uses it for telemetry",
		"envoy.extensions.filters.http.compressor.v3.Compressor":    "answers are never compressed here, which every caller can read",
	}
}

// leaves says that err is no reason to refuse a, and notes why.
func (p *problems) leaves(at string, a *anypb.Any, err error, optional bool) bool {
	var aside errLeftAside
	switch name := messageName(typeOf(a)); {
	case errors.As(err, &aside):
		p.leave(at, name, aside.why)
	case errors.Is(err, filters.ErrUnknownFilter) && optional:
		p.leave(at, name, "not known, and optional")
	default:
		return false
	}
	return true
}

// envoysOwn says whether a configuration is of a filter that every Envoy knows, so that
// is_optional does not excuse it: Envoy would heed it.
func envoysOwn(name string) bool { return strings.HasPrefix(name, "envoy.extensions.filters.http.") }

// filter parses a filter's configuration, of the chain or of a route: Envoy's own here,
// Friday's by the registry.
func (p *problems) filter(path string, config *anypb.Any, r *Parser) (proxy.Builder, proxy.FilterConfig, error) {
	config, name, err := filters.Unwrap(config)
	if err != nil {
		return nil, nil, err
	}
	if why, ok := asideFilters()[name]; ok {
		return nil, nil, errLeftAside{why}
	}
	m := envoyFilter(name)
	if m == nil {
		builder, parsed, err := r.Registry.Parse(config)
		if errors.Is(err, filters.ErrUnknownFilter) && envoysOwn(name) {
			err = fmt.Errorf("%q: not supported", name)
		}
		return builder, parsed, err
	}
	if err := config.UnmarshalTo(m); err != nil {
		return nil, nil, fmt.Errorf("not a %s: cannot be decoded", name)
	}
	p.check(path, m.ProtoReflect())
	builder, parsed := p.envoy(path, m, r)
	return builder, parsed, nil
}

// envoyFilter is an empty message of a configuration of one of Envoy's filters that are
// done here; nil: it is none.
func envoyFilter(name string) proto.Message {
	for _, m := range []proto.Message{
		&rbacv3.RBAC{}, &rbacv3.RBACPerRoute{}, &faultv3.HTTPFault{}, &corsv3.Cors{}, &corsv3.CorsPolicy{},
		&mutationv3.HeaderMutation{}, &mutationv3.HeaderMutationPerRoute{}, &limitv3.LocalRateLimit{}, &healthv3.HealthCheck{},
		&jwtv3.JwtAuthentication{}, &jwtv3.PerRouteConfig{},
	} {
		if string(m.ProtoReflect().Descriptor().FullName()) == name {
			return m
		}
	}
	return nil
}

// envoy reads a configuration of one of Envoy's own filters.
func (p *problems) envoy(path string, m proto.Message, r *Parser) (proxy.Builder, proxy.FilterConfig) {
	switch m := m.(type) {
	case *rbacv3.RBAC:
		return rbac.Builder{}, p.rbac(path, m)
	case *rbacv3.RBACPerRoute:
		return rbac.Builder{}, p.rbac(path+".rbac", m.GetRbac()) // without one every request passes
	case *faultv3.HTTPFault:
		return fault.Builder{}, p.fault(path, m)
	case *corsv3.Cors:
		return cors.Builder{}, &cors.Config{} // the policies are the routes'
	case *corsv3.CorsPolicy:
		return cors.Builder{}, p.cors(path, m)
	case *mutationv3.HeaderMutation:
		c := p.headerMutations(path+".mutations", m.GetMutations())
		c.SpecificLast = m.GetMostSpecificHeaderMutationsWins()
		return headermutation.Builder{}, c
	case *mutationv3.HeaderMutationPerRoute:
		return headermutation.Builder{}, p.headerMutations(path+".mutations", m.GetMutations())
	case *limitv3.LocalRateLimit:
		return localratelimit.Builder{}, p.localRateLimit(path, m)
	case *healthv3.HealthCheck:
		return healthcheck.Builder{}, p.healthCheckFilter(path, m)
	case *jwtv3.JwtAuthentication:
		return jwtauthn.Builder{}, p.jwt(path, m, r)
	case *jwtv3.PerRouteConfig:
		return jwtauthn.Builder{}, p.jwtRoute(path, m)
	}
	return nil, nil // not reached: envoyFilter knows the same
}
