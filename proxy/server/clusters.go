package server

import (
	"maps"
	"slices"

	"github.com/fridaymesh/friday/proxy/admin"
	"github.com/fridaymesh/friday/proxy/cluster"
)

// clusterStatus is what the admin door shows of the clusters in force.
func clusterStatus(s *Server, dynamic bool) []admin.ClusterStatus {
	snap := s.Snapshot()
	if snap == nil {
		return nil
	}
	out := make([]admin.ClusterStatus, 0, len(snap.Clusters))
	for _, name := range slices.Sorted(maps.Keys(snap.Clusters)) {
		status := snap.Clusters[name].Status()
		cs := admin.ClusterStatus{Name: name, AddedByAPI: dynamic, Limits: limits(status.Config)}
		if status.Config.Outliers != nil {
			cs.Outlier = []admin.Rate{
				{Name: "success_rate_average", Value: status.Success[0]},
				{Name: "success_rate_ejection_threshold", Value: status.Success[1]},
				{Name: "local_origin_success_rate_average", Value: status.LocalSuccess[0]},
				{Name: "local_origin_success_rate_ejection_threshold", Value: status.LocalSuccess[1]},
			}
		}
		for i := range status.Endpoints {
			cs.Endpoints = append(cs.Endpoints, endpointStatus(&status.Endpoints[i]))
		}
		out = append(out, cs)
	}
	return out
}

func limits(cfg *cluster.Config) (out []admin.Number) {
	for i, priority := range []string{"default_priority", "high_priority"} {
		l := &cfg.Limits[i]
		for _, n := range []struct {
			name  string
			value *uint32
		}{
			{"max_connections", l.MaxConnections},
			{"max_pending_requests", l.MaxPending},
			{"max_requests", l.MaxRequests},
			{"max_retries", l.MaxRetries},
		} {
			if n.value != nil {
				out = append(out, admin.Number{Name: priority + "::" + n.name, Value: uint64(*n.value)})
			}
		}
	}
	return out
}

func endpointStatus(e *cluster.EndpointStatus) admin.EndpointStatus {
	canary, _ := e.Metadata["envoy.lb"]["canary"].(bool)
	return admin.EndpointStatus{
		Address: e.Address, Hostname: e.Hostname, Healthy: e.Healthy, Flags: e.Flags, Weight: e.Weight, Priority: e.Priority,
		Region: e.Locality.Region, Zone: e.Locality.Zone, SubZone: e.Locality.SubZone, Canary: canary,
		Active: e.Active, Total: e.Total, Succeeded: e.Success, Failed: e.Errors, TimedOut: e.Timeouts, NotReached: e.NotReached,
		SuccessRate: e.SuccessRate, LocalSuccessRate: e.LocalSuccessRate,
	}
}
