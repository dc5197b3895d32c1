package resource

import "google.golang.org/protobuf/reflect/protoreflect"

func clusterRules() map[protoreflect.FullName]rules {
	return map[protoreflect.FullName]rules{
		"envoy.config.cluster.v3.Cluster": {
			"name":                              honoured(),
			"type":                              only("STATIC", "EDS"),
			"eds_cluster_config":                honoured(),
			"load_assignment":                   honoured("for STATIC"),
			"connect_timeout":                   honoured("5s where absent"),
			"lb_policy":                         only("ROUND_ROBIN", "LEAST_REQUEST", "RANDOM"),
			"typed_extension_protocol_options":  honoured("the key envoy.extensions.upstreams.http.v3.HttpProtocolOptions"),
			"http2_protocol_options":            honoured("the older place; counts where typed_extension_protocol_options says nothing"),
			"transport_socket":                  honoured(),
			"transport_socket_matches":          honoured("by the endpoint's metadata envoy.transport_socket_match; the first that matches"),
			"filters":                           opaque("Istio's metadata_exchange is left aside: it tells peers of each other for metrics"),
			"wait_for_warm_on_init":             only("true"),
			"alt_stat_name":                     ignored(noStats),
			"metadata":                          ignored(noMetadata),
			"per_connection_buffer_limit_bytes": ignored(noBuffers),
			"ignore_health_on_host_removal":     ignored("a removed endpoint is let go of at once, whatever its health"),
		},
		"envoy.config.cluster.v3.Cluster.TransportSocketMatch": {
			"name": honoured(), "match": honoured(), "transport_socket": honoured(),
		},
		"envoy.config.cluster.v3.Cluster.EdsClusterConfig": {
			"eds_config":   honoured(),
			"service_name": honoured("the cluster's name where absent"),
		},
		"envoy.config.core.v3.ConfigSource": {
			"ads":                   honoured(),
			"resource_api_version":  only("V3"),
			"initial_fetch_timeout": honoured("15s where absent; 0s: for ever"),
		},
		"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
			"common_http_protocol_options": within(rules{
				"idle_timeout":                honoured("4s where absent: shorter than what common model servers allow; 0s: none"),
				"max_requests_per_connection": honoured("0: no limit"),
			}),
			"auto_config": within(rules{
				"http_protocol_options":  within(rules{}),
				"http2_protocol_options": honoured(),
			}),
			"upstream_http_protocol_options": within(rules{
				"auto_sni":            honoured("connections are kept apart by the name"),
				"auto_san_validation": honoured(),
			}),
			"explicit_http_config": honoured("gRPC goes upstream in HTTP/2 whatever stands here"),
			"use_downstream_protocol_config": within(rules{
				"http_protocol_options":  within(rules{}),
				"http2_protocol_options": honoured(),
			}),
		},
		"envoy.extensions.upstreams.http.v3.HttpProtocolOptions.ExplicitHttpConfig": {
			"http_protocol_options":  within(rules{}),
			"http2_protocol_options": honoured("in cleartext, with prior knowledge"),
		},
		"envoy.config.core.v3.Http2ProtocolOptions": {
			"max_concurrent_streams":         ignored("what the server allows counts; beyond it another connection is opened"),
			"initial_stream_window_size":     ignored("256 KiB"),
			"initial_connection_window_size": ignored("4 MiB"),
			"hpack_table_size":               ignored("4 KiB"),
		},
		"envoy.config.endpoint.v3.ClusterLoadAssignment": {
			"cluster_name": honoured(),
			"endpoints":    honoured("an address that is there twice counts once, as in Envoy"),
		},
		"envoy.config.endpoint.v3.LocalityLbEndpoints": {
			"lb_endpoints":          honoured(),
			"priority":              only("0"),
			"locality":              ignored("all localities are picked from alike"),
			"load_balancing_weight": ignored("counts with locality_weighted_lb_config only, which is refused"),
			"metadata":              ignored(noMetadata),
		},
		"envoy.config.endpoint.v3.LbEndpoint": {
			"endpoint":              honoured(),
			"health_status":         honoured("UNKNOWN, HEALTHY and DEGRADED are healthy"),
			"load_balancing_weight": honoured("1 where absent"),
			"metadata":              opaque("counts for transport_socket_matches"),
		},
		"envoy.config.endpoint.v3.Endpoint": {
			"address":             honoured("an IP address"),
			"hostname":            ignored("counts with auto_host_rewrite and health checks only, which are refused"),
			"health_check_config": ignored("counts with health checks only, which are refused"),
			"observability_name":  ignored("metrics and logs name the address"),
		},
	}
}
