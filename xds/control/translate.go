package control

import (
	"errors"
	"fmt"
	"net/netip"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	httpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	"github.com/envoyproxy/go-control-plane/pkg/cache/types"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"

	policyv1alpha1 "github.com/fridaymesh/friday/xds/api/friday/policy/v1alpha1"
	"github.com/fridaymesh/friday/xds/control/policy"
)

// upstreamOptions is the key of HttpProtocolOptions in a Cluster.
const upstreamOptions = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"

// translate makes the resources of p, and their digests.
func translate(p *policy.Policy, domain string) (*Compiled, error) {
	c := &Compiled{Policy: p}
	for _, g := range p.Groups() {
		name := p.Cluster(g.Name)
		cluster, err := upstreamCluster(name, g.Server, domain)
		if err != nil {
			return nil, err
		}
		assigned, err := assignment(name, g)
		if err != nil {
			return nil, err
		}
		// A client warms a changed cluster until it has heard of its endpoints again,
		// and a changed listener until it has heard of its routes; so what a resource
		// hangs on is part of its version, and both are sent.
		if err := errors.Join(c.add(clusters, name, cluster), c.add(endpoints, name, assigned, cluster)); err != nil {
			return nil, err
		}
	}
	l, err := listener(p, domain)
	if err != nil {
		return nil, err
	}
	r, err := routes(p)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(c.add(listeners, p.Name(), l), c.add(routeSets, p.Name(), r, l)); err != nil {
		return nil, err
	}
	var all []proto.Message
	for kind, items := range c.items {
		c.digests[kind] = version(items)
		for _, it := range items {
			all = append(all, it.resource)
		}
	}
	c.Version, err = digest(all...)
	return c, err
}

// add takes a resource in, with what it hangs on.
func (c *Compiled) add(kind int, name string, r types.Resource, on ...proto.Message) error {
	d, err := digest(append(on, r)...)
	c.items[kind] = append(c.items[kind], item{policy: c, name: name, digest: d, resource: r})
	return err
}

// upstreamCluster writes the defaults out, so that two versions of the sidecar
// cannot differ about them.
func upstreamCluster(name string, server *policyv1alpha1.Server, domain string) (*clusterv3.Cluster, error) {
	options, err := pack(&httpv3.HttpProtocolOptions{
		CommonHttpProtocolOptions: &corev3.HttpProtocolOptions{
			IdleTimeout: or(server.GetIdleTimeout(), durationpb.New(policy.DefaultIdleTimeout)),
		},
		UpstreamProtocolOptions: &httpv3.HttpProtocolOptions_ExplicitHttpConfig_{
			ExplicitHttpConfig: &httpv3.HttpProtocolOptions_ExplicitHttpConfig{
				ProtocolConfig: &httpv3.HttpProtocolOptions_ExplicitHttpConfig_HttpProtocolOptions{
					HttpProtocolOptions: &corev3.Http1ProtocolOptions{},
				},
			},
		},
	})
	if err != nil {
		return nil, err
	}
	balancing := clusterv3.Cluster_ROUND_ROBIN
	if server.GetLoadBalancing() == policyv1alpha1.Server_LEAST_REQUEST {
		balancing = clusterv3.Cluster_LEAST_REQUEST
	}
	c := &clusterv3.Cluster{
		Name:                          name,
		ClusterDiscoveryType:          &clusterv3.Cluster_Type{Type: clusterv3.Cluster_EDS},
		EdsClusterConfig:              &clusterv3.Cluster_EdsClusterConfig{EdsConfig: ads()},
		ConnectTimeout:                or(server.GetConnectTimeout(), durationpb.New(policy.DefaultConnectTimeout)),
		LbPolicy:                      balancing,
		TypedExtensionProtocolOptions: map[string]*anypb.Any{upstreamOptions: options},
	}
	return c, secureUpstream(c, server.GetTls(), domain)
}

func assignment(name string, g policy.Group) (*endpointv3.ClusterLoadAssignment, error) {
	var members []*endpointv3.LbEndpoint
	for i, text := range g.Server.GetEndpoints() {
		ap, err := netip.ParseAddrPort(text)
		if err != nil { // the decoder has let it through, so it cannot be
			return nil, fmt.Errorf("%s.endpoints[%d]: %q: %w", g.Path, i, text, err)
		}
		members = append(members, &endpointv3.LbEndpoint{HostIdentifier: &endpointv3.LbEndpoint_Endpoint{
			Endpoint: &endpointv3.Endpoint{Address: address(ap.Addr().String(), uint32(ap.Port()))},
		}})
	}
	return &endpointv3.ClusterLoadAssignment{
		ClusterName: name,
		Endpoints:   []*endpointv3.LocalityLbEndpoints{{LbEndpoints: members}},
	}, nil
}

func address(ip string, port uint32) *corev3.Address {
	return &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
		Address: ip, PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: port},
	}}}
}

// ads says that a resource comes over the stream that named it.
func ads() *corev3.ConfigSource {
	return &corev3.ConfigSource{
		ConfigSourceSpecifier: &corev3.ConfigSource_Ads{Ads: &corev3.AggregatedConfigSource{}},
		ResourceApiVersion:    corev3.ApiVersion_V3,
	}
}

func or(d, absent *durationpb.Duration) *durationpb.Duration {
	if d == nil {
		return absent
	}
	return d
}
