package bootstrap

import (
	"errors"
	"fmt"
	"net"
	"strconv"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/proto"

	"github.com/fridaymesh/friday/proxy/config"
	"github.com/fridaymesh/friday/xds/resource"
)

// Bootstrap is what a bootstrap means.
type Bootstrap struct {
	// Source is what it was compiled from, for the config dump.
	Source *bootstrapv3.Bootstrap
	// Node is how the sidecar names itself to its control plane.
	Node *corev3.Node
	// AdminAddress is host:port; empty where the bootstrap has none.
	AdminAddress string
	// ADS is the control plane; nil where there is none.
	ADS *ADS
	// Static are the listeners and clusters of the bootstrap itself, without the
	// control plane's own cluster: nothing can be routed to that.
	Static *config.Resources
}

// ADS is where the control plane is.
type ADS struct {
	// Targets are gRPC targets, tried in turn: host:port, or
	// scheme://authority/name (https://github.com/grpc/grpc/blob/master/doc/naming.md).
	Targets []string
}

// userAgent is how Friday names itself to control planes.
const userAgent = "friday"

// errIdle is of a bootstrap that would serve nobody, now or later.
var errIdle = errors.New("nothing to do: neither static_resources.listeners nor dynamic_resources")

// Compile checks the whole bootstrap and makes the data plane's configuration of
// it. Its error joins a line for each field that is wrong. It is pure.
func Compile(b *bootstrapv3.Bootstrap, parser *resource.Parser) (*Bootstrap, error) {
	c := &compiler{parser: parser}
	c.check(resource.Check("bootstrap", b.GetNode().GetId(), b))
	out := &Bootstrap{Source: b, Node: node(b.GetNode()), Static: &config.Resources{}}
	out.AdminAddress = c.admin(b.GetAdmin())
	xdsCluster := ""
	out.ADS, xdsCluster = c.ads(b)
	c.clusters(b, xdsCluster, out.Static)
	c.listeners(b, out.Static)
	if len(c.errs) == 0 && len(out.Static.Listeners) == 0 && out.ADS == nil {
		return nil, errIdle
	}
	if err := errors.Join(c.errs...); err != nil {
		return nil, err
	}
	return out, nil
}

type compiler struct {
	parser *resource.Parser
	errs   []error
}

// check keeps err's lines, if any.
func (c *compiler) check(err error) {
	if err != nil {
		c.errs = append(c.errs, err)
	}
}

func (c *compiler) failf(format string, args ...any) {
	c.errs = append(c.errs, fmt.Errorf(format, args...))
}

func node(n *corev3.Node) *corev3.Node {
	out := &corev3.Node{}
	if n != nil {
		out = proto.CloneOf(n)
	}
	out.UserAgentName = userAgent
	out.UserAgentVersionType, out.Extensions, out.ClientFeatures = nil, nil, nil
	return out
}

func (c *compiler) admin(a *bootstrapv3.Admin) string {
	if a.GetAddress() == nil {
		return ""
	}
	s := a.GetAddress().GetSocketAddress()
	if net.ParseIP(s.GetAddress()) == nil {
		c.failf("admin.address.socket_address.address: %q: not an IP address", s.GetAddress())
		return ""
	}
	return net.JoinHostPort(s.GetAddress(), strconv.FormatUint(uint64(s.GetPortValue()), 10))
}

// clusters parses the static clusters but the control plane's own.
func (c *compiler) clusters(b *bootstrapv3.Bootstrap, xdsCluster string, out *config.Resources) {
	seen := map[string]bool{}
	for i, m := range b.GetStaticResources().GetClusters() {
		name := m.GetName()
		if seen[name] {
			c.failf("static_resources.clusters[%d].name: %q: stands there twice", i, name)
			continue
		}
		seen[name] = true
		if name == xdsCluster && xdsCluster != "" {
			continue
		}
		parsed, err := c.parser.Cluster(m)
		switch {
		case err != nil:
			c.check(err)
		case parsed.EDS != "":
			c.failf("cluster %q: type: EDS: not supported yet in static_resources", name)
		default:
			out.Clusters = append(out.Clusters, parsed.Config)
		}
	}
}

// listeners parses the static listeners. What they route to inline must be there.
func (c *compiler) listeners(b *bootstrapv3.Bootstrap, out *config.Resources) {
	known := map[string]bool{}
	for _, m := range b.GetStaticResources().GetClusters() {
		known[m.GetName()] = true
	}
	seen := map[string]bool{}
	for i, m := range b.GetStaticResources().GetListeners() {
		if seen[m.GetName()] {
			c.failf("static_resources.listeners[%d].name: %q: stands there twice", i, m.GetName())
			continue
		}
		seen[m.GetName()] = true
		parsed, err := c.parser.Listener(m)
		if err != nil {
			c.check(err)
			continue
		}
		for h := range parsed.HTTPs() {
			if h.Table == nil {
				c.failf("listener %q: rds: not supported yet in static_resources", m.GetName())
			}
		}
		for _, t := range parsed.Validated {
			c.check(resource.UnknownClusters("listener", m.GetName(), t, func(name string) bool { return known[name] }))
		}
		out.Listeners = append(out.Listeners, parsed.Listener)
	}
}
