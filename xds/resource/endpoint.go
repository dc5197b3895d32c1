package resource

import (
	"net"
	"strconv"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"

	"github.com/fridaymesh/friday/proxy/cluster"
)

// Endpoints parses a ClusterLoadAssignment.
func (r *Parser) Endpoints(m *endpointv3.ClusterLoadAssignment) (*Endpoints, error) {
	p := newProblems("endpoints", m.GetClusterName())
	p.check("", m.ProtoReflect())
	endpoints := p.endpoints("", m, false)
	if err := p.err(); err != nil {
		return nil, err
	}
	return &Endpoints{Name: m.GetClusterName(), Endpoints: endpoints, Load: load(m.GetPolicy())}, nil
}

// Apply makes them the endpoints of cfg.
func (e *Endpoints) Apply(cfg *cluster.Config) { cfg.Endpoints, cfg.Load = e.Endpoints, e.Load }

// endpoints reads the addresses of all localities. One that is there twice
// counts once, the first time, as in Envoy. Named ones need not be IP addresses.
func (p *problems) endpoints(path string, m *endpointv3.ClusterLoadAssignment, named bool) (out []cluster.EndpointConfig) {
	seen := map[string]bool{}
	var sum uint64
	for i, locality := range m.GetEndpoints() {
		where := locality.GetLocality()
		for j, lb := range locality.GetLbEndpoints() {
			at := dot(path, "endpoints["+strconv.Itoa(i)+"].lb_endpoints["+strconv.Itoa(j)+"]")
			if p.under(at) || p.under(at+".endpoint_name") {
				continue
			}
			e := cluster.EndpointConfig{
				Hostname: lb.GetEndpoint().GetHostname(),
				Weight:   number(lb.GetLoadBalancingWeight(), 1),
				Health:   health(lb.GetHealthStatus()),
				Priority: locality.GetPriority(),
				Locality: cluster.Locality{Region: where.GetRegion(), Zone: where.GetZone(), SubZone: where.GetSubZone()},

				LocalityWeight: locality.GetLoadBalancingWeight().GetValue(),
				Metadata:       metadata(lb.GetMetadata()),
			}
			if named {
				e.Address = p.name(at+".endpoint.address", lb.GetEndpoint().GetAddress())
			} else {
				e.Address = p.address(at+".endpoint.address", lb.GetEndpoint().GetAddress(), false)
			}
			e.Check = p.endpointCheck(at+".endpoint.health_check_config", e.Address, lb.GetEndpoint().GetHealthCheckConfig())
			sum += uint64(e.Weight)
			if e.Address == "" || seen[e.Address] {
				continue
			}
			seen[e.Address] = true
			out = append(out, e)
		}
	}
	if sum > 1<<32-1 {
		p.add(dot(path, "endpoints"), "total weight "+strconv.FormatUint(sum, 10), "must be at most 4294967295")
	}
	return out
}

// name reads a host name, or an IP address, and a port.
func (p *problems) name(path string, a *corev3.Address) string {
	s := a.GetSocketAddress()
	if s == nil || p.under(path+".socket_address") {
		return p.address(path, a, false) // which says so
	}
	if s.GetPortValue() == 0 {
		p.add(path+".socket_address.port_value", "0", "not a port to connect to")
	}
	return net.JoinHostPort(s.GetAddress(), strconv.FormatUint(uint64(s.GetPortValue()), 10))
}

func (p *problems) endpointCheck(path, address string, m *endpointv3.Endpoint_HealthCheckConfig) *cluster.EndpointCheck {
	if m == nil || p.under(path) {
		return nil
	}
	out := &cluster.EndpointCheck{Hostname: m.GetHostname(), Disabled: m.GetDisableActiveHealthCheck()}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return out // the address's own fault
	}
	if m.GetAddress() != nil {
		if host, _, err = net.SplitHostPort(p.address(path+".address", m.GetAddress(), true)); err != nil {
			return out // as above
		}
	}
	if m.GetPortValue() != 0 {
		port = strconv.FormatUint(uint64(m.GetPortValue()), 10)
	}
	if other := net.JoinHostPort(host, port); other != address {
		out.Address = other
	}
	return out
}

// metadata keeps what the data plane may ask for: a control plane says much more.
func metadata(m *corev3.Metadata) (out map[string]map[string]any) {
	for _, name := range []string{"envoy.lb", "envoy.transport_socket_match"} {
		if s := m.GetFilterMetadata()[name]; len(s.GetFields()) > 0 {
			if out == nil {
				out = map[string]map[string]any{}
			}
			out[name] = s.AsMap()
		}
	}
	return out
}

// load reads what is said of all endpoints together.
func load(m *endpointv3.ClusterLoadAssignment_Policy) cluster.Load {
	out := cluster.Load{Overprovisioning: m.GetOverprovisioningFactor().GetValue(), WeightedHealth: m.GetWeightedPriorityHealth()}
	for _, d := range m.GetDropOverloads() {
		if d.GetDropPercentage() != nil {
			out.Drops = append(out.Drops, cluster.Drop{Category: d.GetCategory(), PerMillion: perMillion(d.GetDropPercentage())})
		}
	}
	return out
}

func health(s corev3.HealthStatus) cluster.Health {
	switch s {
	case corev3.HealthStatus_HEALTHY:
		return cluster.HealthHealthy
	case corev3.HealthStatus_UNHEALTHY:
		return cluster.HealthUnhealthy
	case corev3.HealthStatus_DRAINING:
		return cluster.HealthDraining
	case corev3.HealthStatus_TIMEOUT:
		return cluster.HealthTimeout
	case corev3.HealthStatus_DEGRADED:
		return cluster.HealthDegraded
	default:
		return cluster.HealthUnknown
	}
}
