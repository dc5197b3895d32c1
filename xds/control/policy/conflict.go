package policy

import (
	"fmt"
	"net/netip"

	policyv1alpha1 "github.com/fridaymesh/friday/xds/api/friday/policy/v1alpha1"
)

// Conflict says why p cannot be in force beside other; nil where it can.
func (p *Policy) Conflict(other *Policy) *Problem {
	if p.Name() == other.Name() {
		return p.Problem("metadata.name", "%s: is the name of another policy, at %s", quote(p.Name()), other.where("metadata.name"))
	}
	for _, g := range p.Groups() {
		for _, h := range other.Groups() {
			if name := p.Cluster(g.Name); name == other.Cluster(h.Name) {
				return p.Problem("metadata.name", "%s: names the cluster %s as policy %s does, at %s", quote(p.Name()), quote(name), quote(other.Name()), other.where("metadata.name"))
			}
		}
	}
	if p.Port() != other.Port() || !sameAddress(p.Address(), other.Address()) ||
		!overlap(p.Selector(), other.Selector()) {
		return nil
	}
	path := "spec.port"
	if !p.Has(path) && p.Has("spec.address") {
		path = "spec.address"
	}
	return p.Problem(path, "%s:%d: policy %s (%s) listens there for some of the same nodes", bracket(p.Address()), p.Port(),
		quote(other.Name()), other.where("spec.port"))
}

func (p *Policy) where(path string) string { return fmt.Sprintf("%s:%d", p.File, p.Line(path)) }

// sameAddress says whether two sockets of one port could not both be bound.
func sameAddress(a, b string) bool {
	x, errX := netip.ParseAddr(a)
	y, errY := netip.ParseAddr(b)
	if errX != nil || errY != nil {
		return a == b
	}
	return x.Unmap() == y.Unmap() || x.IsUnspecified() || y.IsUnspecified()
}

// overlap says whether a node could be selected by both.
func overlap(a, b *policyv1alpha1.Selector) bool {
	may := func(x, y string) bool { return x == "" || y == "" || x == y }
	for key, x := range a.GetNodeMetadata() {
		if y, both := b.GetNodeMetadata()[key]; both && x != y {
			return false
		}
	}
	return may(a.GetNodeId(), b.GetNodeId()) && may(a.GetNodeCluster(), b.GetNodeCluster())
}

func bracket(address string) string {
	if a, err := netip.ParseAddr(address); err == nil && a.Is6() {
		return "[" + address + "]"
	}
	return address
}
