package resource

import (
	"strconv"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/fridaymesh/friday/proxy/action"
	"github.com/fridaymesh/friday/proxy/config"
)

// action reads where a route sends its requests.
func (r *tableReader) action(path string, m *routev3.RouteAction, parent *routev3.Route, route *config.Route) {
	switch spec := m.GetClusterSpecifier().(type) {
	case *routev3.RouteAction_Cluster:
		route.Clusters = []config.WeightedCluster{{Name: spec.Cluster, Weight: 1}}
	case *routev3.RouteAction_ClusterHeader:
		route.Clusters = []config.WeightedCluster{{Header: spec.ClusterHeader, Weight: 1}}
	case *routev3.RouteAction_WeightedClusters:
		route.Clusters = r.weighted(path+".weighted_clusters", spec.WeightedClusters)
		route.Draw = spec.WeightedClusters.GetHeaderName()
		route.DrawByHash = spec.WeightedClusters.GetUseHashPolicy().GetValue()
	}
	switch m.GetClusterNotFoundResponseCode() {
	case routev3.RouteAction_NOT_FOUND:
		route.UnknownStatus = 404
	case routev3.RouteAction_INTERNAL_SERVER_ERROR:
		route.UnknownStatus = 500
	default:
	}
	r.limits(m, route)
	r.rewrite(path, m, parent.GetMatch(), &route.Forward.Rewrite)
	f := &route.Forward
	f.HighPriority = m.GetPriority() == corev3.RoutingPriority_HIGH
	f.CountAttempts = r.host.GetIncludeRequestAttemptCount()
	f.CountForCaller = r.host.GetIncludeAttemptCountInResponse()
	f.Hash = r.hashPolicies(path, m.GetHashPolicy())
	switch {
	case m.GetRetryPolicy() != nil:
		f.Retry = r.retry(path+".retry_policy", m.GetRetryPolicy())
	case r.host.GetRetryPolicy() != nil:
		f.Retry = r.retry("virtual host's retry_policy", r.host.GetRetryPolicy())
	}
	f.Mirrors = r.mirrors(path, m.GetRequestMirrorPolicies())
	f.Keep = r.keep(parent)
}

// keep is how much of a request's body is kept for retries and mirrors: the most
// specific bound counts.
func (r *tableReader) keep(parent *routev3.Route) int {
	const most = 1 << 30
	for _, n := range []uint64{
		parent.GetRequestBodyBufferLimit().GetValue(), uint64(parent.GetPerRequestBufferLimitBytes().GetValue()),
		r.host.GetRequestBodyBufferLimit().GetValue(), uint64(r.host.GetPerRequestBufferLimitBytes().GetValue()),
	} {
		if n > 0 {
			return int(min(n, most)) // #nosec G115 -- just bounded
		}
	}
	return 0
}

// limits reads a route's limits of time.
func (r *tableReader) limits(m *routev3.RouteAction, route *config.Route) {
	route.Timeout = 15 * time.Second // Envoy's default
	if m.GetTimeout() != nil {
		route.Timeout = min(m.GetTimeout().AsDuration(), Unlimited)
	}
	bounded := func(d *durationpb.Duration) *time.Duration {
		if d == nil {
			return nil
		}
		most := min(d.AsDuration(), Unlimited)
		return &most
	}
	route.IdleTimeout = bounded(m.GetIdleTimeout())
	route.GRPCTimeout, route.GRPCOffset = bounded(m.GetMaxGrpcTimeout()), m.GetGrpcTimeoutOffset().AsDuration()
	if d := m.GetMaxStreamDuration(); d != nil {
		route.MaxDuration = d.GetMaxStreamDuration().AsDuration()
		if d.GetGrpcTimeoutHeaderMax() != nil {
			route.GRPCTimeout, route.GRPCOffset = bounded(d.GetGrpcTimeoutHeaderMax()), d.GetGrpcTimeoutHeaderOffset().AsDuration()
		}
	}
}

// rewrite reads what the server is told that it was called by.
func (r *tableReader) rewrite(path string, m *routev3.RouteAction, match *routev3.RouteMatch, w *action.Rewrite) {
	ways := 0
	if m.GetPrefixRewrite() != "" {
		ways++
		prefix := m.GetPrefixRewrite()
		w.Prefix, w.Matched = &prefix, matched(match)
	}
	if m.GetRegexRewrite() != nil {
		ways++
		w.Regex = r.substitution(path+".regex_rewrite", m.GetRegexRewrite())
	}
	if m.GetPathRewrite() != "" {
		ways++
		w.Path = r.format(path+".path_rewrite", m.GetPathRewrite(), "")
	}
	if ways > 1 {
		r.addf(path, "only one of prefix_rewrite, regex_rewrite and path_rewrite may be set")
	}
	switch spec := m.GetHostRewriteSpecifier().(type) {
	case *routev3.RouteAction_HostRewriteLiteral:
		w.Host = spec.HostRewriteLiteral
	case *routev3.RouteAction_HostRewriteHeader:
		w.HostHeader = spec.HostRewriteHeader
	case *routev3.RouteAction_HostRewritePathRegex:
		w.HostRegex = r.substitution(path+".host_rewrite_path_regex", spec.HostRewritePathRegex)
	case *routev3.RouteAction_HostRewrite:
		w.HostFormat = r.format(path+".host_rewrite", spec.HostRewrite, "-") // as in Envoy
	}
	w.ForwardHost = m.GetAppendXForwardedHost()
}

// substitution reads a pattern and what takes its matches' place.
func (r *tableReader) substitution(path string, m *matcherv3.RegexMatchAndSubstitute) *action.Substitution {
	pattern := r.pattern(path+".pattern", m.GetPattern())
	if pattern == nil {
		return nil
	}
	s, err := action.NewSubstitution(pattern, m.GetSubstitution())
	if err != nil {
		r.add(path+".substitution", quote(m.GetSubstitution()), err.Error())
	}
	return s
}

// weighted reads clusters with weights, whose sum must be positive and within 32
// bits, as in Envoy.
func (r *tableReader) weighted(path string, m *routev3.WeightedCluster) (clusters []config.WeightedCluster) {
	var sum uint64
	for i, c := range m.GetClusters() {
		at := path + ".clusters[" + strconv.Itoa(i) + "]"
		if (c.GetName() == "") == (c.GetClusterHeader() == "") {
			r.addf(at+".name", "exactly one of name and cluster_header must be set")
		}
		if c.GetWeight() == nil {
			r.addf(at+".weight", "missing")
		}
		sum += uint64(c.GetWeight().GetValue())
		clusters = append(clusters, config.WeightedCluster{
			Name: c.GetName(), Header: c.GetClusterHeader(), Weight: c.GetWeight().GetValue(),
			Headers: r.headers(at, c), Host: c.GetHostRewriteLiteral(),
			Overrides: r.overrides(at, c.GetTypedPerFilterConfig()),
		})
	}
	if len(clusters) > 0 && (sum == 0 || sum > 1<<32-1) {
		r.add(path+".clusters", "total weight "+strconv.FormatUint(sum, 10), "must be 1 to 4294967295")
	}
	return clusters
}

// perMillion is a share of a million; absent: all.
func perMillion(m *typev3.FractionalPercent) uint32 {
	scale := uint64(10_000)
	if m == nil {
		return 1_000_000
	}
	switch m.GetDenominator() {
	case typev3.FractionalPercent_TEN_THOUSAND:
		scale = 100
	case typev3.FractionalPercent_MILLION:
		scale = 1
	default:
	}
	return uint32(min(uint64(m.GetNumerator())*scale, 1_000_000)) // #nosec G115 -- just bounded
}
