package resource

import "google.golang.org/protobuf/reflect/protoreflect"

func listenerRules() map[protoreflect.FullName]rules {
	return map[protoreflect.FullName]rules{
		"envoy.config.listener.v3.Listener": {
			"name":                                 honoured(),
			"address":                              honoured("an IP address; port 0 lets the system choose"),
			"filter_chains":                        honoured("exactly one, or default_filter_chain in its place"),
			"default_filter_chain":                 honoured(),
			"bind_to_port":                         only("true"),
			"use_original_dst":                     only("false"),
			"transparent":                          only("false"),
			"freebind":                             only("false"),
			"traffic_direction":                    ignored("says what the listener is for; changes nothing"),
			"enable_reuse_port":                    ignored("one socket serves all cores"),
			"reuse_port":                           ignored("one socket serves all cores"),
			"per_connection_buffer_limit_bytes":    ignored(noBuffers),
			"stat_prefix":                          ignored(noStats),
			"metadata":                             ignored(noMetadata),
			"drain_type":                           ignored("there is no health check filter that could ask for a drain"),
			"listener_filters_timeout":             ignored("listener filters are refused"),
			"continue_on_listener_filters_timeout": ignored("listener filters are refused"),
		},
		"envoy.config.listener.v3.FilterChain": {
			"filters":            honoured("exactly one, an HttpConnectionManager"),
			"filter_chain_match": honoured("empty"),
			"use_proxy_proto":    only("false"),
			"name":               ignored("there is one chain only"),
			"metadata":           ignored(noMetadata),
		},
		"envoy.config.listener.v3.FilterChainMatch": {},
		"envoy.config.listener.v3.Filter": {
			"name":         ignored(byType),
			"typed_config": honoured(),
		},
		"envoy.config.core.v3.Address": {"socket_address": honoured()},
		"envoy.config.core.v3.SocketAddress": {
			"protocol":   only("TCP"),
			"address":    honoured("an IP address"),
			"port_value": honoured(),
		},
		"envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager": hcmRules(),
		"envoy.extensions.filters.network.http_connection_manager.v3.Rds": {
			"route_config_name": honoured(),
			"config_source": within(rules{
				"ads":                   honoured(),
				"resource_api_version":  only("V3"),
				"initial_fetch_timeout": ignored("a listener opens when its routes are there, however long it takes"),
			}),
		},
		"envoy.config.core.v3.AggregatedConfigSource": {},
		"envoy.extensions.filters.network.http_connection_manager.v3.HttpFilter": {
			"name":         honoured("what typed_per_filter_config refers to"),
			"typed_config": opaque("of a type below, or a TypedStruct that names one"),
			"is_optional":  honoured("excuses an unknown filter, never a bad configuration of a known one"),
			"disabled":     honoured(),
		},
		"envoy.extensions.filters.http.router.v3.Router": {
			"dynamic_stats":                            ignored("the metrics are always kept"),
			"suppress_envoy_headers":                   ignored("no x-envoy-* headers are added anyway"),
			"suppress_grpc_request_failure_code_stats": ignored("there are no such statistics"),
		},
		"envoy.config.accesslog.v3.AccessLog": {
			"name":         ignored(byType),
			"typed_config": honoured("StdoutAccessLog, or FileAccessLog with /dev/stdout; JSON lines in Friday's own format"),
		},
		"envoy.extensions.access_loggers.file.v3.FileAccessLog":     {"path": only("/dev/stdout")},
		"envoy.extensions.access_loggers.stream.v3.StdoutAccessLog": {},
	}
}

func hcmRules() rules {
	return rules{
		"codec_type":   only("AUTO", "HTTP1", "HTTP2"),
		"rds":          honoured(),
		"route_config": honoured(),
		"http_filters": honoured("the last is envoy.filters.http.router"),
		"common_http_protocol_options": within(rules{
			"idle_timeout": honoured("1h where absent; 0s: none"),
		}),
		"upgrade_configs": within(rules{
			"upgrade_type": honoured("websocket, or another that is not HTTP; asking for one that is not listed is passed over"),
			"enabled":      honoured("true where absent"),
		}),
		"max_request_headers_kb":          honoured("16 where absent"),
		"request_headers_timeout":         honoured("10s where absent; 0s: none"),
		"access_log":                      honoured("every request is logged; without it, failures only"),
		"normalize_path":                  only("false"),
		"use_remote_address":              only("false"),
		"add_user_agent":                  only("false"),
		"generate_request_id":             only("false"),
		"skip_xff_append":                 ignored("x-forwarded-for is not touched"),
		"server_header_transformation":    only("PASS_THROUGH"),
		"request_timeout":                 only("0s"),
		"stream_idle_timeout":             only("0s"),
		"stat_prefix":                     ignored(noStats),
		"drain_timeout":                   ignored("--drain-timeout is the process's"),
		"delayed_close_timeout":           ignored("a connection is closed when its answer has been read"),
		"xff_num_trusted_hops":            ignored("no decision depends on the caller's address"),
		"internal_address_config":         ignored("no decision depends on the caller's address"),
		"flush_access_log_on_new_request": only("false"),
	}
}
