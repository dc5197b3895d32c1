package resource

import "google.golang.org/protobuf/reflect/protoreflect"

func endpointRules() map[protoreflect.FullName]rules {
	return map[protoreflect.FullName]rules{
		"envoy.config.endpoint.v3.ClusterLoadAssignment": {
			"cluster_name": honoured(),
			"endpoints":    honoured("an address that is there twice counts once, as in Envoy"),
			"policy":       honoured(),
		},
		"envoy.config.endpoint.v3.ClusterLoadAssignment.Policy": {
			"drop_overloads":           honoured("each is drawn by itself"),
			"overprovisioning_factor":  honoured("140 where absent"),
			"weighted_priority_health": honoured(),
			"endpoint_stale_after":     ignored("endpoints stay until the control plane takes them away"),
		},
		"envoy.config.endpoint.v3.ClusterLoadAssignment.Policy.DropOverload": {
			"category":        honoured("the metrics' label"),
			"drop_percentage": honoured(),
		},
		"envoy.type.v3.FractionalPercent": {
			"numerator":   honoured(),
			"denominator": honoured(),
		},
		"envoy.config.endpoint.v3.LocalityLbEndpoints": {
			"lb_endpoints":          honoured(),
			"priority":              honoured(),
			"locality":              honoured("counts with locality_weighted_lb_config"),
			"load_balancing_weight": honoured("counts with locality_weighted_lb_config, and a locality without one gets nothing then, as in Envoy"),
			"metadata":              ignored(noMetadata),
			"proximity":             ignored(noLocalCluster),
		},
		"envoy.config.core.v3.Locality": {"region": honoured(), "zone": honoured(), "sub_zone": honoured()},
		"envoy.config.endpoint.v3.LbEndpoint": {
			"endpoint":              honoured(),
			"health_status":         honoured("UNHEALTHY, DRAINING and TIMEOUT are not picked, DEGRADED last"),
			"load_balancing_weight": honoured("1 where absent"),
			"metadata":              opaque("envoy.lb's hash_key and envoy.transport_socket_match count; the rest is for others to read"),
		},
		"envoy.config.endpoint.v3.Endpoint": {
			"address":             honoured("an IP address, with DNS a name, too"),
			"hostname":            honoured("what health checks call it by, and use_hostname_for_hashing"),
			"health_check_config": honoured(),
			"observability_name":  ignored("metrics and logs name the address"),
		},
		"envoy.config.endpoint.v3.Endpoint.HealthCheckConfig": {
			"port_value":                  honoured(),
			"hostname":                    honoured(),
			"address":                     honoured("an IP address"),
			"disable_active_health_check": honoured(),
		},
	}
}
