package resource

import (
	"net"
	"net/netip"
	"strconv"

	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/file/v3" // its type is taken
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/stream/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"

	"github.com/fridaymesh/friday/proxy/config"
)

// Listener parses a Listener.
func (r *Parser) Listener(m *listenerv3.Listener) (*Listener, error) {
	p := newProblems("listener", m.GetName())
	p.check("", m.ProtoReflect())
	if m.GetName() == "" {
		p.addf("name", "missing") // Envoy makes one up; ADS needs one that stays
	}
	l := &Listener{Listener: &config.Listener{Name: m.GetName()}}
	l.Address = p.address("address", m.GetAddress(), true)
	if chain, path := p.chain(m); chain != nil {
		p.filters(path, chain, r, l)
	}
	if err := p.err(); err != nil {
		return nil, err
	}
	return l, nil
}

// address reads an IP address and a port.
func (p *problems) address(path string, a *corev3.Address, anyPort bool) string {
	if p.under(path + ".socket_address") {
		return ""
	}
	s := a.GetSocketAddress()
	if s == nil {
		p.addf(path, "missing")
		return ""
	}
	path += ".socket_address"
	ip, err := netip.ParseAddr(s.GetAddress())
	if err != nil {
		p.add(path+".address", quote(s.GetAddress()), "not an IP address")
		return ""
	}
	if s.GetPortValue() == 0 && !anyPort {
		p.add(path+".port_value", "0", "not a port to connect to")
	}
	return net.JoinHostPort(ip.String(), strconv.FormatUint(uint64(s.GetPortValue()), 10))
}

// chain finds the one filter chain.
func (p *problems) chain(m *listenerv3.Listener) (*listenerv3.FilterChain, string) {
	chains, def := m.GetFilterChains(), m.GetDefaultFilterChain()
	switch {
	case len(chains) == 1 && def == nil:
		return chains[0], "filter_chains[0]"
	case len(chains) == 0 && def != nil:
		return def, "default_filter_chain"
	case len(chains) == 0:
		p.addf("filter_chains", "missing")
	case def != nil && len(chains) == 1:
		p.addf("default_filter_chain", "not supported beside filter_chains")
	default:
		p.add("filter_chains", strconv.Itoa(len(chains))+" chains", "not supported yet, only one")
	}
	return nil, ""
}

// filters reads the one network filter of a chain.
func (p *problems) filters(path string, chain *listenerv3.FilterChain, r *Parser, l *Listener) {
	path += ".filters"
	if n := len(chain.GetFilters()); n != 1 {
		p.add(path, strconv.Itoa(n)+" filters", "exactly one is needed, an HttpConnectionManager")
		return
	}
	path += "[0].typed_config"
	config := chain.GetFilters()[0].GetTypedConfig()
	if p.under(path) {
		return
	}
	if config == nil {
		p.addf(path, "missing")
		return
	}
	m := new(hcmv3.HttpConnectionManager)
	if err := config.UnmarshalTo(m); err != nil {
		p.add(path, strconv.Quote(config.GetTypeUrl()), "not an HttpConnectionManager")
		return
	}
	l.HTTP = p.http(path, m, r, l)
}

// accessLog reads the access logs of an HttpConnectionManager, whose types the
// table has checked.
func accessLog(logs []*accesslogv3.AccessLog) config.AccessLog {
	if len(logs) > 0 {
		return config.LogAll
	}
	return config.LogErrors
}
