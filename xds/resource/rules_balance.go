package resource

import "google.golang.org/protobuf/reflect/protoreflect"

func balanceRules() map[protoreflect.FullName]rules {
	slowStart := rules{
		"slow_start_window":  honoured(),
		"aggression":         honoured("1 where absent"),
		"min_weight_percent": honoured("10 where absent"),
	}
	locality := rules{
		"locality_weighted_lb_config": within(rules{}),
		"zone_aware_lb_config": within(rules{
			"routing_enabled":               ignored(noLocalCluster),
			"min_cluster_size":              ignored(noLocalCluster),
			"force_locality_direct_routing": ignored(noLocalCluster),
			"fail_traffic_on_panic":         honoured("503 in place of picking blindly"),
		}),
	}
	consistent := rules{
		"use_hostname_for_hashing": honoured("else metadata envoy.lb's hash_key, else the address"),
		"hash_balance_factor":      honoured("the order of the endpoints to go on to is Friday's own"),
	}
	weighted := within(rules{})
	return map[protoreflect.FullName]rules{
		"envoy.config.core.v3.RuntimeDouble": {
			"default_value": honoured(),
			"runtime_key":   ignored(noRuntime),
		},
		"envoy.config.cluster.v3.Cluster.CommonLbConfig": {
			"healthy_panic_threshold":     honoured("50 where absent; 0: never"),
			"locality_weighted_lb_config": within(rules{}),
			"zone_aware_lb_config": within(rules{
				"routing_enabled":       ignored(noLocalCluster),
				"min_cluster_size":      ignored(noLocalCluster),
				"fail_traffic_on_panic": honoured("503 in place of picking blindly"),
			}),
			"update_merge_window":                  ignored("a change of one endpoint costs little and applies at once"),
			"ignore_new_hosts_until_first_hc":      honoured(),
			"close_connections_on_host_set_change": honoured(),
			"consistent_hashing_lb_config":         within(consistent),
		},
		"envoy.config.cluster.v3.Cluster.RoundRobinLbConfig": {"slow_start_config": honoured()},
		"envoy.config.cluster.v3.Cluster.LeastRequestLbConfig": {
			"choice_count":        honoured("2 where absent"),
			"active_request_bias": honoured("1 where absent; counts with unequal weights"),
			"slow_start_config":   honoured(),
		},
		"envoy.config.cluster.v3.Cluster.SlowStartConfig": slowStart,
		"envoy.config.cluster.v3.Cluster.RingHashLbConfig": {
			"minimum_ring_size": honoured("1024 where absent"),
			"maximum_ring_size": honoured("8388608 where absent"),
			"hash_function":     only("XX_HASH", "MURMUR_HASH_2"),
		},
		"envoy.config.cluster.v3.Cluster.MaglevLbConfig": {"table_size": honoured("a prime; 65537 where absent")},
		"envoy.config.cluster.v3.Cluster.OriginalDstLbConfig": {
			"use_http_header":        honoured("the caller then says where its request goes, as in Envoy"),
			"http_header_name":       honoured("x-envoy-original-dst-host where absent"),
			"upstream_port_override": honoured(),
		},
		"envoy.config.cluster.v3.LoadBalancingPolicy":                                  {"policies": opaque("those of an unknown type are passed over, as in Envoy")},
		"envoy.config.cluster.v3.LoadBalancingPolicy.Policy":                           {"typed_extension_config": byItsType()},
		"envoy.extensions.load_balancing_policies.common.v3.SlowStartConfig":           slowStart,
		"envoy.extensions.load_balancing_policies.common.v3.LocalityLbConfig":          locality,
		"envoy.extensions.load_balancing_policies.common.v3.ConsistentHashingLbConfig": consistent,
		"envoy.extensions.load_balancing_policies.round_robin.v3.RoundRobin": {
			"slow_start_config":  honoured(),
			"locality_lb_config": honoured(),
		},
		"envoy.extensions.load_balancing_policies.least_request.v3.LeastRequest": {
			"choice_count":        honoured("2 where absent"),
			"active_request_bias": honoured("1 where absent; counts with unequal weights"),
			"slow_start_config":   honoured(),
			"locality_lb_config":  honoured(),
			"enable_full_scan":    honoured("the older place"),
			"selection_method":    honoured(),
		},
		"envoy.extensions.load_balancing_policies.random.v3.Random": {"locality_lb_config": honoured()},
		"envoy.extensions.load_balancing_policies.ring_hash.v3.RingHash": {
			"hash_function":                only("DEFAULT_HASH", "XX_HASH", "MURMUR_HASH_2"),
			"minimum_ring_size":            honoured("1024 where absent"),
			"maximum_ring_size":            honoured("8388608 where absent"),
			"use_hostname_for_hashing":     honoured("the older place"),
			"hash_balance_factor":          honoured("the older place"),
			"consistent_hashing_lb_config": honoured(),
			"locality_weighted_lb_config":  weighted,
		},
		"envoy.extensions.load_balancing_policies.maglev.v3.Maglev": {
			"table_size":                   honoured("a prime; 65537 where absent"),
			"consistent_hashing_lb_config": honoured(),
			"locality_weighted_lb_config":  weighted,
		},
		"envoy.extensions.load_balancing_policies.wrr_locality.v3.WrrLocality": {
			"endpoint_picking_policy": honoured(),
		},
		"envoy.extensions.load_balancing_policies.cluster_provided.v3.ClusterProvided": {},
	}
}
