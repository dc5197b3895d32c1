package resource

import (
	"strconv"

	networkv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/rbac/v3"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/fridaymesh/friday/filters/rbac"
	"github.com/fridaymesh/friday/proxy/config"
	"github.com/fridaymesh/friday/proxy/telemetry"
)

// gate reads who may connect. speaksTLS says that the chain speaks TLS itself.
func (p *problems) gate(path string, m *networkv3.RBAC, speaksTLS bool) config.GateConfig {
	p.headless(path+".rules", m.GetRules().ProtoReflect(), speaksTLS)
	p.headless(path+".shadow_rules", m.GetShadowRules().ProtoReflect(), speaksTLS)
	c := &rbac.Config{Rules: p.rbacRules(path+".rules", m.GetRules()), Shadow: p.rbacRules(path+".shadow_rules", m.GetShadowRules())}
	return config.GateConfig{ID: identity(m), Build: func(m *telemetry.Metrics) config.Gate { return rbac.NewGate(c, m).Admit }}
}

// headless refuses, within m, what a connection does not tell: a request's head, as Envoy
// does, and the server's name where it is not this chain that speaks TLS. Such a rule would
// match nothing, and one of DENY would deny nothing.
func (p *problems) headless(path string, m protoreflect.Message, speaksTLS bool) {
	one := func(path string, fd protoreflect.FieldDescriptor, v protoreflect.Value) {
		switch fd.Name() {
		case "header", "url_path":
			p.add(path, "", "a connection has no request to look at")
		case "requested_server_name":
			if !speaksTLS {
				p.add(path, "", "not supported where the filter chain has no transport_socket of TLS")
			}
		default:
			if fd.Message() != nil {
				p.headless(path, v.Message(), speaksTLS)
			}
		}
	}
	for i := range m.Descriptor().Fields().Len() { // in the order of the descriptor, so that the words are always the same
		fd := m.Descriptor().Fields().Get(i)
		at, v := path+"."+string(fd.Name()), m.Get(fd)
		switch {
		case !m.Has(fd):
		case fd.IsMap():
			for _, key := range sortedKeys(v.Map()) {
				one(at+"["+strconv.Quote(key.String())+"]", fd.MapValue(), v.Map().Get(key))
			}
		case fd.IsList():
			for i := range v.List().Len() {
				one(at+"["+strconv.Itoa(i)+"]", fd, v.List().Get(i))
			}
		default:
			one(at, fd, v)
		}
	}
}
