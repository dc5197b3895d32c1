package bootstrap

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	credentialv3 "github.com/envoyproxy/go-control-plane/envoy/config/grpc_credential/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	httpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	"google.golang.org/protobuf/types/known/anypb"
)

// Names of what is made of flags.
const (
	inbound      = "inbound"
	misdirected  = "misdirected"
	upstreamName = "upstream"
	xdsName      = "xds"
	httpOptions  = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
)

// upstreams adds a listener for each server that f.Upstream names: the n-th address of
// f.Listen leads to the n-th server.
func (f Flags) upstreams(ctx context.Context, b *bootstrapv3.Bootstrap) error {
	servers, addresses := strings.Split(f.Upstream, ","), strings.Split(cmp.Or(f.Listen, DefaultListen), ",")
	if len(servers) != len(addresses) {
		return fmt.Errorf("--listen %q: must have an address for each of --upstream %q", f.Listen, f.Upstream)
	}
	b.StaticResources = &bootstrapv3.Bootstrap_StaticResources{}
	for i := range servers {
		one := f
		one.Upstream, one.Listen, one.nth = servers[i], addresses[i], i
		if err := one.upstream(ctx, b); err != nil {
			return err
		}
	}
	return nil
}

// ordinal tells the second server and those after it apart by their names.
func (f Flags) ordinal(name string) string {
	if f.nth == 0 {
		return name
	}
	return name + "-" + strconv.Itoa(f.nth+1)
}

// upstream adds a listener whose one route leads to f.Upstream, through the
// filters with their defaults.
func (f Flags) upstream(ctx context.Context, b *bootstrapv3.Bootstrap) error {
	listen, name := f.Listen, f.ordinal(upstreamName)
	address, err := listenAddress(listen)
	if err != nil {
		return fmt.Errorf("--listen %q: %w", listen, err)
	}
	host, port, secure, err := server(f.Upstream)
	if err != nil {
		return fmt.Errorf("--upstream %q: %w", f.Upstream, err)
	}
	ips, err := resolve(ctx, host)
	if err != nil {
		return fmt.Errorf("--upstream %q: %w", f.Upstream, err)
	}
	for _, ip := range ips {
		if circular(address, ip, port) {
			return fmt.Errorf("--upstream %q: that is where --listen %s listens: requests would go in a circle", f.Upstream, listen)
		}
	}
	cluster := &clusterv3.Cluster{
		Name:                 name,
		ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STATIC},
		LoadAssignment:       assignment(name, port, ips...),
	}
	called := "" // by whatever name the caller uses
	if secure {
		if called, err = speakTLS(cluster, host, port); err != nil {
			return err
		}
	}
	hcm, err := f.connectionManager(called)
	if err != nil {
		return err
	}
	chain := &listenerv3.FilterChain{Filters: []*listenerv3.Filter{{
		Name:       "envoy.filters.network.http_connection_manager",
		ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: hcm},
	}}}
	if f.Cert != "" {
		if chain.TransportSocket, err = f.towardsCallers(); err != nil {
			return err
		}
	}
	static := b.GetStaticResources()
	static.Listeners = append(static.Listeners, &listenerv3.Listener{
		Name: f.ordinal(inbound), Address: address, TrafficDirection: corev3.TrafficDirection_INBOUND,
		FilterChains: []*listenerv3.FilterChain{chain},
	})
	static.Clusters = append(static.Clusters, cluster)
	return nil
}

// circular says that ip and port are, as far as can be told from here, the address
// that is listened on.
func circular(listen *corev3.Address, ip string, port uint32) bool {
	s := listen.GetSocketAddress()
	if s.GetPortValue() != port {
		return false
	}
	l, lerr := netip.ParseAddr(s.GetAddress())
	u, uerr := netip.ParseAddr(ip)
	return lerr == nil && uerr == nil && (l == u || l.IsUnspecified() && (u.IsLoopback() || u.IsUnspecified()))
}

// controlPlane adds ADS over a cluster that leads to f.XDS.
func (f Flags) controlPlane(b *bootstrapv3.Bootstrap) error {
	switch {
	case f.Listen != "":
		return fmt.Errorf("--listen %q: the control plane says what to listen on", f.Listen)
	case f.Cert != "":
		return fmt.Errorf("--tls-cert %q: the control plane says in what callers are spoken to", f.Cert)
	case f.Timeout != 0:
		return fmt.Errorf("--timeout %s: the control plane says how long", f.Timeout)
	case f.Hold != 0:
		return fmt.Errorf("--hold-timeout %s: the control plane says how long", f.Hold)
	}
	host, port, secure, err := server(f.XDS)
	if err == nil && secure {
		err = errors.New("write HOST:PORT; --xds-ca has it spoken to in TLS")
	}
	if err != nil {
		return fmt.Errorf("--xds %q: %w", f.XDS, err)
	}
	if f.XDSCA != "" {
		service, err := secureService(net.JoinHostPort(host, strconv.FormatUint(uint64(port), 10)), f.XDSCA, f.XDSToken)
		b.DynamicResources = dynamic(service)
		return err
	}
	kind := clusterv3.Cluster_STRICT_DNS
	if _, err := netip.ParseAddr(host); err == nil {
		kind = clusterv3.Cluster_STATIC
	}
	options, err := anypb.New(&httpv3.HttpProtocolOptions{
		UpstreamProtocolOptions: &httpv3.HttpProtocolOptions_ExplicitHttpConfig_{
			ExplicitHttpConfig: &httpv3.HttpProtocolOptions_ExplicitHttpConfig{
				ProtocolConfig: &httpv3.HttpProtocolOptions_ExplicitHttpConfig_Http2ProtocolOptions{
					Http2ProtocolOptions: &corev3.Http2ProtocolOptions{},
				},
			},
		},
	})
	if err != nil {
		return err
	}
	b.StaticResources = &bootstrapv3.Bootstrap_StaticResources{Clusters: []*clusterv3.Cluster{{
		Name:                          xdsName,
		ClusterDiscoveryType:          &clusterv3.Cluster_Type{Type: kind},
		LoadAssignment:                assignment(xdsName, port, host),
		TypedExtensionProtocolOptions: map[string]*anypb.Any{httpOptions: options},
	}}}
	b.DynamicResources = dynamic(&corev3.GrpcService{TargetSpecifier: &corev3.GrpcService_EnvoyGrpc_{
		EnvoyGrpc: &corev3.GrpcService_EnvoyGrpc{ClusterName: xdsName},
	}})
	return nil
}

// dynamic has everything come over ADS from a service.
func dynamic(service *corev3.GrpcService) *bootstrapv3.Bootstrap_DynamicResources {
	ads := &corev3.ConfigSource{
		ResourceApiVersion:    corev3.ApiVersion_V3,
		ConfigSourceSpecifier: &corev3.ConfigSource_Ads{Ads: &corev3.AggregatedConfigSource{}},
	}
	return &bootstrapv3.Bootstrap_DynamicResources{
		LdsConfig: ads, CdsConfig: ads,
		AdsConfig: &corev3.ApiConfigSource{
			ApiType: corev3.ApiConfigSource_GRPC, TransportApiVersion: corev3.ApiVersion_V3,
			GrpcServices: []*corev3.GrpcService{service},
		},
	}
}

func file(path string) *corev3.DataSource {
	return &corev3.DataSource{Specifier: &corev3.DataSource_Filename{Filename: path}}
}

// secureService is a gRPC server in TLS, whose certificate must lead to the roots of
// a file, with a file's token where there is one.
func secureService(target, roots, token string) (*corev3.GrpcService, error) {
	g := &corev3.GrpcService_GoogleGrpc{
		TargetUri: target, StatPrefix: xdsName,
		ChannelCredentials: &corev3.GrpcService_GoogleGrpc_ChannelCredentials{
			CredentialSpecifier: &corev3.GrpcService_GoogleGrpc_ChannelCredentials_SslCredentials{
				SslCredentials: &corev3.GrpcService_GoogleGrpc_SslCredentials{RootCerts: file(roots)},
			},
		},
	}
	if token != "" {
		config, err := anypb.New(&credentialv3.FileBasedMetadataConfig{SecretData: file(token), HeaderPrefix: "Bearer "})
		if err != nil {
			return nil, err
		}
		g.CredentialsFactoryName = fileBased
		g.CallCredentials = []*corev3.GrpcService_GoogleGrpc_CallCredentials{{
			CredentialSpecifier: &corev3.GrpcService_GoogleGrpc_CallCredentials_FromPlugin{
				FromPlugin: &corev3.GrpcService_GoogleGrpc_CallCredentials_MetadataCredentialsFromPlugin{
					Name:       fileBased,
					ConfigType: &corev3.GrpcService_GoogleGrpc_CallCredentials_MetadataCredentialsFromPlugin_TypedConfig{TypedConfig: config},
				},
			},
		}}
	}
	return &corev3.GrpcService{TargetSpecifier: &corev3.GrpcService_GoogleGrpc_{GoogleGrpc: g}}, nil
}

func assignment(name string, port uint32, hosts ...string) *endpointv3.ClusterLoadAssignment {
	locality := new(endpointv3.LocalityLbEndpoints)
	for _, host := range hosts {
		locality.LbEndpoints = append(locality.LbEndpoints, &endpointv3.LbEndpoint{
			HostIdentifier: &endpointv3.LbEndpoint_Endpoint{Endpoint: &endpointv3.Endpoint{Address: socketAddress(host, port)}},
		})
	}
	return &endpointv3.ClusterLoadAssignment{ClusterName: name, Endpoints: []*endpointv3.LocalityLbEndpoints{locality}}
}

func socketAddress(host string, port uint32) *corev3.Address {
	return &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
		Address: host, PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: port},
	}}}
}
