package resource

import "google.golang.org/protobuf/reflect/protoreflect"

// edgeRules are the fields of an HttpConnectionManager that say what is done to every
// request and answer.
func edgeRules() rules {
	return rules{
		"server_name":                       honoured("without it the server's own header passes, where Envoy says envoy"),
		"server_header_transformation":      honoured("with a server_name"),
		"normalize_path":                    honoured(),
		"merge_slashes":                     honoured(),
		"path_with_escaped_slashes_action":  honoured(),
		"strip_any_host_port":               honoured(),
		"strip_matching_host_port":          honoured(),
		"strip_trailing_host_dot":           honoured(),
		"use_remote_address":                honoured("x-envoy-* headers are neither read nor written"),
		"xff_num_trusted_hops":              honoured(),
		"skip_xff_append":                   honoured(),
		"via":                               honoured(),
		"generate_request_id":               honoured("false where absent: nothing is added unasked"),
		"preserve_external_request_id":      honoured(),
		"always_set_request_id_in_response": honoured(),
		"request_id_extension":              honoured("UUIDs"),
		"forward_client_cert_details":       honoured("SANITIZE where absent: x-forwarded-client-cert is dropped"),
		"set_current_client_cert_details":   within(rules{"subject": honoured(), "cert": honoured(), "chain": honoured(), "dns": honoured(), "uri": honoured()}),
		"local_reply_config":                honoured(),
		"proxy_100_continue":                ignored("100 (Continue) is answered here"),
		"tracing":                           honoured("where absent, as the environment says"),
		"access_log_flush_interval":         ignored("a line waits for others for one second"),
	}
}

func logRules() map[protoreflect.FullName]rules {
	filters := within(rules{"filters": honoured()})
	compared := within(rules{"comparison": honoured()})
	lines := honoured("without one, JSON lines in Friday's own format")
	return map[protoreflect.FullName]rules{
		"envoy.extensions.request_id.uuid.v3.UuidRequestIdConfig": {
			"pack_trace_reason":                 ignored("a request id tells nothing of traces; traceparent does"),
			"use_request_id_for_trace_sampling": ignored("a request id tells nothing of traces; traceparent does"),
		},
		"envoy.extensions.filters.network.http_connection_manager.v3.RequestIDExtension": {"typed_config": honoured()},
		"envoy.extensions.filters.network.http_connection_manager.v3.LocalReplyConfig": {
			"mappers":     honoured(),
			"body_format": honoured(),
		},
		"envoy.extensions.filters.network.http_connection_manager.v3.ResponseMapper": {
			"filter":               honoured(),
			"status_code":          honoured(),
			"body":                 within(rules{"inline_string": honoured(), "inline_bytes": honoured()}),
			"body_format_override": honoured(),
			"headers_to_add":       honoured(),
		},
		"envoy.config.accesslog.v3.AccessLog": {
			"name":         ignored(byType),
			"filter":       honoured("with a log_format"),
			"typed_config": honoured("FileAccessLog, StdoutAccessLog or StderrAccessLog"),
		},
		"envoy.config.accesslog.v3.AccessLogFilter": {
			"status_code_filter":      compared,
			"duration_filter":         compared,
			"not_health_check_filter": honoured("known by the health_check filter"),
			"runtime_filter":          within(rules{"percent_sampled": honoured(), "runtime_key": ignored("there is no runtime"), "use_independent_randomness": ignored("always so")}),
			"and_filter":              filters,
			"or_filter":               filters,
			"header_filter":           within(rules{"header": honoured()}),
			"response_flag_filter":    within(rules{"flags": honoured()}),
		},
		"envoy.config.accesslog.v3.ComparisonFilter": {"op": honoured(), "value": honoured()},
		"envoy.config.core.v3.RuntimeUInt32":         {"default_value": honoured(), "runtime_key": ignored("there is no runtime")},
		"envoy.extensions.access_loggers.file.v3.FileAccessLog": {
			"path":              honoured("opened for appending"),
			"log_format":        lines,
			"format":            honoured(),
			"json_format":       opaque("strings are format strings"),
			"typed_json_format": opaque("strings are format strings"),
		},
		"envoy.extensions.access_loggers.stream.v3.StdoutAccessLog": {"log_format": lines},
		"envoy.extensions.access_loggers.stream.v3.StderrAccessLog": {"log_format": honoured()},
	}
}
