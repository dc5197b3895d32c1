package policy

import (
	"fmt"
	"maps"
	"math"
	"net/netip"
	"slices"

	"google.golang.org/protobuf/proto"

	policyv1alpha1 "github.com/fridaymesh/friday/xds/api/friday/policy/v1alpha1"
)

// Group is one group of a policy's servers.
type Group struct {
	// Name is the policy's own name for it; empty: spec.server.
	Name string
	// Path is where it stands in the policy.
	Path   string
	Server *policyv1alpha1.Server
}

// Groups are the policy's servers, by name.
func (p *Policy) Groups() []Group {
	if len(p.Spec().GetServers()) == 0 {
		return []Group{{Path: "spec.server", Server: p.Spec().GetServer()}}
	}
	var list []Group
	for _, name := range slices.Sorted(maps.Keys(p.Spec().GetServers())) {
		list = append(list, Group{Name: name, Path: "spec.servers[" + quote(name) + "]", Server: p.Spec().GetServers()[name]})
	}
	return list
}

// Cluster is the name of the cluster of a group. No part of it holds a dot, so that
// policies' clusters share a name only where one of them has a namespace and the other
// has none, which is a conflict.
func (p *Policy) Cluster(group string) string {
	if group == "" {
		return p.Name()
	}
	return p.Name() + "." + group
}

// Weights are those in force on the route of that prefix; empty: where no route
// of the policy matches.
func (p *Policy) Weights(prefix string) map[string]uint32 {
	for _, r := range p.Spec().GetRoutes() {
		if r.GetPrefix() == prefix && len(r.GetWeights()) > 0 {
			return r.GetWeights()
		}
	}
	return p.Spec().GetWeights()
}

// WithWeights is p with other weights on the route of that prefix; empty: those
// of the policy itself. False: there is no such route, or no such server.
func (p *Policy) WithWeights(prefix string, weights map[string]uint32) (*Policy, bool) {
	for name := range weights {
		if p.Spec().GetServers()[name] == nil {
			return nil, false
		}
	}
	other := *p
	other.Doc = proto.CloneOf(p.Doc)
	if prefix == "" {
		other.Doc.Spec.Weights = maps.Clone(weights)
		return &other, true
	}
	for _, r := range other.Doc.GetSpec().GetRoutes() {
		if r.GetPrefix() == prefix {
			r.Weights = maps.Clone(weights)
			return &other, true
		}
	}
	return nil, false
}

// servers holds spec.server or spec.servers against what no type can say.
func (v *validator) servers() {
	spec := v.p.Spec()
	if len(spec.GetServers()) > 0 {
		if spec.GetServer() != nil {
			v.add("spec.servers", "must not stand beside spec.server: move that into servers, under a name")
			return
		}
		if !v.p.Has("spec.weights") {
			v.add("spec.weights", "missing: say how the servers share the requests, as {%s: 100}", v.p.Groups()[0].Name)
		}
	}
	for _, g := range v.p.Groups() {
		if g.Name != "" && !dnsLabel.MatchString(g.Name) {
			v.add(g.Path, "must be a DNS label: at most 63 of a-z, 0-9 and -, neither first nor last -")
		}
		v.server(g.Path, g.Server)
	}
}

// weights holds weights against the servers that they name.
func (v *validator) weights(path string, weights map[string]uint32) {
	if !v.p.Has(path) {
		return
	}
	servers := v.p.Spec().GetServers()
	if len(servers) == 0 {
		v.add(path, "nothing to share: they go with spec.servers")
		return
	}
	var sum uint64
	for _, name := range slices.Sorted(maps.Keys(weights)) {
		sum += uint64(weights[name])
		if servers[name] == nil {
			hint := ""
			if near, ok := nearest(name, slices.Collect(maps.Keys(servers))); ok {
				hint = ", did you mean " + near + "?"
			}
			v.add(path+"["+quote(name)+"]", "is none of spec.servers%s", hint)
		}
	}
	if sum == 0 || sum > math.MaxUint32 {
		v.add(path, "%d in all: must be 1 to %d", sum, uint32(math.MaxUint32))
	}
}

func (v *validator) server(at string, server *policyv1alpha1.Server) {
	if len(server.GetEndpoints()) == 0 { // one that failed holds its place
		v.add(at+".endpoints", "missing: name at least one IP:port")
	}
	seen := map[netip.AddrPort]int{}
	for i, text := range server.GetEndpoints() {
		path := fmt.Sprintf("%s.endpoints[%d]", at, i)
		ap, err := netip.ParseAddrPort(text)
		switch {
		case err != nil:
			v.add(path, "%s: %s", quote(text), endpointFault(text))
			continue
		case ap.Port() == 0:
			v.add(path, "%s: the port must be 1 to 65535", quote(text))
			continue
		case ap.Addr().Zone() != "":
			v.add(path, "%s: must not have a zone", quote(text))
			continue
		}
		if before, twice := seen[ap]; twice {
			v.add(path, "%s: is endpoints[%d] already", quote(text), before)
		}
		seen[ap] = i
		if v.itself(ap) {
			v.add(path, "%s: is the address that the policy listens on, requests would go in a circle", quote(text))
		}
	}
	v.identities(at+".tls.identities", server.GetTls().GetIdentities())
	v.positive(at+".connect_timeout", server.GetConnectTimeout())
	v.positive(at+".idle_timeout", server.GetIdleTimeout())
}
