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

	"github.com/fridaymesh/friday/proxy/config"
)

// Listener parses a Listener.
func (r *Parser) Listener(m *listenerv3.Listener) (*Listener, error) {
	p := newProblems("listener", m.GetName())
	p.check("", m.ProtoReflect())
	if m.GetName() == "" {
		p.addf("name", "missing") // Envoy makes one up; ADS needs one that stays
	}
	l := &Listener{Listener: &config.Listener{
		Name:           m.GetName(),
		Unbound:        m.GetBindToPort() != nil && !m.GetBindToPort().GetValue(),
		UseOriginalDst: m.GetUseOriginalDst().GetValue(),
	}}
	l.Address = p.address("address", m.GetAddress(), true)
	for i, a := range m.GetAdditionalAddresses() {
		l.More = append(l.More, p.address(index("additional_addresses", i)+".address", a.GetAddress(), true))
	}
	l.Inspect = p.inspect(m)
	// Whoever is to be handed over must be asked where it was meant to go.
	l.Inspect.OriginalDst = l.Inspect.OriginalDst || l.UseOriginalDst
	p.chains(m, r, l)
	if err := p.err(); err != nil {
		return nil, err
	}
	l.LeftAside = p.aside
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

// accessLog reads the access logs of an HttpConnectionManager, whose types the
// table has checked.
func accessLog(logs []*accesslogv3.AccessLog) config.AccessLog {
	if len(logs) > 0 {
		return config.LogAll
	}
	return config.LogErrors
}
