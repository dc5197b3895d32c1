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

	"github.com/fridaymesh/friday/xds/control/policy"
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

// secretsName is the short name of secrets, which are no policy's.
const secretsName = "sds"

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
	case resource.SecretType:
		return secretsName
	}
	return "other"
}

func responseType(kind int) types.ResponseType {
	return [kinds]types.ResponseType{types.Cluster, types.Endpoint, types.Listener, types.Route}[kind]
}

// selected are the policies for a node, in their given order.
func selected(policies []*Compiled, n policy.Node) []*Compiled {
	var chosen []*Compiled
	for _, p := range policies {
		if p.Selects(n) {
			chosen = append(chosen, p)
		}
	}
	return chosen
}

// stage is what is served of each kind, by name.
type stage [kinds][]item

// whole is the stage at which just policies are served.
func whole(policies []*Compiled) (st stage) {
	for kind := range st {
		for _, p := range policies {
			st[kind] = append(st[kind], p.items[kind]...)
		}
		// Equal resources in equal order have equal versions.
		slices.SortFunc(st[kind], func(a, b item) int { return cmp.Compare(a.name, b.name) })
	}
	return st
}

// versions are those of the stage's kinds.
func (st stage) versions() (list [kinds]string) {
	for kind, items := range st {
		list[kind] = version(items)
	}
	return list
}

func (st stage) snapshot() *cachev3.Snapshot {
	s := &cachev3.Snapshot{}
	for kind, items := range st {
		resources := make([]types.Resource, len(items))
		for i, it := range items {
			resources[i] = it.resource
		}
		s.Resources[responseType(kind)] = cachev3.NewResources(version(items), resources)
	}
	return s
}

// version is the digest of resources of one kind; also of none, since an empty
// version would read as "nothing to tell".
func version(items []item) string {
	h := sha256.New()
	for _, it := range items {
		h.Write(fmt.Appendf(nil, "%s %s\n", it.name, it.digest))
	}
	return hex.EncodeToString(h.Sum(nil))[:digestLength]
}

// steps leads a node from the policies before to those after, one kind at a time,
// without a moment in which a listener's route names a cluster that is not
// there: first what is new upstream, then the listeners and routes, then away
// with what nobody names any more (make before break, the order of the xDS
// protocol page). The last stage holds just the policies after.
func steps(before, after []*Compiled) []stage {
	now, then := whole(before), whole(after)
	both := stage{clusters: union(then[clusters], now[clusters]), endpoints: union(then[endpoints], now[endpoints])}
	var list []stage
	for _, step := range []struct {
		kind  int
		items []item
	}{
		{clusters, both[clusters]},
		{endpoints, both[endpoints]},
		{listeners, then[listeners]},
		{routeSets, then[routeSets]},
		{clusters, then[clusters]},
		{endpoints, then[endpoints]},
	} {
		if version(now[step.kind]) == version(step.items) {
			continue
		}
		now[step.kind] = step.items
		list = append(list, now)
	}
	return list
}

// union is first and what only second has, by name.
func union(first, second []item) []item {
	all := slices.Clone(first)
	for _, it := range second {
		if !slices.ContainsFunc(first, func(other item) bool { return other.name == it.name }) {
			all = append(all, it)
		}
	}
	slices.SortFunc(all, func(a, b item) int { return cmp.Compare(a.name, b.name) })
	return all
}

func byName(a, b *Compiled) int { return cmp.Compare(a.Name(), b.Name()) }

// same says whether two lists hold the same versions for the same nodes. Whom a
// policy is for is in none of its resources, so the version does not tell.
func same(a, b []*Compiled) bool {
	return slices.EqualFunc(a, b, func(x, y *Compiled) bool {
		return x.Name() == y.Name() && x.Version == y.Version && proto.Equal(x.Selector(), y.Selector())
	})
}
