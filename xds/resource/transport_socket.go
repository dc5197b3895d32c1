package resource

import (
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"

	"github.com/fridaymesh/friday/proxy/cluster"
)

// sockets reads what is spoken with a cluster's endpoints.
func (p *problems) sockets(m *clusterv3.Cluster, c *Cluster) {
	secrets := needs(c.Secrets)
	c.TLS = p.upstream("transport_socket", m.GetTransportSocket(), &secrets)
	names := map[string]bool{}
	for i, match := range m.GetTransportSocketMatches() {
		path := index("transport_socket_matches", i)
		if names[match.GetName()] {
			p.add(path+".name", quote(match.GetName()), "stands there twice")
		}
		names[match.GetName()] = true
		s := cluster.Socket{TLS: p.upstream(path+".transport_socket", match.GetTransportSocket(), &secrets)}
		if match.GetMatch() != nil {
			s.Match = match.GetMatch().AsMap()
		}
		if match.GetTransportSocket() == nil {
			p.addf(path+".transport_socket", "missing")
		}
		c.Sockets = append(c.Sockets, s)
	}
	c.Secrets = secrets
	for i, f := range m.GetFilters() {
		p.asideNetworkFilter(index("filters", i)+".typed_config", f.GetTypedConfig())
	}
}
