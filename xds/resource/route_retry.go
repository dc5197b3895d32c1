package resource

import (
	"bytes"
	"strconv"
	"time"

	mutationv3 "github.com/envoyproxy/go-control-plane/envoy/config/common/mutation_rules/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/retry/host/previous_hosts/v3" // its type is taken

	"github.com/fridaymesh/friday/proxy/action"
	"github.com/fridaymesh/friday/proxy/format"
	"github.com/fridaymesh/friday/proxy/router"
)

// retry reads when a request is sent once more.
func (r *tableReader) retry(path string, m *routev3.RetryPolicy) *action.Retry {
	on, err := action.ParseOn(m.GetRetryOn())
	if err != nil {
		r.add(path+".retry_on", quote(m.GetRetryOn()), err.Error())
	}
	out := &action.Retry{
		On: on, Times: 1, Statuses: m.GetRetriableStatusCodes(),
		PerTry: m.GetPerTryTimeout().AsDuration(), PerTryIdle: m.GetPerTryIdleTimeout().AsDuration(),
		Elsewhere: len(m.GetRetryHostPredicate()) > 0, // the table takes previous_hosts only
	}
	if n := m.GetNumRetries(); n != nil {
		out.Times = n.GetValue()
	}
	if b := m.GetRetryBackOff(); b != nil {
		out.Base, out.Most = max(b.GetBaseInterval().AsDuration(), time.Millisecond), b.GetMaxInterval().AsDuration()
		if b.GetMaxInterval() != nil && out.Most < b.GetBaseInterval().AsDuration() {
			r.add(path+".retry_back_off.max_interval", out.Most.String(), "less than base_interval")
		}
	}
	if b := m.GetRateLimitedRetryBackOff(); b != nil {
		out.ResetMost = b.GetMaxInterval().AsDuration()
		for _, h := range b.GetResetHeaders() {
			out.Reset = append(out.Reset, action.ResetHeader{Name: h.GetName(), Unix: h.GetFormat() == routev3.RetryPolicy_UNIX_TIMESTAMP})
		}
	}
	answers := make([]router.HeaderMatch, 0, len(m.GetRetriableHeaders()))
	for i, h := range m.GetRetriableHeaders() {
		answers = append(answers, r.responseHeader(path+".retriable_headers["+strconv.Itoa(i)+"]", h))
	}
	if out.Headers, err = router.NewResponseHeaders(answers); err != nil {
		r.addf(path+".retriable_headers", "%v", err)
	}
	for i, h := range m.GetRetriableRequestHeaders() {
		at := path + ".retriable_request_headers[" + strconv.Itoa(i) + "]"
		compiled, err := router.NewHeaders([]router.HeaderMatch{r.header(at, h)})
		if err != nil {
			r.addf(at, "%v", err)
		}
		out.Requests = append(out.Requests, compiled)
	}
	return out
}

// mirrors reads who gets copies of requests; a route without any has those of its
// virtual host, that without any those of the table.
func (r *tableReader) mirrors(path string, policies []*routev3.RouteAction_RequestMirrorPolicy) (mirrors []action.Mirror) {
	if len(policies) == 0 {
		policies = r.host.GetRequestMirrorPolicies()
	}
	if len(policies) == 0 {
		policies = r.table.GetRequestMirrorPolicies()
	}
	for i, m := range policies {
		at := path + ".request_mirror_policies[" + strconv.Itoa(i) + "]"
		if (m.GetCluster() == "") == (m.GetClusterHeader() == "") {
			r.addf(at, "exactly one of cluster and cluster_header must be set")
		}
		share := uint32(1_000_000)
		if m.GetRuntimeFraction() != nil {
			share = perMillion(m.GetRuntimeFraction().GetDefaultValue())
		}
		mirrors = append(mirrors, action.Mirror{
			Cluster: m.GetCluster(), ClusterHeader: m.GetClusterHeader(), PerMillion: share,
			KeepHost: m.GetDisableShadowHostSuffixAppend(), Host: m.GetHostRewriteLiteral(),
			Mutations: r.mutationList(at+".request_headers_mutations", m.GetRequestHeadersMutations()),
			Untraced:  m.GetTraceSampled() != nil && !m.GetTraceSampled().GetValue(),
		})
	}
	return mirrors
}

// hashPolicies reads what consistent load balancing goes by.
func (r *tableReader) hashPolicies(path string, policies []*routev3.RouteAction_HashPolicy) (out []action.HashPolicy) {
	for i, m := range policies {
		at := path + ".hash_policy[" + strconv.Itoa(i) + "]"
		p := action.HashPolicy{Terminal: m.GetTerminal()}
		switch spec := m.GetPolicySpecifier().(type) {
		case *routev3.RouteAction_HashPolicy_Header_:
			p.Header = spec.Header.GetHeaderName()
			if spec.Header.GetRegexRewrite() != nil {
				p.Regex = r.substitution(at+".header.regex_rewrite", spec.Header.GetRegexRewrite())
			}
		case *routev3.RouteAction_HashPolicy_Cookie_:
			p.Cookie = &action.HashCookie{Name: spec.Cookie.GetName(), Path: spec.Cookie.GetPath()}
			if spec.Cookie.GetTtl() != nil {
				ttl := spec.Cookie.GetTtl().AsDuration()
				p.Cookie.TTL = &ttl
			}
			for _, a := range spec.Cookie.GetAttributes() {
				p.Cookie.Attributes = append(p.Cookie.Attributes, [2]string{a.GetName(), a.GetValue()})
			}
		case *routev3.RouteAction_HashPolicy_ConnectionProperties_:
			if !spec.ConnectionProperties.GetSourceIp() {
				continue // there is nothing else to hash
			}
			p.SourceIP = true
		case *routev3.RouteAction_HashPolicy_QueryParameter_:
			p.Query = spec.QueryParameter.GetName()
		default:
			continue // refused already
		}
		out = append(out, p)
	}
	return out
}

// mutationList reads header mutations that apply one after the other.
func (p *problems) mutationList(path string, all []*mutationv3.HeaderMutation) (out []*format.Mutation) {
	for i, m := range all {
		at := path + "[" + strconv.Itoa(i) + "]"
		switch spec := m.GetAction().(type) {
		case *mutationv3.HeaderMutation_Remove:
			p.headerName(at+".remove", spec.Remove)
			one, _ := format.NewMutation(nil, []string{spec.Remove}) // nothing of it can be wrong
			out = append(out, one)
		case *mutationv3.HeaderMutation_Append:
			values := p.headerValues(at+".append", []*corev3.HeaderValueOption{spec.Append})
			one, err := format.NewMutation(values, nil)
			if err == nil { // else headerValues has said so
				out = append(out, one)
			}
		case *mutationv3.HeaderMutation_RemoveOnMatch_:
			match, err := router.NewString(*p.text(at+".remove_on_match.key_matcher", spec.RemoveOnMatch.GetKeyMatcher()))
			if err != nil {
				p.addf(at+".remove_on_match.key_matcher", "%v", err)
				continue
			}
			out = append(out, format.NewRemoval(func(name []byte) bool { return match.Match(bytes.ToLower(name)) }))
		}
	}
	return out
}
