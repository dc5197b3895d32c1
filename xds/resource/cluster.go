package resource

import (
	"maps"
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
	switch m.GetLbPolicy() { // the table refuses the others
	case clusterv3.Cluster_LEAST_REQUEST:
		c.Policy = cluster.LeastRequest
	case clusterv3.Cluster_RANDOM:
		c.Policy = cluster.Random
	default:
		c.Policy = cluster.RoundRobin
	}
	p.protocol(m, c)
	p.sockets(m, c)
	switch eds := m.GetEdsClusterConfig(); {
	case m.GetType() == clusterv3.Cluster_EDS:
		p.eds(m, c)
	case eds != nil:
		p.addf("eds_cluster_config", "needs type EDS")
	case m.GetLoadAssignment() != nil && !p.under("load_assignment"):
		c.Endpoints = p.endpoints("load_assignment", m.GetLoadAssignment())
	}
	if err := p.err(); err != nil {
		return nil, err
	}
	return c, nil
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

// protocol reads the HttpProtocolOptions.
func (p *problems) protocol(m *clusterv3.Cluster, c *Cluster) {
	options := m.GetTypedExtensionProtocolOptions()
	if len(options) == 0 && m.GetHttp2ProtocolOptions() != nil {
		c.Protocol = proxy.UpstreamHTTP2
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
		common := h.GetCommonHttpProtocolOptions()
		c.IdleTimeout = timeout(common.GetIdleTimeout())
		c.MaxRequestsPerConnection = common.GetMaxRequestsPerConnection().GetValue()
		switch {
		case h.GetExplicitHttpConfig().GetHttp2ProtocolOptions() != nil:
			c.Protocol = proxy.UpstreamHTTP2
		case h.GetUseDownstreamProtocolConfig() != nil:
			c.Protocol = proxy.UpstreamAsCaller
		case h.GetAutoConfig() != nil:
			c.Protocol = proxy.UpstreamByALPN
		}
		c.AutoSNI = h.GetUpstreamHttpProtocolOptions().GetAutoSni()
		c.AutoSAN = h.GetUpstreamHttpProtocolOptions().GetAutoSanValidation()
	}
}
