package resource

import (
	"maps"

	"google.golang.org/protobuf/reflect/protoreflect"
)

func listenerRules() map[protoreflect.FullName]rules {
	return map[protoreflect.FullName]rules{
		"envoy.config.listener.v3.Listener": {
			"name":                                 honoured(),
			"address":                              honoured("an IP address; port 0 lets the system choose"),
			"additional_addresses":                 honoured(),
			"filter_chains":                        honoured("found in Envoy's order, without going back: port, address, server name, transport, protocol, source"),
			"default_filter_chain":                 honoured("its match does not count, as in Envoy"),
			"listener_filters":                     honoured(),
			"listener_filters_timeout":             honoured("15s where absent; 0s: none"),
			"continue_on_listener_filters_timeout": honoured(),
			"bind_to_port":                         honoured("a listener that is not bound gets what use_original_dst hands over"),
			"use_original_dst":                     honoured("asks for the original destination by itself; where no listener has it, the connection stays"),
			"transparent":                          only("false"),
			"freebind":                             only("false"),
			"traffic_direction":                    ignored("says what the listener is for; changes nothing"),
			"enable_reuse_port":                    ignored("one socket serves all cores"),
			"reuse_port":                           ignored("one socket serves all cores"),
			"per_connection_buffer_limit_bytes":    ignored(noBuffers),
			"stat_prefix":                          ignored(noStats),
			"metadata":                             ignored(noMetadata),
			"drain_type":                           ignored("there is no health check filter that could ask for a drain"),
			"access_log":                           ignored("it would tell of connections that no chain matches; those are counted"),
			"max_connections_to_accept_per_socket_event": ignored("each connection is accepted by itself"),
			"connection_balance_config":                  ignored("one socket serves all cores"),
			"tcp_backlog_size":                           ignored("the system's own limit counts"),
		},
		"envoy.config.listener.v3.FilterChain": {
			"filters":                          honoured("the last is an HttpConnectionManager or a TcpProxy; before it envoy.filters.network.rbac, and what is left aside (below)"),
			"filter_chain_match":               honoured(),
			"transport_socket":                 honoured(),
			"transport_socket_connect_timeout": honoured("bounds TLS's handshake; 15s where absent"),
			"use_proxy_proto":                  only("false"),
			"name":                             honoured("for logs"),
			"metadata":                         ignored(noMetadata),
		},
		"envoy.config.listener.v3.FilterChainMatch": {
			"destination_port":            honoured(),
			"prefix_ranges":               honoured(),
			"server_names":                honoured("needs the tls_inspector, as in Envoy"),
			"transport_protocol":          only("tls", "raw_buffer"),
			"application_protocols":       honoured("needs the tls_inspector or the http_inspector, as in Envoy"),
			"direct_source_prefix_ranges": honoured(),
			"source_type":                 honoured(),
			"source_prefix_ranges":        honoured(),
			"source_ports":                honoured(),
		},
		"envoy.config.core.v3.CidrRange": {"address_prefix": honoured(), "prefix_len": honoured()},
		"envoy.config.listener.v3.Filter": {
			"name":         ignored(byType),
			"typed_config": opaque("of a type below"),
		},
		"envoy.config.listener.v3.AdditionalAddress": {"address": honoured()},
		"envoy.config.listener.v3.ListenerFilter": {
			"name":            ignored(byType),
			"typed_config":    honoured("of a type below"),
			"filter_disabled": honoured("for the tls_inspector and the http_inspector"),
		},
		"envoy.config.listener.v3.ListenerFilterChainMatchPredicate": {
			"or_match": honoured(), "and_match": honoured(), "not_match": honoured(),
			"any_match": honoured(), "destination_port_range": honoured(),
		},
		"envoy.config.listener.v3.ListenerFilterChainMatchPredicate.MatchSet": {"rules": honoured()},
		"envoy.type.v3.Int32Range": {"start": honoured(), "end": honoured("not in the range")},
		"envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector": {
			"initial_read_buffer_size":                        ignored("what has come is looked at"),
			"max_client_hello_size":                           ignored("16 KiB, as much as one record holds"),
			"enable_ja3_fingerprinting":                       only("false"),
			"enable_ja4_fingerprinting":                       only("false"),
			"close_connection_on_client_hello_parsing_errors": only("false"),
		},
		"envoy.extensions.filters.listener.http_inspector.v3.HttpInspector": {},
		"envoy.extensions.filters.listener.original_dst.v3.OriginalDst":     {},
		"envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol": {
			"allow_requests_without_proxy_protocol": honoured(),
			"disallowed_versions":                   honoured(),
			"stat_prefix":                           ignored(noStats),
		},
		"envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy": {
			"cluster":                            honoured(),
			"weighted_clusters":                  honoured(),
			"idle_timeout":                       honoured("1h where absent; 0s: none"),
			"max_connect_attempts":               honoured("1 where absent; each picks an endpoint anew"),
			"max_downstream_connection_duration": honoured(),
			"access_log":                         honoured("every connection is logged; without it, failures only"),
			"stat_prefix":                        ignored(noStats),
		},
		"envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy.WeightedCluster": {"clusters": honoured()},
		"envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy.WeightedCluster.ClusterWeight": {
			"name": honoured(), "weight": honoured(),
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
				"initial_fetch_timeout": honoured("15s where absent; then a new listener opens without routes; 0s: it waits for ever"),
			}),
		},
		"envoy.config.core.v3.AggregatedConfigSource": {},
		"envoy.extensions.filters.network.http_connection_manager.v3.HttpFilter": {
			"name":             honoured("what typed_per_filter_config refers to"),
			"typed_config":     opaque("of a type below, or a TypedStruct that names one"),
			"config_discovery": honoured("asked for by the filter's name, over ADS; not for the router"),
			"is_optional":      honoured("excuses an unknown filter, never a bad configuration of a known one"),
			"disabled":         honoured(),
		},
		"envoy.config.core.v3.ExtensionConfigSource": {
			"config_source":                        honoured("ADS; until it has come, or initial_fetch_timeout has passed, the listener waits"),
			"default_config":                       opaque("serves where nothing has come in time, or what came was refused; without it such requests are answered 500"),
			"apply_default_config_without_warming": honoured(),
			"type_urls":                            honoured(),
		},
		"envoy.config.core.v3.TypedExtensionConfig": {
			"name":         honoured("of the filter that it is for"),
			"typed_config": opaque("as a filter's"),
		},
		"envoy.extensions.filters.http.router.v3.Router": {
			"dynamic_stats":                            ignored("the metrics are always kept"),
			"suppress_envoy_headers":                   ignored("no x-envoy-* headers are added anyway"),
			"suppress_grpc_request_failure_code_stats": ignored("there are no such statistics"),
		},
	}
}

func hcmRules() rules {
	all := edgeRules()
	maps.Copy(all, rules{
		"codec_type":   only("AUTO", "HTTP1", "HTTP2"),
		"rds":          honoured(),
		"route_config": honoured(),
		"http_filters": honoured("the last is envoy.filters.http.router"),
		"common_http_protocol_options": within(rules{
			"idle_timeout":                    honoured("1h where absent; 0s: none"),
			"max_headers_count":               honoured("100 where absent; trailers are counted with them"),
			"max_connection_duration":         honoured("none where absent; the connection ends after its next answer"),
			"max_requests_per_connection":     honoured("0: no limit"),
			"headers_with_underscores_action": honoured("ALLOW where absent"),
		}),
		"http2_protocol_options": within(rules{
			"allow_connect":                  honoured("upgrade_configs count over HTTP/2, too (RFC 8441)"),
			"max_concurrent_streams":         ignored("1000"),
			"initial_stream_window_size":     ignored("256 KiB"),
			"initial_connection_window_size": ignored("4 MiB"),
			"hpack_table_size":               ignored("4 KiB"),
		}),
		"upgrade_configs": within(rules{
			"upgrade_type": honoured("websocket, or another that is not HTTP; asking for one that is not listed is passed over"),
			"enabled":      honoured("true where absent"),
		}),
		"max_request_headers_kb":          honoured("16 where absent"),
		"request_headers_timeout":         honoured("10s where absent; 0s: none"),
		"access_log":                      honoured("without it, failures only, in Friday's own format"),
		"add_user_agent":                  only("false"),
		"request_timeout":                 honoured("none where absent"),
		"stream_idle_timeout":             honoured("5m where absent; 0s: none, but a request's body may be silent for 5m at most"),
		"drain_timeout":                   ignored("--drain-delay and --drain-timeout are the process's"),
		"delayed_close_timeout":           honoured("1s where absent; for callers that are answered while they send; 0s: closed at once"),
		"stat_prefix":                     ignored(noStats),
		"internal_address_config":         ignored("the private ranges and loopback are internal"),
		"flush_access_log_on_new_request": only("false"),
	})
	return all
}
