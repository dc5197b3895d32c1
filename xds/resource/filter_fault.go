package resource

import (
	"strconv"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	corsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/cors/v3"
	faultv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/fault/v3"
	mutationv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/header_mutation/v3"
	healthv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/health_check/v3"
	limitv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/local_ratelimit/v3"

	"github.com/fridaymesh/friday/filters/cors"
	"github.com/fridaymesh/friday/filters/fault"
	"github.com/fridaymesh/friday/filters/headermutation"
	"github.com/fridaymesh/friday/filters/healthcheck"
	"github.com/fridaymesh/friday/filters/localratelimit"
	"github.com/fridaymesh/friday/proxy/format"
	"github.com/fridaymesh/friday/proxy/router"
)

// fault reads what is injected.
func (p *problems) fault(path string, m *faultv3.HTTPFault) *fault.Config {
	c := &fault.Config{Headers: p.conditions(path+".headers", m.GetHeaders()), Cluster: m.GetUpstreamCluster()}
	if d := m.GetDelay(); d != nil {
		c.Delay = &fault.Delay{Fixed: d.GetFixedDelay().AsDuration(), PerMillion: share(d.GetPercentage() == nil, perMillion(d.GetPercentage()))}
	}
	if a := m.GetAbort(); a != nil {
		c.Abort = &fault.Abort{
			Status: int(a.GetHttpStatus()), GRPC: int(a.GetGrpcStatus()), ByHeader: a.GetHeaderAbort() != nil,
			PerMillion: share(a.GetPercentage() == nil, perMillion(a.GetPercentage())),
		}
	}
	if most := m.GetMaxActiveFaults(); most != nil {
		n := most.GetValue()
		c.MaxActive = &n
	}
	return c
}

// share is 0 where a filter's percentage is absent.
func share(absent bool, perMillion uint32) uint32 {
	if absent {
		return 0
	}
	return perMillion
}

// conditions reads header matchers that must all hold.
func (p *problems) conditions(path string, all []*routev3.HeaderMatcher) *router.Headers {
	matches := make([]router.HeaderMatch, 0, len(all))
	for i, h := range all {
		matches = append(matches, p.header(path+"["+strconv.Itoa(i)+"]", h))
	}
	h, err := router.NewHeaders(matches)
	if err != nil {
		p.addf(path, "%v", err)
	}
	return h
}

// cors reads a route's policy.
func (p *problems) cors(path string, m *corsv3.CorsPolicy) *cors.Config {
	c := &cors.Config{
		Methods: m.GetAllowMethods(), Headers: m.GetAllowHeaders(), Expose: m.GetExposeHeaders(), MaxAge: m.GetMaxAge(),
		Credentials: m.GetAllowCredentials().GetValue(), PrivateNetwork: m.GetAllowPrivateNetworkAccess().GetValue(),
		Refuse: m.GetForwardNotMatchingPreflights() != nil && !m.GetForwardNotMatchingPreflights().GetValue(),
	}
	if f := m.GetFilterEnabled(); f != nil {
		c.Disabled = perMillion(f.GetDefaultValue()) == 0
	}
	for i, o := range m.GetAllowOriginStringMatch() {
		at := path + ".allow_origin_string_match[" + strconv.Itoa(i) + "]"
		match, err := router.NewString(*p.text(at, o))
		if err != nil {
			p.addf(at, "%v", err)
			continue
		}
		c.Origins = append(c.Origins, match)
	}
	return c
}

// headerMutations reads what is changed.
func (p *problems) headerMutations(path string, m *mutationv3.Mutations) *headermutation.Config {
	return &headermutation.Config{
		Request:  p.mutationList(path+".request_mutations", m.GetRequestMutations()),
		Response: p.mutationList(path+".response_mutations", m.GetResponseMutations()),
	}
}

// localRateLimit reads a limit; without filter_enabled or filter_enforced it does
// nothing, as in Envoy.
func (p *problems) localRateLimit(path string, m *limitv3.LocalRateLimit) *localratelimit.Config {
	runtime := func(f *corev3.RuntimeFractionalPercent) uint32 {
		return share(f == nil, perMillion(f.GetDefaultValue()))
	}
	c := &localratelimit.Config{
		Status: int(m.GetStatus().GetCode()), Enabled: runtime(m.GetFilterEnabled()), Enforced: runtime(m.GetFilterEnforced()),
		ResourceExhausted: m.GetRateLimitedAsResourceExhausted(),
		Response:          p.mutation(path+".response_headers_to_add", m.GetResponseHeadersToAdd()),
		Request:           p.mutation(path+".request_headers_to_add_when_not_enforced", m.GetRequestHeadersToAddWhenNotEnforced()),
	}
	if c.Status < 400 { // as in Envoy
		c.Status = 0
	}
	if b := m.GetTokenBucket(); b != nil {
		c.Bucket = &localratelimit.Bucket{Max: b.GetMaxTokens(), Fill: 1, Interval: b.GetFillInterval().AsDuration()}
		if b.GetTokensPerFill() != nil {
			c.Bucket.Fill = b.GetTokensPerFill().GetValue()
		}
		if c.Bucket.Interval < 50_000_000 {
			p.add(path+".token_bucket.fill_interval", c.Bucket.Interval.String(), "must be at least 50ms")
		}
	}
	return c
}

func (p *problems) mutation(path string, all []*corev3.HeaderValueOption) *format.Mutation {
	values := p.headerValues(path, all)
	if len(values) == 0 {
		return nil
	}
	m, err := format.NewMutation(values, nil)
	if err != nil { // headerValues has said so
		return nil
	}
	return m
}

// healthCheckFilter reads which health checks are answered in the server's place.
func (p *problems) healthCheckFilter(path string, m *healthv3.HealthCheck) *healthcheck.Config {
	c := &healthcheck.Config{Headers: p.conditions(path+".headers", m.GetHeaders()), Clusters: map[string]float64{}}
	for name, percent := range m.GetClusterMinHealthyPercentages() {
		c.Clusters[name] = percent.GetValue()
	}
	return c
}
