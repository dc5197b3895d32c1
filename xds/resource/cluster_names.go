package resource

import (
	"net/netip"
	"strconv"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	dnsclusterv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/clusters/dns/v3"
	caresv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/network/dns_resolver/cares/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/network/dns_resolver/getaddrinfo/v3" // the table speaks of it

	"github.com/fridaymesh/friday/proxy/cluster"
)

// typedDiscovery reads a cluster_type.
func (p *problems) typedDiscovery(m *clusterv3.Cluster, c *Cluster) {
	const path = "cluster_type.typed_config"
	t := m.GetClusterType().GetTypedConfig()
	d := new(dnsclusterv3.DnsCluster)
	switch {
	case p.under(path):
		return
	case t == nil:
		p.addf(path, "missing")
		return
	case t.UnmarshalTo(d) != nil:
		p.add(path, strconv.Quote(t.GetTypeUrl()), "not supported")
		return
	}
	c.Discovery = cluster.StrictDNS
	if d.GetAllAddressesInSingleEndpoint() {
		c.Discovery = cluster.LogicalDNS
	}
	c.DNS = cluster.DNS{
		Family:      family(int32(d.GetDnsLookupFamily()) - 1), // the newer enum has an UNSPECIFIED
		Refresh:     d.GetDnsRefreshRate().AsDuration(),
		Jitter:      d.GetDnsJitter().AsDuration(),
		FailureBase: d.GetDnsFailureRefreshRate().GetBaseInterval().AsDuration(),
		FailureMax:  d.GetDnsFailureRefreshRate().GetMaxInterval().AsDuration(),
	}
	p.resolver(path+".typed_dns_resolver_config", d.GetTypedDnsResolverConfig(), c)
	c.DNS.FailureMax = failureMax(c.DNS)
}

// dns reads how names are resolved.
func (p *problems) dns(m *clusterv3.Cluster, c *Cluster) {
	c.DNS = cluster.DNS{
		Family:      family(int32(m.GetDnsLookupFamily())),
		Refresh:     m.GetDnsRefreshRate().AsDuration(),
		Jitter:      m.GetDnsJitter().AsDuration(),
		FailureBase: m.GetDnsFailureRefreshRate().GetBaseInterval().AsDuration(),
		FailureMax:  m.GetDnsFailureRefreshRate().GetMaxInterval().AsDuration(),
	}
	c.DNS.FailureMax = failureMax(c.DNS)
	switch {
	case m.GetTypedDnsResolverConfig() != nil:
		p.resolver("typed_dns_resolver_config", m.GetTypedDnsResolverConfig(), c)
	case m.GetDnsResolutionConfig() != nil:
		p.servers("dns_resolution_config.resolvers", m.GetDnsResolutionConfig().GetResolvers(), c)
	default:
		p.servers("dns_resolvers", m.GetDnsResolvers(), c)
	}
}

func failureMax(d cluster.DNS) time.Duration {
	if d.FailureMax == 0 {
		return 10 * d.FailureBase
	}
	return d.FailureMax
}

func family(f int32) cluster.Family {
	switch clusterv3.Cluster_DnsLookupFamily(f) {
	case clusterv3.Cluster_V4_ONLY:
		return cluster.FamilyV4
	case clusterv3.Cluster_V6_ONLY:
		return cluster.FamilyV6
	case clusterv3.Cluster_V4_PREFERRED:
		return cluster.FamilyV4Preferred
	case clusterv3.Cluster_ALL:
		return cluster.FamilyAll
	default:
		return cluster.FamilyAuto
	}
}

func (p *problems) resolver(path string, m *corev3.TypedExtensionConfig, c *Cluster) {
	if m == nil || p.under(path) {
		return
	}
	cares := new(caresv3.CaresDnsResolverConfig)
	if m.GetTypedConfig().UnmarshalTo(cares) == nil {
		p.servers(path+".typed_config.resolvers", cares.GetResolvers(), c)
	}
}

func (p *problems) servers(path string, servers []*corev3.Address, c *Cluster) {
	for i, s := range servers {
		at := path + "[" + strconv.Itoa(i) + "]"
		if a, err := netip.ParseAddrPort(p.address(at, s, false)); err == nil {
			c.DNS.Servers = append(c.DNS.Servers, a)
		}
	}
}
