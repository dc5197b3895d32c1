package bootstrap

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	httpinspectorv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/http_inspector/v3"
	originaldstv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/original_dst/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	tcpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// Mode is how connections come to a sidecar.
type Mode string

// The modes. The empty one is ModePort.
const (
	// ModePort is that callers call Friday's port.
	ModePort Mode = "port"
	// ModeRedirect is that the kernel sends it connections that were meant for the
	// server (friday redirect).
	ModeRedirect Mode = "redirect"
)

// silence is how long a redirected connection may say nothing until it is taken for one
// in which the server speaks first, and passes as bytes.
const silence = 5 * time.Second

// redirected adds a listener for connections that the kernel has redirected: each goes
// on to where it was meant to go; HTTP through the filters, everything else as bytes.
// One that was not redirected gets 421.
func (f Flags) redirected(b *bootstrapv3.Bootstrap) error {
	if f.Upstream != "" {
		if _, _, secure, err := server(f.Upstream); err != nil || secure {
			if err == nil {
				err = errors.New("https is not supported with --mode redirect: what is encrypted passes as it is")
			}
			return fmt.Errorf("--upstream %q: %w", f.Upstream, err)
		}
	}
	listen := f.Listen
	if listen == "" {
		listen = everywhere()
	}
	address, err := listenAddress(listen)
	if err == nil && address.GetSocketAddress().GetPortValue() == 0 {
		err = errors.New("with --mode redirect the port must be the one that friday redirect --to names")
	}
	if err != nil {
		return fmt.Errorf("--listen %q: %w", listen, err)
	}
	p := &packer{}
	proxied, err := f.connectionManager("")
	if err != nil {
		return err
	}
	chain := func(match *listenerv3.FilterChainMatch, name string, config *anypb.Any) *listenerv3.FilterChain {
		return &listenerv3.FilterChain{
			FilterChainMatch: match,
			Filters:          []*listenerv3.Filter{{Name: name, ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: config}}},
		}
	}
	const manager, relay = "envoy.filters.network.http_connection_manager", "envoy.filters.network.tcp_proxy"
	inspect := func(name string, m proto.Message) *listenerv3.ListenerFilter {
		return &listenerv3.ListenerFilter{Name: name, ConfigType: &listenerv3.ListenerFilter_TypedConfig{TypedConfig: p.pack(m)}}
	}
	b.StaticResources = &bootstrapv3.Bootstrap_StaticResources{
		Listeners: []*listenerv3.Listener{{
			Name: inbound, Address: address, TrafficDirection: corev3.TrafficDirection_INBOUND,
			ListenerFilters: []*listenerv3.ListenerFilter{
				inspect("envoy.filters.listener.original_dst", &originaldstv3.OriginalDst{}),
				inspect("envoy.filters.listener.http_inspector", &httpinspectorv3.HttpInspector{}),
			},
			ListenerFiltersTimeout:           durationpb.New(silence),
			ContinueOnListenerFiltersTimeout: true,
			FilterChains: []*listenerv3.FilterChain{
				chain(&listenerv3.FilterChainMatch{
					DestinationPort: wrapperspb.UInt32(address.GetSocketAddress().GetPortValue()),
				}, manager, p.misdirected()),
				chain(&listenerv3.FilterChainMatch{ApplicationProtocols: []string{"http/1.0", "http/1.1", "h2c"}}, manager, proxied),
				chain(nil, relay, p.pack(&tcpv3.TcpProxy{
					StatPrefix: inbound, ClusterSpecifier: &tcpv3.TcpProxy_Cluster{Cluster: upstreamName},
				})),
			},
		}},
		Clusters: []*clusterv3.Cluster{{
			Name:                 upstreamName,
			ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_ORIGINAL_DST},
			LbPolicy:             clusterv3.Cluster_CLUSTER_PROVIDED,
			CleanupInterval:      durationpb.New(time.Hour), // with a destination goes what the batcher has learned
		}},
	}
	return p.err
}

// everywhere is the default address for connections of both families.
func everywhere() string {
	_, port, _ := net.SplitHostPort(DefaultListen)
	return net.JoinHostPort(anyHost(), port)
}

// anyHost is the host of all addresses of both families, where the system has both.
func anyHost() string {
	ln, err := net.ListenUDP("udp6", nil) //nolint:noctx // nothing is resolved or waited for
	if err != nil {
		return "0.0.0.0"
	}
	_ = ln.Close() // it was of no other use
	return "::"
}

// misdirected answers who calls the port that others are redirected to.
func (p *packer) misdirected() *anypb.Any {
	return p.pack(&hcmv3.HttpConnectionManager{
		StatPrefix: misdirected,
		RouteSpecifier: &hcmv3.HttpConnectionManager_RouteConfig{RouteConfig: &routev3.RouteConfiguration{
			Name: misdirected,
			VirtualHosts: []*routev3.VirtualHost{{
				Name: misdirected, Domains: []string{"*"},
				Routes: []*routev3.Route{{
					Name:  misdirected,
					Match: &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Prefix{Prefix: "/"}},
					Action: &routev3.Route_DirectResponse{DirectResponse: &routev3.DirectResponseAction{
						Status: http.StatusMisdirectedRequest,
						Body: &corev3.DataSource{Specifier: &corev3.DataSource_InlineString{
							InlineString: "this port is for connections that the kernel redirects (friday redirect): call the server's own port\n",
						}},
					}},
				}},
			}},
		}},
		HttpFilters: []*hcmv3.HttpFilter{p.router()},
	})
}
