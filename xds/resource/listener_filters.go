package resource

import (
	"strconv"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	httpinspectorv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/http_inspector/v3"
	originaldstv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/original_dst/v3"
	proxyprotocolv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/proxy_protocol/v3"
	tlsinspectorv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/tls_inspector/v3"

	"github.com/fridaymesh/friday/proxy/config"
)

// inspect reads the listener filters. Their order does not matter here: what comes
// first on a connection is looked at first.
func (p *problems) inspect(m *listenerv3.Listener) (out config.Inspect) {
	out.Timeout = timeout(m.GetListenerFiltersTimeout())
	out.GoOn = m.GetContinueOnListenerFiltersTimeout()
	for i, f := range m.GetListenerFilters() {
		path := index("listener_filters", i)
		a := f.GetTypedConfig()
		if a == nil || p.under(path+".typed_config") || p.under(path+".config_discovery") {
			if a == nil && !p.under(path+".config_discovery") {
				p.addf(path+".typed_config", "missing")
			}
			continue
		}
		skip := portPredicate(f.GetFilterDisabled())
		plain := func() {
			if f.GetFilterDisabled() != nil {
				p.addf(path+".filter_disabled", "not supported for this filter")
			}
		}
		switch {
		case a.MessageIs(&tlsinspectorv3.TlsInspector{}):
			out.TLS = &config.Inspection{Skip: skip}
		case a.MessageIs(&httpinspectorv3.HttpInspector{}):
			out.HTTP = &config.Inspection{Skip: skip}
		case a.MessageIs(&originaldstv3.OriginalDst{}):
			plain()
			out.OriginalDst = true
		case a.MessageIs(&proxyprotocolv3.ProxyProtocol{}):
			plain()
			pp := new(proxyprotocolv3.ProxyProtocol)
			if err := a.UnmarshalTo(pp); err != nil {
				p.addf(path+".typed_config", "cannot be decoded")
				continue
			}
			out.ProxyProtocol = p.proxyProtocol(path+".typed_config", pp)
		default:
			p.add(path+".typed_config", strconv.Quote(a.GetTypeUrl()), "not a listener filter")
		}
	}
	return out
}

func (p *problems) proxyProtocol(path string, m *proxyprotocolv3.ProxyProtocol) *config.ProxyProtocol {
	out := &config.ProxyProtocol{Optional: m.GetAllowRequestsWithoutProxyProtocol()}
	for _, v := range m.GetDisallowedVersions() {
		out.NoV1 = out.NoV1 || v == corev3.ProxyProtocolConfig_V1
		out.NoV2 = out.NoV2 || v == corev3.ProxyProtocolConfig_V2
	}
	if out.NoV1 && out.NoV2 {
		p.addf(path+".disallowed_versions", "no version is left")
	}
	return out
}

// portPredicate makes a function of a filter_disabled, which can ask for the port
// only; nil where there is none.
func portPredicate(m *listenerv3.ListenerFilterChainMatchPredicate) func(uint16) bool {
	all := func(set *listenerv3.ListenerFilterChainMatchPredicate_MatchSet) (out []func(uint16) bool) {
		for _, rule := range set.GetRules() {
			out = append(out, portPredicate(rule))
		}
		return out
	}
	switch rule := m.GetRule().(type) {
	case *listenerv3.ListenerFilterChainMatchPredicate_AnyMatch:
		return func(uint16) bool { return rule.AnyMatch }
	case *listenerv3.ListenerFilterChainMatchPredicate_DestinationPortRange:
		from, to := rule.DestinationPortRange.GetStart(), rule.DestinationPortRange.GetEnd()
		return func(port uint16) bool { return int32(port) >= from && int32(port) < to }
	case *listenerv3.ListenerFilterChainMatchPredicate_NotMatch:
		not := portPredicate(rule.NotMatch)
		return func(port uint16) bool { return not == nil || !not(port) }
	case *listenerv3.ListenerFilterChainMatchPredicate_OrMatch:
		some := all(rule.OrMatch)
		return func(port uint16) bool {
			for _, f := range some {
				if f != nil && f(port) {
					return true
				}
			}
			return false
		}
	case *listenerv3.ListenerFilterChainMatchPredicate_AndMatch:
		each := all(rule.AndMatch)
		return func(port uint16) bool {
			for _, f := range each {
				if f == nil || !f(port) {
					return false
				}
			}
			return true
		}
	}
	return nil
}
