package resource

import "google.golang.org/protobuf/reflect/protoreflect"

// tracingRules are the messages that say how requests are traced.
func tracingRules() map[protoreflect.FullName]rules {
	share := honoured("100 where absent; for requests whose callers have not decided (traceparent)")
	tags := honoured("attributes of the request's span")
	operation := honoured("the span's name, with Envoy's format strings")
	upstream := ignored("the span of an attempt is named by method and cluster")
	fallback := rules{"name": honoured(), "default_value": honoured()}
	return map[protoreflect.FullName]rules{
		"envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager.Tracing": {
			"client_sampling":     share,
			"random_sampling":     share,
			"overall_sampling":    share,
			"verbose":             ignored("spans have no annotations beyond their attributes"),
			"max_path_tag_length": honoured("256 where absent"),
			"custom_tags":         tags,
			"provider":            within(rules{"name": ignored(byType), "typed_config": opaque("OpenTelemetryConfig; with another tracer requests are not traced. Without a provider spans go where the environment says")}),
			"spawn_upstream_span": ignored("each attempt has a span of its own"),
			"operation":           operation,
			"upstream_operation":  upstream,
		},
		"envoy.config.route.v3.Tracing": {
			"client_sampling":    share,
			"random_sampling":    share,
			"overall_sampling":   share,
			"custom_tags":        tags,
			"operation":          operation,
			"upstream_operation": upstream,
		},
		"envoy.config.route.v3.Decorator": {
			"operation": honoured("the span's name"),
			"propagate": ignored("no header tells of it"),
		},
		"envoy.config.trace.v3.OpenTelemetryConfig": {
			"grpc_service": within(rules{
				"envoy_grpc":       within(rules{"cluster_name": honoured(), "authority": honoured("the cluster's name where absent")}),
				"timeout":          honoured("10s where absent"),
				"initial_metadata": honoured(),
			}),
			"http_service": within(rules{
				"http_uri":               honoured(),
				"request_headers_to_add": within(rules{"header": within(rules{"key": honoured(), "value": honoured("to the letter")}), "append_action": ignored("there are no others")}),
			}),
			"service_name":                          honoured("OTEL_SERVICE_NAME, or friday, where absent"),
			"resource_detectors":                    honoured("the environment's, which is always heeded"),
			"max_cache_size":                        ignored("OTEL_BSP_MAX_QUEUE_SIZE bounds what waits"),
			"set_telemetry_sdk_resource_attributes": ignored("always so"),
			"set_service_name_resource_attribute":   ignored("always so"),
			"set_instrumentation_scope":             ignored("always so"),
		},
		"envoy.extensions.tracers.opentelemetry.resource_detectors.v3.EnvironmentResourceDetectorConfig": {},
		"envoy.type.tracing.v3.CustomTag": {
			"tag":            honoured(),
			"value_type":     only("STRING"),
			"literal":        within(rules{"value": honoured()}),
			"environment":    within(fallback),
			"request_header": within(fallback),
			"metadata": within(rules{
				"kind":          honoured("request; of others the default_value is taken"),
				"metadata_key":  honoured(),
				"default_value": honoured(),
			}),
			"value": honoured("with Envoy's format strings"),
		},
		"envoy.type.metadata.v3.MetadataKind": {
			"request": within(rules{}),
			"route":   within(rules{}),
			"cluster": within(rules{}),
			"host":    within(rules{}),
		},
		"envoy.type.metadata.v3.MetadataKey":             {"key": honoured(), "path": honoured()},
		"envoy.type.metadata.v3.MetadataKey.PathSegment": {"key": honoured()},
	}
}
