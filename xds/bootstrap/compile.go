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
	"github.com/fridaymesh/friday/proxy/tlscontext"
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
	// Servers are the static clusters that the sidecar itself may call, by name: a
	// secret's sds_config names one.
	Servers map[string][]Target
	// Static are the listeners and clusters of the bootstrap itself, without the
	// control planes' own clusters and unix sockets: nothing can be routed to them.
	Static *config.Resources
	// Needs are the secrets that Static refers to.
	Needs []resource.Need
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
	var controlPlanes map[string]bool
	out.ADS, controlPlanes = c.ads(b)
	out.Servers = c.servers(b, controlPlanes)
	c.clusters(b, controlPlanes, out)
	c.listeners(b, out)
	c.needs(out)
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

// clusters parses the static clusters but those that nothing can be routed to.
func (c *compiler) clusters(b *bootstrapv3.Bootstrap, controlPlanes map[string]bool, out *Bootstrap) {
	seen := map[string]bool{}
	for i, m := range b.GetStaticResources().GetClusters() {
		name := m.GetName()
		if seen[name] {
			c.failf("static_resources.clusters[%d].name: %q: stands there twice", i, name)
			continue
		}
		seen[name] = true
		if controlPlanes[name] || local(m) {
			continue
		}
		parsed, err := c.parser.Cluster(m)
		switch {
		case err != nil:
			c.check(err)
		case parsed.EDS != "":
			c.failf("cluster %q: type: EDS: not supported yet in static_resources", name)
		default:
			out.Static.Clusters = append(out.Static.Clusters, parsed.Config)
			out.Needs = append(out.Needs, parsed.Secrets...)
		}
	}
}

// listeners parses the static listeners. What they route to inline must be there.
func (c *compiler) listeners(b *bootstrapv3.Bootstrap, out *Bootstrap) {
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
			if h.RouteName != "" {
				c.failf("listener %q: rds: not supported yet in static_resources", m.GetName())
			}
		}
		for _, use := range parsed.Extensions {
			c.failf("listener %q: filter %q: config_discovery: not supported yet in static_resources", m.GetName(), use.Name)
		}
		for _, t := range parsed.Validated {
			c.check(resource.UnknownClusters("listener", m.GetName(), t, func(name string) bool { return known[name] }))
		}
		out.Static.Listeners = append(out.Static.Listeners, parsed.Listener)
		out.Needs = append(out.Needs, parsed.Secrets...)
	}
}

// needs refuses secrets that nobody could send.
func (c *compiler) needs(out *Bootstrap) {
	for _, n := range out.Needs {
		switch server := n.Source.Cluster; {
		case n.Source.Static && out.Static.Secrets[n.Ref] == nil:
			c.failf("secret %q: not one of static_resources.secrets", n.Name)
		case server != "" && len(out.Servers[server]) == 0:
			c.failf("secret %q: sds_config: cluster %q: not one of static_resources.clusters that speak HTTP/2", n.Name, server)
		case n.Source == tlscontext.Source{} && out.ADS == nil:
			c.failf("secret %q: sds_config.ads: there is no ads_config", n.Name)
		}
	}
}
