package resource

import "google.golang.org/protobuf/reflect/protoreflect"

// Reasons that stand more than once in the rules of clusters.
const (
	noLocalCluster = "needs a local cluster, which there is none of; without one Envoy does not route by zone either"
	noRuntime      = "there is no runtime to look it up in"
)

func clusterRules() map[protoreflect.FullName]rules {
	return join(clusterOnlyRules(), namesRules(), balanceRules(), healthRules(), endpointRules())
}

func clusterOnlyRules() map[protoreflect.FullName]rules {
	return map[protoreflect.FullName]rules{
		"envoy.config.cluster.v3.Cluster": {
			"name":                                         honoured(),
			"type":                                         only("STATIC", "STRICT_DNS", "LOGICAL_DNS", "EDS", "ORIGINAL_DST"),
			"cluster_type":                                 honoured("a DnsCluster"),
			"eds_cluster_config":                           honoured(),
			"load_assignment":                              honoured("for STATIC, STRICT_DNS and LOGICAL_DNS"),
			"connect_timeout":                              honoured("5s where absent"),
			"lb_policy":                                    only("ROUND_ROBIN", "LEAST_REQUEST", "RANDOM", "RING_HASH", "MAGLEV", "CLUSTER_PROVIDED", "LOAD_BALANCING_POLICY_CONFIG"),
			"load_balancing_policy":                        honoured("the first policy of a type below counts, as in Envoy; it wins over lb_policy and common_lb_config"),
			"common_lb_config":                             honoured(),
			"round_robin_lb_config":                        honoured(),
			"least_request_lb_config":                      honoured(),
			"ring_hash_lb_config":                          honoured(),
			"maglev_lb_config":                             honoured(),
			"original_dst_lb_config":                       honoured(),
			"typed_extension_protocol_options":             honoured("the key envoy.extensions.upstreams.http.v3.HttpProtocolOptions"),
			"http2_protocol_options":                       honoured("the older place; counts where typed_extension_protocol_options says nothing"),
			"common_http_protocol_options":                 within(commonHTTP()),
			"max_requests_per_connection":                  honoured("the older place"),
			"protocol_selection":                           honoured("the older place"),
			"wait_for_warm_on_init":                        only("true"),
			"circuit_breakers":                             honoured("without it there are no limits, where Envoy has 1024 and 3 retries"),
			"outlier_detection":                            honoured(),
			"health_checks":                                honoured("one at most, as in Envoy"),
			"ignore_health_on_host_removal":                honoured(),
			"close_connections_on_host_health_failure":     only("false"),
			"upstream_bind_config":                         honoured(),
			"cleanup_interval":                             honoured("for ORIGINAL_DST; 5s where absent"),
			"preconnect_policy":                            honoured(),
			"filters":                                      opaque("Istio's metadata_exchange is left aside: it tells peers of each other for metrics"),
			"upstream_connection_options":                  within(rules{"tcp_keepalive": ignored("the system's keep-alive is always on")}),
			"dns_refresh_rate":                             honoured("5s where absent"),
			"dns_jitter":                                   honoured(),
			"dns_failure_refresh_rate":                     honoured(),
			"respect_dns_ttl":                              ignored("the refresh rate counts: the resolver does not tell the time to live"),
			"dns_lookup_family":                            honoured(),
			"dns_resolvers":                                honoured("the older place"),
			"dns_resolution_config":                        honoured("the older place"),
			"use_tcp_for_dns_lookups":                      only("false"),
			"typed_dns_resolver_config":                    byItsType(),
			"connection_pool_per_downstream_connection":    only("false"),
			"alt_stat_name":                                ignored(noStats),
			"track_timeout_budgets":                        ignored(noStats),
			"track_cluster_stats":                          ignored(noStats),
			"metadata":                                     ignored(noMetadata),
			"per_connection_buffer_limit_bytes":            ignored(noBuffers),
			"per_connection_buffer_high_watermark_timeout": ignored(noBuffers),
			"transport_socket":                             honoured(),
			"transport_socket_matches":                     honoured("by the endpoint's metadata envoy.transport_socket_match; the first that matches"),
		},
		"envoy.config.cluster.v3.Cluster.TransportSocketMatch": {
			"name": honoured(), "match": honoured(), "transport_socket": honoured(),
		},
		"envoy.config.cluster.v3.Cluster.EdsClusterConfig": {
			"eds_config":   honoured(),
			"service_name": honoured("the cluster's name where absent"),
		},
		"envoy.config.cluster.v3.Cluster.CustomClusterType": {
			"name":         ignored(byType),
			"typed_config": honoured(),
		},
		"envoy.config.cluster.v3.Cluster.PreconnectPolicy": {
			"per_upstream_preconnect_ratio": honoured("for HTTP/1.1"),
			"predictive_preconnect_ratio":   ignored("an endpoint's own requests are what it is warmed for"),
		},
		"envoy.config.core.v3.BindConfig": {
			"source_address": within(rules{
				"address":    honoured("an IP address"),
				"port_value": honoured(),
				"protocol":   only("TCP"),
			}),
			"freebind": only("false"),
		},
		"envoy.config.core.v3.ConfigSource": {
			"ads":                   honoured(),
			"resource_api_version":  only("V3"),
			"initial_fetch_timeout": honoured("15s where absent; 0s: for ever"),
		},
		"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
			"common_http_protocol_options": within(commonHTTP()),
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
			"allow_connect":                  ignored("an upgrade goes over HTTP/2 where the server's settings allow it"),
			"connection_keepalive":           honoured(),
		},
		"envoy.config.core.v3.KeepaliveSettings": {
			"interval":                 honoured("counts from the last that was heard; none where absent"),
			"timeout":                  honoured(),
			"interval_jitter":          ignored("a ping goes out only when a connection has been silent, so pings do not meet"),
			"connection_idle_interval": ignored("whether a connection lives is seen when a request needs it: one that was not processed is sent again"),
		},
		"envoy.config.cluster.v3.CircuitBreakers": {
			"thresholds":          honoured("of each priority the first counts, as in Envoy; max_connections and max_pending_requests of DEFAULT count for both"),
			"per_host_thresholds": within(rules{}),
		},
		"envoy.config.cluster.v3.CircuitBreakers.Thresholds": {
			"priority":             honoured(),
			"max_connections":      honoured("1024 where absent"),
			"max_pending_requests": honoured("1024 where absent"),
			"max_requests":         honoured("1024 where absent"),
			"max_retries":          honoured("3 where absent; bounds those of a retry_policy"),
			"retry_budget":         honoured("takes the place of max_retries"),
			"track_remaining":      ignored("the limits and what is used of them stand in /clusters"),
			"max_connection_pools": ignored("an endpoint has one pool"),
		},
		"envoy.config.cluster.v3.CircuitBreakers.Thresholds.RetryBudget": {
			"budget_percent":        honoured("20 where absent"),
			"min_retry_concurrency": honoured("3 where absent"),
		},
		"envoy.type.v3.Percent": {"value": honoured()},
	}
}

func commonHTTP() rules {
	return rules{
		"idle_timeout":                honoured("4s where absent: shorter than what common model servers allow; 0s: none"),
		"max_requests_per_connection": honoured("0: no limit"),
		"max_connection_duration":     honoured("0s: no limit"),
		"max_headers_count":           ignored("a head's size is bounded"),
	}
}
