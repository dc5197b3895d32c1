package bootstrap

import (
	"fmt"
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

// ADS is where the control plane is.
type ADS struct {
	// Targets are the control planes, the best first: the endpoints of each of
	// grpc_services in turn.
	Targets []Target
	// Delta asks for changes only.
	Delta bool
}

// Target is a gRPC server.
type Target struct {
	// URI is gRPC's: host:port, unix:path or scheme://authority/name
	// (https://github.com/grpc/grpc/blob/master/doc/naming.md).
	URI string
	// TLS is nil for plain text.
	TLS *TLS
	// Metadata goes with every stream, as key and value in turn.
	Metadata []string
	// Token goes with every stream, too; nil: none.
	Token *Token
}

// ads reads dynamic_resources. Listeners and clusters both come by ADS, or
// neither does. The second result are the control planes' static clusters.
func (c *compiler) ads(b *bootstrapv3.Bootstrap) (*ADS, map[string]bool) {
	d := b.GetDynamicResources()
	if d == nil {
		return nil, nil
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
		return nil, nil
	}
	if d.GetAdsConfig().GetApiType() == 0 {
		c.failf("%s.api_type: missing: only GRPC, DELTA_GRPC", path)
	}
	if d.GetAdsConfig().GetTransportApiVersion() == corev3.ApiVersion_AUTO {
		c.failf("%s.transport_api_version: AUTO: not supported, only V3", path) // as Envoy says
	}
	out := &ADS{Delta: d.GetAdsConfig().GetApiType() == corev3.ApiConfigSource_DELTA_GRPC}
	names := map[string]bool{}
	for i, service := range services {
		at := path + ".grpc_services[" + strconv.Itoa(i) + "]"
		if g := service.GetGoogleGrpc(); g != nil {
			out.Targets = append(out.Targets, c.google(at+".google_grpc", service, g)...)
			continue
		}
		name := service.GetEnvoyGrpc().GetClusterName()
		m := staticCluster(b, name)
		if m == nil {
			c.failf("%s.envoy_grpc.cluster_name: %q: not one of static_resources.clusters", at, name)
			continue
		}
		names[name] = true
		for _, t := range c.server(m) {
			t.Metadata = metadata(service)
			out.Targets = append(out.Targets, t)
		}
	}
	return out, names
}

func staticCluster(b *bootstrapv3.Bootstrap, name string) *clusterv3.Cluster {
	for _, m := range b.GetStaticResources().GetClusters() {
		if m.GetName() == name {
			return m
		}
	}
	return nil
}

// google reads a target in Google's gRPC's words.
func (c *compiler) google(at string, service *corev3.GrpcService, g *corev3.GrpcService_GoogleGrpc) []Target {
	if g.GetTargetUri() == "" {
		return nil // the check has said so
	}
	t := Target{URI: g.GetTargetUri(), Metadata: metadata(service)}
	if ssl := g.GetChannelCredentials().GetSslCredentials(); ssl != nil {
		t.TLS = &TLS{}
		t.TLS.CA = c.source(at+".channel_credentials.ssl_credentials.root_certs", ssl.GetRootCerts())
		t.TLS.Cert = c.source(at+".channel_credentials.ssl_credentials.cert_chain", ssl.GetCertChain())
		t.TLS.Key = c.source(at+".channel_credentials.ssl_credentials.private_key", ssl.GetPrivateKey())
		c.checkTLS(at+".channel_credentials.ssl_credentials", t.TLS)
	}
	t.Token = c.token(at, g, t.TLS != nil)
	return []Target{t}
}

func metadata(service *corev3.GrpcService) (out []string) {
	for _, h := range service.GetInitialMetadata() {
		out = append(out, strings.ToLower(h.GetKey()), h.GetValue())
	}
	return out
}

// server reads the cluster of a control plane, or of another gRPC server that the
// sidecar itself calls. It differs from others in that it may be named by DNS or
// be a unix socket, and must speak HTTP/2; the rest is checked as theirs is.
func (c *compiler) server(m *clusterv3.Cluster) []Target {
	like := proto.CloneOf(m)
	switch m.GetType() { //nolint:exhaustive // the parser refuses the others
	case clusterv3.Cluster_STRICT_DNS, clusterv3.Cluster_LOGICAL_DNS:
		like.ClusterDiscoveryType = &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STATIC}
		like.DnsLookupFamily = 0 // gRPC resolves in its own way
	}
	if !takeHTTP2(like) {
		c.failf("cluster %q: typed_extension_protocol_options: http2_protocol_options missing: a control plane speaks gRPC", m.GetName())
	}
	// One connection, with gRPC's own keepalive: there is nothing to break or to
	// balance.
	like.CircuitBreakers, like.UpstreamConnectionOptions = nil, nil
	var tls *TLS
	if socket := m.GetTransportSocket(); socket != nil {
		like.TransportSocket = nil
		tls = c.upstreamTLS(fmt.Sprintf("cluster %q: transport_socket", m.GetName()), socket)
	}
	targets := targets(like)
	if err := resource.Check("cluster", m.GetName(), like); err != nil {
		c.check(err)
		return nil
	}
	if len(targets) == 0 {
		c.failf("cluster %q: load_assignment: no endpoints", m.GetName())
	}
	for i := range targets {
		targets[i].TLS = tls
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

// targets are the cluster's endpoints as gRPC names them. It takes unix sockets
// out of m, which the parser does not know.
func targets(m *clusterv3.Cluster) (out []Target) {
	for _, locality := range m.GetLoadAssignment().GetEndpoints() {
		kept := locality.LbEndpoints[:0]
		for _, lb := range locality.GetLbEndpoints() {
			if path := lb.GetEndpoint().GetAddress().GetPipe().GetPath(); path != "" {
				out = append(out, Target{URI: "unix:" + path})
				continue
			}
			s := lb.GetEndpoint().GetAddress().GetSocketAddress()
			if host := strings.Trim(s.GetAddress(), "[]"); host != "" {
				out = append(out, Target{URI: net.JoinHostPort(host, strconv.FormatUint(uint64(s.GetPortValue()), 10))})
			}
			kept = append(kept, lb)
		}
		locality.LbEndpoints = kept
	}
	return out
}

// local says that an endpoint of m is a unix socket, where the sidecar itself may
// go but no route.
func local(m *clusterv3.Cluster) bool {
	for _, locality := range m.GetLoadAssignment().GetEndpoints() {
		for _, lb := range locality.GetLbEndpoints() {
			if lb.GetEndpoint().GetAddress().GetPipe() != nil {
				return true
			}
		}
	}
	return false
}

// servers are the static clusters that the sidecar itself may call: those that
// speak HTTP/2. A secret's sds_config names one.
func (c *compiler) servers(b *bootstrapv3.Bootstrap, controlPlanes map[string]bool) map[string][]Target {
	out := map[string][]Target{}
	for _, m := range b.GetStaticResources().GetClusters() {
		speaks := takeHTTP2(proto.CloneOf(m))
		switch {
		case controlPlanes[m.GetName()]:
		case local(m):
			out[m.GetName()] = c.server(m)
		case speaks && m.GetType() != clusterv3.Cluster_EDS:
			quiet := &compiler{parser: c.parser} // what is wrong is told where it is routed to
			if targets := quiet.server(m); len(quiet.errs) == 0 {
				out[m.GetName()] = targets
			}
		}
	}
	return out
}
