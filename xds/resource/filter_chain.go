package resource

import (
	"net/netip"
	"strconv"
	"strings"

	udpav1 "github.com/cncf/xds/go/udpa/type/v1"
	xdsv3 "github.com/cncf/xds/go/xds/type/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	rbacv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/rbac/v3"
	tcpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/fridaymesh/friday/proxy/config"
)

// chains reads the filter chains.
func (p *problems) chains(m *listenerv3.Listener, r *Parser, l *Listener) {
	if len(m.GetFilterChains()) == 0 && m.GetDefaultFilterChain() == nil {
		p.addf("filter_chains", "missing")
		return
	}
	taken := map[string]string{}
	for i, c := range m.GetFilterChains() {
		path := index("filter_chains", i)
		chain := p.filterChain(path, c, r, l)
		l.Chains = append(l.Chains, chain)
		p.distinct(path, &chain.Match, taken)
	}
	if c := m.GetDefaultFilterChain(); c != nil {
		l.Default = p.filterChain("default_filter_chain", c, r, l)
	}
}

func (p *problems) filterChain(path string, m *listenerv3.FilterChain, r *Parser, l *Listener) *config.FilterChain {
	secrets := needs(l.Secrets)
	c := &config.FilterChain{
		Name:             m.GetName(),
		Match:            p.chainMatch(path+".filter_chain_match", m.GetFilterChainMatch()),
		TLS:              p.downstream(path+".transport_socket", m.GetTransportSocket(), &secrets),
		HandshakeTimeout: timeout(m.GetTransportSocketConnectTimeout()),
	}
	l.Secrets = secrets
	path += ".filters"
	if len(m.GetFilters()) == 0 {
		p.addf(path, "missing: an HttpConnectionManager or a TcpProxy")
		return c
	}
	last := len(m.GetFilters()) - 1
	for i, f := range m.GetFilters() {
		p.networkFilter(path+"["+strconv.Itoa(i)+"]", f, i == last, c, r, l)
	}
	return c
}

// networkFilter reads one filter of a chain. Only the last ends it.
func (p *problems) networkFilter(path string, f *listenerv3.Filter, last bool, c *config.FilterChain, r *Parser, l *Listener) {
	a := f.GetTypedConfig()
	if p.under(path + ".config_discovery") {
		return
	}
	path += ".typed_config"
	if a == nil {
		p.addf(path, "missing")
		return
	}
	hcm, tcp, judge := new(hcmv3.HttpConnectionManager), new(tcpv3.TcpProxy), new(rbacv3.RBAC)
	switch ends := a.MessageIs(hcm) || a.MessageIs(tcp); {
	case ends && !last:
		p.add(path, strconv.Quote(typeOf(a)), "must be the last filter")
	case a.MessageIs(hcm):
		if p.decode(path, a, hcm) {
			c.HTTP = p.http(path, hcm, r, l)
		}
	case a.MessageIs(tcp):
		if p.decode(path, a, tcp) {
			c.TCP = p.tcp(path, tcp)
			for _, w := range c.TCP.Clusters {
				l.Clusters = append(l.Clusters, w.Name)
			}
		}
	case a.MessageIs(judge) && !last:
		if p.decode(path, a, judge) {
			c.Gates = append(c.Gates, p.gate(path, judge, c.TLS != nil))
		}
	case !a.MessageIs(judge) && !p.asideNetworkFilter(path, a):
	case last:
		p.add(path, strconv.Quote(typeOf(a)), "the last filter must be an HttpConnectionManager or a TcpProxy")
	}
}

// asideNetworkFilter notes a network filter that is left aside, and refuses any other.
func (p *problems) asideNetworkFilter(path string, a *anypb.Any) bool {
	url := typeOf(a)
	name := messageName(url)
	why, ok := asideNetworkFilters()[name]
	if !ok {
		p.add(path, strconv.Quote(url), "not supported")
		return false
	}
	p.leave(path, name, why)
	return true
}

// asideNetworkFilters are types that are left aside, each with its reason.
func asideNetworkFilters() map[string]string {
	return map[string]string{
		"envoy.tcp.metadataexchange.config.MetadataExchange": "it tells peers of each other for Istio's telemetry; its protocol is not agreed to by ALPN",
		"stats.PluginConfig": "metrics are Friday's own",
	}
}

// typeOf is the type URL of what a holds, also in a TypedStruct.
func typeOf(a *anypb.Any) string {
	x, u := new(xdsv3.TypedStruct), new(udpav1.TypedStruct)
	switch {
	case a.MessageIs(x) && a.UnmarshalTo(x) == nil:
		return x.GetTypeUrl()
	case a.MessageIs(u) && a.UnmarshalTo(u) == nil:
		return u.GetTypeUrl()
	}
	return a.GetTypeUrl()
}

// decode decodes and checks what an opaque field holds.
func (p *problems) decode(path string, a *anypb.Any, m proto.Message) bool {
	if err := decode(a, m); err != nil {
		p.addf(path, "%s", err.Error())
		return false
	}
	p.check(path, m.ProtoReflect())
	return true
}

func (p *problems) chainMatch(path string, m *listenerv3.FilterChainMatch) config.ChainMatch {
	out := config.ChainMatch{
		Port:      uint16(m.GetDestinationPort().GetValue()), // #nosec G115 -- the table's checks hold it to 65535
		Prefixes:  p.prefixes(path+".prefix_ranges", m.GetPrefixRanges()),
		Transport: m.GetTransportProtocol(), Protocols: m.GetApplicationProtocols(),
		ServerNames: m.GetServerNames(),
		Direct:      p.prefixes(path+".direct_source_prefix_ranges", m.GetDirectSourcePrefixRanges()),
		Sources:     p.prefixes(path+".source_prefix_ranges", m.GetSourcePrefixRanges()),
	}
	for i, name := range out.ServerNames {
		if strings.Contains(strings.TrimPrefix(name, "*."), "*") {
			p.add(path+"."+index("server_names", i), quote(name), "a wildcard is a whole first label: *.example.com")
		}
	}
	switch m.GetSourceType() {
	case listenerv3.FilterChainMatch_SAME_IP_OR_LOOPBACK:
		out.SourceType = config.LocalSource
	case listenerv3.FilterChainMatch_EXTERNAL:
		out.SourceType = config.ExternalSource
	case listenerv3.FilterChainMatch_ANY:
	}
	for _, port := range m.GetSourcePorts() {
		out.SourcePorts = append(out.SourcePorts, uint16(port)) // #nosec G115 -- as above
	}
	return out
}

func (p *problems) prefixes(path string, all []*corev3.CidrRange) (out []netip.Prefix) {
	for i, m := range all {
		at := path + "[" + strconv.Itoa(i) + "]"
		ip, err := netip.ParseAddr(m.GetAddressPrefix())
		if err != nil {
			p.add(at+".address_prefix", quote(m.GetAddressPrefix()), "not an IP address")
			continue
		}
		bits := min(int(m.GetPrefixLen().GetValue()), ip.BitLen()) // as Envoy does
		out = append(out, netip.PrefixFrom(ip, bits).Masked())
	}
	return out
}

// distinct refuses a match of which something stands in an earlier one, as Envoy
// does: no connection could tell the two apart.
func (p *problems) distinct(path string, m *config.ChainMatch, taken map[string]string) {
	for key := range m.Combinations() {
		if other, twice := taken[key]; twice {
			p.addf(path+".filter_chain_match", "has the same matching rules as %s", other)
			return
		}
		taken[key] = path
		if len(taken) > maxCombinations {
			p.addf("filter_chains", "more than %d combinations of what they match", maxCombinations)
			return
		}
	}
}

// maxCombinations bounds what the check for equal matches holds.
const maxCombinations = 1 << 18
