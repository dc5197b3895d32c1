package resource

import (
	"maps"
	"net/netip"
	"slices"
	"strconv"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	httpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"

	"github.com/fridaymesh/friday/proxy"
	"github.com/fridaymesh/friday/proxy/cluster"
)

// httpOptions is the one key of typed_extension_protocol_options.
const httpOptions = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"

// Cluster parses a Cluster.
func (r *Parser) Cluster(m *clusterv3.Cluster) (*Cluster, error) {
	p := newProblems("cluster", m.GetName())
	p.check("", m.ProtoReflect())
	c := &Cluster{Config: &cluster.Config{Name: m.GetName(), ConnectTimeout: m.GetConnectTimeout().AsDuration()}}
	p.whence(m, c)
	p.balance(m, c.Config)
	p.protocol(m, c)
	p.sockets(m, c)
	c.Limits = clusterLimits(m.GetCircuitBreakers())
	c.Outliers = outliers(m.GetOutlierDetection())
	p.healthCheck(m, c.Config)
	c.Preconnect = m.GetPreconnectPolicy().GetPerUpstreamPreconnectRatio().GetValue()
	if source := m.GetUpstreamBindConfig().GetSourceAddress(); source != nil && !p.under("upstream_bind_config.source_address") {
		c.Source = p.source("upstream_bind_config.source_address", source)
	}
	if m.GetLoadAssignment() != nil && c.EDS == "" && !p.under("load_assignment") {
		named := c.Discovery == cluster.StrictDNS || c.Discovery == cluster.LogicalDNS
		c.Endpoints = p.endpoints("load_assignment", m.GetLoadAssignment(), named)
		c.Load = load(m.GetLoadAssignment().GetPolicy())
	}
	if err := p.err(); err != nil {
		return nil, err
	}
	c.LeftAside = p.aside
	return c, nil
}

// whence reads where the endpoints come from.
func (p *problems) whence(m *clusterv3.Cluster, c *Cluster) {
	if m.GetClusterType() != nil {
		p.typedDiscovery(m, c)
	} else {
		switch m.GetType() { // the table refuses what is not defined
		case clusterv3.Cluster_EDS:
			p.eds(m, c)
		case clusterv3.Cluster_STRICT_DNS:
			c.Discovery = cluster.StrictDNS
		case clusterv3.Cluster_LOGICAL_DNS:
			c.Discovery = cluster.LogicalDNS
		case clusterv3.Cluster_ORIGINAL_DST:
			c.Discovery = cluster.OriginalDestination
			p.originalDestination(m, c)
		case clusterv3.Cluster_STATIC:
		}
		if c.Discovery == cluster.StrictDNS || c.Discovery == cluster.LogicalDNS {
			p.dns(m, c)
		}
	}
	if m.GetEdsClusterConfig() != nil && m.GetType() != clusterv3.Cluster_EDS {
		p.addf("eds_cluster_config", "needs type EDS")
	}
	if c.Discovery == cluster.LogicalDNS {
		localities := m.GetLoadAssignment().GetEndpoints()
		if len(localities) != 1 || len(localities[0].GetLbEndpoints()) != 1 {
			p.addf("load_assignment", "LOGICAL_DNS needs exactly one locality and one endpoint")
		}
	}
}

// eds reads where the endpoints come from.
func (p *problems) eds(m *clusterv3.Cluster, c *Cluster) {
	if m.GetLoadAssignment() != nil {
		p.addf("load_assignment", "not beside type EDS")
	}
	if m.GetEdsClusterConfig() == nil {
		p.addf("eds_cluster_config", "missing")
		return
	}
	source := m.GetEdsClusterConfig().GetEdsConfig()
	p.ads("eds_cluster_config.eds_config", source)
	c.EDS = m.GetEdsClusterConfig().GetServiceName()
	if c.EDS == "" {
		c.EDS = m.GetName()
	}
	c.FetchTimeout = patience(source)
}

// ads refuses every source of configuration but ADS.
func (p *problems) ads(path string, source *corev3.ConfigSource) {
	if source.GetAds() == nil && !p.under(path) {
		p.addf(path+".ads", "missing: other sources are not supported")
	}
}

func (p *problems) originalDestination(m *clusterv3.Cluster, c *Cluster) {
	if m.GetLoadAssignment() != nil {
		p.addf("load_assignment", "not beside type ORIGINAL_DST")
	}
	o := m.GetOriginalDstLbConfig()
	if o.GetUseHttpHeader() {
		c.Original.Header = o.GetHttpHeaderName()
		if c.Original.Header == "" {
			c.Original.Header = "x-envoy-original-dst-host"
		}
	}
	c.Original.Port = uint16(min(o.GetUpstreamPortOverride().GetValue(), 65535)) // #nosec G115 -- just bounded
	c.Original.Cleanup = m.GetCleanupInterval().AsDuration()
}

// source reads an address to connect from.
func (p *problems) source(path string, s *corev3.SocketAddress) netip.AddrPort {
	ip, err := netip.ParseAddr(s.GetAddress())
	if err != nil {
		p.add(path+".address", quote(s.GetAddress()), "not an IP address")
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(ip, uint16(min(s.GetPortValue(), 65535))) // #nosec G115 -- just bounded
}

// protocol reads the HttpProtocolOptions.
func (p *problems) protocol(m *clusterv3.Cluster, c *Cluster) {
	options := m.GetTypedExtensionProtocolOptions()
	if len(options) == 0 {
		switch {
		case m.GetProtocolSelection() == clusterv3.Cluster_USE_DOWNSTREAM_PROTOCOL:
			c.Protocol = proxy.UpstreamAsCaller
		case m.GetHttp2ProtocolOptions() != nil:
			c.Protocol = proxy.UpstreamHTTP2
			keepalive(m.GetHttp2ProtocolOptions(), c.Config)
		}
		connections(m.GetCommonHttpProtocolOptions(), c.Config)
		if n := m.GetMaxRequestsPerConnection(); n != nil {
			c.MaxRequestsPerConnection = n.GetValue()
		}
	}
	for _, key := range slices.Sorted(maps.Keys(options)) {
		path := "typed_extension_protocol_options[" + strconv.Quote(key) + "]"
		if p.under(path) {
			continue
		}
		h := new(httpv3.HttpProtocolOptions)
		if key != httpOptions || options[key].UnmarshalTo(h) != nil {
			p.add(path, strconv.Quote(options[key].GetTypeUrl()), "not supported")
			continue
		}
		connections(h.GetCommonHttpProtocolOptions(), c.Config)
		switch {
		case h.GetExplicitHttpConfig().GetHttp2ProtocolOptions() != nil:
			c.Protocol = proxy.UpstreamHTTP2
			keepalive(h.GetExplicitHttpConfig().GetHttp2ProtocolOptions(), c.Config)
		case h.GetUseDownstreamProtocolConfig() != nil:
			c.Protocol = proxy.UpstreamAsCaller
			keepalive(h.GetUseDownstreamProtocolConfig().GetHttp2ProtocolOptions(), c.Config)
		case h.GetAutoConfig() != nil:
			c.Protocol = proxy.UpstreamByALPN
			keepalive(h.GetAutoConfig().GetHttp2ProtocolOptions(), c.Config)
		}
		c.AutoSNI = h.GetUpstreamHttpProtocolOptions().GetAutoSni()
		c.AutoSAN = h.GetUpstreamHttpProtocolOptions().GetAutoSanValidation()
	}
}

// keepalive reads when servers are pinged.
func keepalive(o *corev3.Http2ProtocolOptions, c *cluster.Config) {
	k := o.GetConnectionKeepalive()
	c.KeepaliveInterval, c.KeepaliveTimeout = k.GetInterval().AsDuration(), k.GetTimeout().AsDuration()
}

// connections reads how long connections live.
func connections(common *corev3.HttpProtocolOptions, c *cluster.Config) {
	c.IdleTimeout = timeout(common.GetIdleTimeout())
	c.MaxRequestsPerConnection = common.GetMaxRequestsPerConnection().GetValue()
	c.MaxConnectionDuration = common.GetMaxConnectionDuration().AsDuration()
}
