package admin

import (
	"net/http"
	"slices"

	"github.com/fridaymesh/friday/proxy/admin/dashboard"
)

// shown is what the page for people is made from.
func (d *door) shown() dashboard.Options {
	o := dashboard.Options{
		State: d.state, Clusters: d.shownClusters, Refusals: d.o.Refusals, Models: d.o.Models, Registry: d.o.Registry,
		Version: d.o.Info.Version, Node: d.o.Info.NodeID, Service: d.o.Info.NodeCluster, Started: d.o.Info.Started,
	}
	for _, e := range d.entries {
		if slices.Contains(e.methods, http.MethodGet) && e.Path != "/" {
			o.Doors = append(o.Doors, dashboard.Door{Path: e.Path, Help: e.Help})
		}
	}
	return o
}

func (d *door) shownClusters() []dashboard.Cluster {
	all := d.o.Clusters()
	out := make([]dashboard.Cluster, len(all))
	for i := range all {
		out[i].Name = all[i].Name
		for k := range all[i].Endpoints {
			e := &all[i].Endpoints[k]
			out[i].Endpoints = append(out[i].Endpoints, dashboard.Endpoint{
				Address: e.Address, Healthy: e.Healthy, Flags: e.Flags, Active: e.Active, Total: e.Total, Failed: e.Failed,
			})
		}
	}
	return out
}
