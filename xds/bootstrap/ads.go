package bootstrap

import (
	"net"
	"strconv"
	"strings"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	httpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	"google.golang.org/protobuf/proto"

	"github.com/fridaymesh/friday/xds/resource"
)

// ads reads dynamic_resources. Listeners and clusters both come by ADS, or
// neither does. The second result is the control plane's static cluster, if it
// has one.
func (c *compiler) ads(b *bootstrapv3.Bootstrap) (*ADS, string) {
	d := b.GetDynamicResources()
	if d == nil {
		return nil, ""
	}
	if d.GetLdsConfig().GetAds() == nil {
		c.failf("dynamic_resources.lds_config.ads: missing: listeners and clusters both come by ADS")
	}
	if d.GetCdsConfig().GetAds() == nil {
		c.failf("dynamic_resources.cds_config.ads: missing: listeners and clusters both come by ADS")
	}
	const path = "dynamic_resources.ads_config"
	services := d.GetAdsConfig().GetGrpcServices()
	if len(services) == 0 {
		c.failf("%s.grpc_services: missing", path)
		return nil, ""
	}
	if d.GetAdsConfig().GetApiType() == 0 {
		c.failf("%s.api_type: missing: only GRPC", path)
	}
	if d.GetAdsConfig().GetTransportApiVersion() == corev3.ApiVersion_AUTO {
		c.failf("%s.transport_api_version: AUTO: not supported, only V3", path) // as Envoy says
	}
	if target := services[0].GetGoogleGrpc().GetTargetUri(); target != "" {
		return &ADS{Targets: []string{target}}, ""
	}
	name := services[0].GetEnvoyGrpc().GetClusterName()
	for _, m := range b.GetStaticResources().GetClusters() {
		if m.GetName() == name {
			return &ADS{Targets: c.controlPlane(m)}, name
		}
	}
	c.failf("%s.grpc_services[0].envoy_grpc.cluster_name: %q: not one of static_resources.clusters", path, name)
	return nil, ""
}

// controlPlane reads the cluster of a control plane. It differs from others in
// that it may be named by DNS and must speak HTTP/2; the rest is checked as
// theirs is.
func (c *compiler) controlPlane(m *clusterv3.Cluster) []string {
	like := proto.CloneOf(m)
	switch m.GetType() { //nolint:exhaustive // the parser refuses the others
	case clusterv3.Cluster_STRICT_DNS, clusterv3.Cluster_LOGICAL_DNS:
		like.ClusterDiscoveryType = &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STATIC}
		like.DnsLookupFamily = 0 // gRPC resolves in its own way
	}
	if !takeHTTP2(like) {
		c.failf("cluster %q: typed_extension_protocol_options: http2_protocol_options missing: a control plane speaks gRPC", m.GetName())
	}
	targets := targets(like)
	if err := resource.Check("cluster", m.GetName(), like); err != nil {
		c.check(err)
		return nil
	}
	if len(targets) == 0 {
		c.failf("cluster %q: load_assignment: no endpoints", m.GetName())
	}
	return targets
}

// takeHTTP2 takes HTTP/2's options, of either place, out of m.
func takeHTTP2(m *clusterv3.Cluster) bool {
	if m.GetHttp2ProtocolOptions() != nil { //nolint:staticcheck // deprecated, and still written
		m.Http2ProtocolOptions = nil //nolint:staticcheck // as above
		return true
	}
	options := new(httpv3.HttpProtocolOptions)
	if m.GetTypedExtensionProtocolOptions()[httpOptions].UnmarshalTo(options) != nil ||
		options.GetExplicitHttpConfig().GetHttp2ProtocolOptions() == nil {
		return false
	}
	delete(m.TypedExtensionProtocolOptions, httpOptions)
	return true
}

// targets are the cluster's endpoints as gRPC names them.
func targets(m *clusterv3.Cluster) (out []string) {
	for _, locality := range m.GetLoadAssignment().GetEndpoints() {
		for _, lb := range locality.GetLbEndpoints() {
			s := lb.GetEndpoint().GetAddress().GetSocketAddress()
			if host := strings.Trim(s.GetAddress(), "[]"); host != "" {
				out = append(out, net.JoinHostPort(host, strconv.FormatUint(uint64(s.GetPortValue()), 10)))
			}
		}
	}
	return out
}
