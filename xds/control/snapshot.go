package control

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"

	"github.com/envoyproxy/go-control-plane/pkg/cache/types"
	cachev3 "github.com/envoyproxy/go-control-plane/pkg/cache/v3"
	"google.golang.org/protobuf/proto"

	"github.com/fridaymesh/friday/xds/resource"
)

// The resource types that a policy becomes, in the order in which they are
// pushed.
const (
	clusters = iota
	endpoints
	listeners
	routeSets
	kinds
)

// typeNames are the short names that metrics and views use.
func typeNames() [kinds]string { return [kinds]string{"cds", "eds", "lds", "rds"} }

// shortType is the short name of a type URL; "other" of those that are not
// served.
func shortType(url string) string {
	switch url {
	case resource.ClusterType:
		return typeNames()[clusters]
	case resource.EndpointType:
		return typeNames()[endpoints]
	case resource.ListenerType:
		return typeNames()[listeners]
	case resource.RouteType:
		return typeNames()[routeSets]
	}
	return "other"
}

func (c *Compiled) resource(kind int) types.Resource {
	switch kind {
	case clusters:
		return c.cluster
	case endpoints:
		return c.endpoints
	case listeners:
		return c.listener
	default:
		return c.routes
	}
}

func responseType(kind int) types.ResponseType {
	return [kinds]types.ResponseType{types.Cluster, types.Endpoint, types.Listener, types.Route}[kind]
}

// selected are the policies for a node, in their given order.
func selected(policies []*Compiled, nodeID, nodeCluster string) []*Compiled {
	var chosen []*Compiled
	for _, p := range policies {
		if p.Selects(nodeID, nodeCluster) {
			chosen = append(chosen, p)
		}
	}
	return chosen
}

// stage says of each kind which policies' resources are served.
type stage [kinds][]*Compiled

func (st stage) snapshot() *cachev3.Snapshot {
	s := &cachev3.Snapshot{}
	for kind, policies := range st {
		items := make([]types.Resource, len(policies))
		for i, p := range policies {
			items[i] = p.resource(kind)
		}
		s.Resources[responseType(kind)] = cachev3.NewResources(version(kind, policies), items)
	}
	return s
}

// version is the digest of the resources of one kind; also of none, since an
// empty version would read as "nothing to tell".
func version(kind int, policies []*Compiled) string {
	h := sha256.New()
	for _, p := range policies {
		h.Write(fmt.Appendf(nil, "%s %s\n", p.Name(), p.digests[kind]))
	}
	return hex.EncodeToString(h.Sum(nil))[:digestLength]
}

// steps leads a node from the policies before to those after, one kind at a time,
// without a moment in which a listener's route names a cluster that is not
// there: first what is new upstream, then the listeners and routes, then away
// with what nobody names any more (make before break, the order of the xDS
// protocol page). The last snapshot holds just the policies after.
func steps(before, after []*Compiled) []*cachev3.Snapshot {
	both := slices.Clone(after)
	for _, old := range before {
		if !slices.ContainsFunc(after, func(p *Compiled) bool { return p.Name() == old.Name() }) {
			both = append(both, old)
		}
	}
	slices.SortFunc(both, byName) // as before and after are, so that equal lists have equal versions
	now := stage{before, before, before, before}
	var list []*cachev3.Snapshot
	for _, step := range []struct {
		kind     int
		policies []*Compiled
	}{
		{clusters, both},
		{endpoints, both},
		{listeners, after},
		{routeSets, after},
		{clusters, after},
		{endpoints, after},
	} {
		if version(step.kind, now[step.kind]) == version(step.kind, step.policies) {
			continue
		}
		now[step.kind] = step.policies
		list = append(list, now.snapshot())
	}
	return list
}

func byName(a, b *Compiled) int { return cmp.Compare(a.Name(), b.Name()) }

// same says whether two lists hold the same versions for the same nodes. Whom a
// policy is for is in none of its resources, so the version does not tell.
func same(a, b []*Compiled) bool {
	return slices.EqualFunc(a, b, func(x, y *Compiled) bool {
		return x.Name() == y.Name() && x.Version == y.Version && proto.Equal(x.Spec().GetSelector(), y.Spec().GetSelector())
	})
}
