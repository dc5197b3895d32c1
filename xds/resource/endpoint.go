package resource

import (
	"strconv"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"

	"github.com/fridaymesh/friday/proxy/cluster"
)

// Endpoints parses a ClusterLoadAssignment.
func (r *Parser) Endpoints(m *endpointv3.ClusterLoadAssignment) ([]cluster.EndpointConfig, error) {
	p := newProblems("endpoints", m.GetClusterName())
	p.check("", m.ProtoReflect())
	endpoints := p.endpoints("", m)
	if err := p.err(); err != nil {
		return nil, err
	}
	return endpoints, nil
}

// endpoints reads the addresses of all localities. One that is there twice
// counts once, the first time, as in Envoy.
func (p *problems) endpoints(path string, m *endpointv3.ClusterLoadAssignment) (out []cluster.EndpointConfig) {
	seen := map[string]bool{}
	var sum uint64
	for i, locality := range m.GetEndpoints() {
		for j, lb := range locality.GetLbEndpoints() {
			at := dot(path, "endpoints["+strconv.Itoa(i)+"].lb_endpoints["+strconv.Itoa(j)+"]")
			if p.under(at) || p.under(at+".endpoint_name") {
				continue
			}
			e := cluster.EndpointConfig{
				Address: p.address(at+".endpoint.address", lb.GetEndpoint().GetAddress(), false),
				Weight:  1,
				Health:  health(lb.GetHealthStatus()),
			}
			e.Metadata = metadata(lb.GetMetadata())
			if lb.GetLoadBalancingWeight() != nil {
				e.Weight = lb.GetLoadBalancingWeight().GetValue()
			}
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
