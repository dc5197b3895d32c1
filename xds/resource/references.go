package resource

import (
	"iter"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/fridaymesh/friday/proxy/config"
)

// Clusters are the names of the clusters that a table routes to, as often as it
// does, each with the path of the field that says so.
func Clusters(t *config.RouteTable) iter.Seq2[string, string] {
	return func(yield func(name, path string) bool) {
		for i, vh := range t.VirtualHosts {
			for j, r := range vh.Routes {
				for k, c := range r.Clusters {
					if c.Name != "" && !yield(c.Name, clusterPath(i, j, k, len(r.Clusters))) {
						return
					}
				}
				for k, m := range r.Forward.Mirrors {
					path := index("virtual_hosts", i) + "." + index("routes", j) + ".route." + index("request_mirror_policies", k) + ".cluster"
					if m.Cluster != "" && !yield(m.Cluster, path) {
						return
					}
				}
			}
		}
	}
}

// clusterNames are the names of the clusters that a table routes to, each once.
func clusterNames(t *config.RouteTable) []string {
	seen := map[string]bool{}
	var names []string
	for _, vh := range t.VirtualHosts {
		for _, r := range vh.Routes {
			for i := range r.Clusters {
				if name := r.Clusters[i].Name; !seen[name] {
					seen[name] = true
					names = append(names, name)
				}
			}
		}
	}
	return names
}

func clusterPath(host, route, cluster, of int) string {
	path := index("virtual_hosts", host) + "." + index("routes", route) + ".route."
	if of == 1 {
		return path + "cluster"
	}
	return path + "weighted_clusters." + index("clusters", cluster) + ".name"
}

// UnknownClusters is the error of a table that must name known clusters only
// (validate_clusters) and does not; kind and name say whose table it is.
func UnknownClusters(kind, name string, t *config.RouteTable, known func(cluster string) bool) error {
	p := newProblems(kind, name)
	for cluster, path := range Clusters(t) {
		if !known(cluster) {
			p.add(path, quote(cluster), "unknown cluster, and validate_clusters is set (the default for inline routes)")
		}
	}
	return p.err()
}

// Name is the name of a resource of a known type, also where it cannot be parsed
// otherwise; empty where it cannot be read.
func Name(resource *anypb.Any) string {
	resource, err := unwrap(resource)
	if err != nil {
		return ""
	}
	switch resource.GetTypeUrl() {
	case ListenerType, RouteType, ClusterType, EndpointType, SecretType, ExtensionType:
	default:
		return ""
	}
	// In all of them the name is field 1, a string; it is called name, in a
	// ClusterLoadAssignment cluster_name.
	name := ""
	for b := resource.GetValue(); len(b) > 0; {
		num, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return ""
		}
		b = b[n:]
		if num == 1 && kind == protowire.BytesType {
			v, n := protowire.ConsumeString(b)
			if n < 0 {
				return ""
			}
			name, b = v, b[n:] // of several the last counts, as in any decoder
			continue
		}
		if n = protowire.ConsumeFieldValue(num, kind, b); n < 0 {
			return ""
		}
		b = b[n:]
	}
	return name
}
