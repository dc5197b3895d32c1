package resource

import "google.golang.org/protobuf/reflect/protoreflect"

// filterRules are the configurations of Envoy's own HTTP filters.
func filterRules() map[protoreflect.FullName]rules {
	cidr := within(rules{"address_prefix": honoured(), "prefix_len": honoured()})
	path := within(rules{"path": honoured("without the query")})
	percent := honoured("none where absent")
	return map[protoreflect.FullName]rules{
		"envoy.extensions.filters.http.rbac.v3.RBAC": {
			"rules":                    honoured("without any, every request passes"),
			"shadow_rules":             honoured("friday_rbac_decisions_total counts what they would have done"),
			"rules_stat_prefix":        ignored(noStats),
			"shadow_rules_stat_prefix": ignored(noStats),
			"track_per_rule_stats":     ignored(noStats),
		},
		"envoy.extensions.filters.network.rbac.v3.RBAC": {
			"rules":                    honoured("judged once, before a connection is served; without any, every connection passes; header and url_path are refused, as in Envoy"),
			"shadow_rules":             honoured("as for requests"),
			"stat_prefix":              ignored(noStats),
			"shadow_rules_stat_prefix": ignored(noStats),
			"enforcement_type":         ignored("what is known of a connection does not change, so once is enough"),
		},
		"envoy.extensions.filters.http.rbac.v3.RBACPerRoute": {"rbac": honoured("without one, every request passes")},
		"envoy.config.rbac.v3.RBAC": {
			"action":   honoured("LOG only counts"),
			"policies": honoured("in the order of their names"),
		},
		"envoy.config.rbac.v3.Policy": {"permissions": honoured(), "principals": honoured()},
		"envoy.config.rbac.v3.Permission": {
			"and_rules": honoured(), "or_rules": honoured(), "not_rule": honoured(), "any": honoured(),
			"header": honoured(), "url_path": path, "destination_ip": cidr, "destination_port": honoured(),
			"destination_port_range": honoured(), "requested_server_name": honoured(),
		},
		"envoy.config.rbac.v3.Permission.Set": {"rules": honoured()},
		"envoy.config.rbac.v3.Principal": {
			"and_ids": honoured(), "or_ids": honoured(), "not_id": honoured(), "any": honoured(),
			"authenticated": honoured(), "source_ip": cidr, "direct_remote_ip": cidr, "remote_ip": cidr,
			"header": honoured(), "url_path": path,
		},
		"envoy.config.rbac.v3.Principal.Set":           {"ids": honoured()},
		"envoy.config.rbac.v3.Principal.Authenticated": {"principal_name": honoured("of a URI or DNS name of the certificate, or its subject")},
		"envoy.type.v3.Int32Range":                     {"start": honoured(), "end": honoured()},

		"envoy.extensions.filters.http.fault.v3.HTTPFault": {
			"delay":                               honoured("counts towards the route's timeout"),
			"abort":                               honoured(),
			"upstream_cluster":                    honoured(),
			"headers":                             honoured(),
			"max_active_faults":                   honoured(),
			"delay_percent_runtime":               ignored("there is no runtime"),
			"abort_percent_runtime":               ignored("there is no runtime"),
			"delay_duration_runtime":              ignored("there is no runtime"),
			"abort_http_status_runtime":           ignored("there is no runtime"),
			"max_active_faults_runtime":           ignored("there is no runtime"),
			"response_rate_limit_percent_runtime": ignored("there is no runtime"),
			"abort_grpc_status_runtime":           ignored("there is no runtime"),
			"disable_downstream_cluster_stats":    ignored(noStats),
			"filter_metadata":                     ignored(noMetadata),
		},
		"envoy.extensions.filters.common.fault.v3.FaultDelay":             {"fixed_delay": honoured(), "header_delay": honoured("x-envoy-fault-delay-request"), "percentage": percent},
		"envoy.extensions.filters.common.fault.v3.FaultDelay.HeaderDelay": {},
		"envoy.extensions.filters.http.fault.v3.FaultAbort": {
			"http_status": honoured(), "grpc_status": honoured(), "header_abort": honoured("x-envoy-fault-abort-request and -abort-grpc-request"), "percentage": percent,
		},
		"envoy.extensions.filters.http.fault.v3.FaultAbort.HeaderAbort": {},

		"envoy.extensions.filters.http.cors.v3.Cors": {},
		"envoy.extensions.filters.http.cors.v3.CorsPolicy": {
			"allow_origin_string_match":       honoured(),
			"allow_methods":                   honoured(),
			"allow_headers":                   honoured(),
			"expose_headers":                  honoured(),
			"max_age":                         honoured(),
			"allow_credentials":               honoured(),
			"allow_private_network_access":    honoured(),
			"forward_not_matching_preflights": honoured("true where absent"),
			"filter_enabled":                  within(rules{"default_value": honoured("0 disables, all else enables"), "runtime_key": ignored("there is no runtime")}),
			"shadow_enabled":                  ignored("it only counts"),
		},

		"envoy.extensions.filters.http.header_mutation.v3.HeaderMutation": {
			"mutations":                           honoured(),
			"most_specific_header_mutations_wins": honoured(),
		},
		"envoy.extensions.filters.http.header_mutation.v3.HeaderMutationPerRoute": {"mutations": honoured("after the chain's own")},
		"envoy.extensions.filters.http.header_mutation.v3.Mutations":              {"request_mutations": honoured(), "response_mutations": honoured()},

		"envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit": {
			"stat_prefix":     ignored(noStats),
			"status":          honoured("429 where absent or below 400"),
			"token_bucket":    honoured("kept while its configuration is"),
			"filter_enabled":  percent,
			"filter_enforced": percent,
			"request_headers_to_add_when_not_enforced":   honoured(),
			"response_headers_to_add":                    honoured(),
			"rate_limited_as_resource_exhausted":         honoured(),
			"local_rate_limit_per_downstream_connection": only("false"),
			"always_consume_default_token_bucket":        ignored("there are no others"),
		},
		"envoy.type.v3.TokenBucket": {"max_tokens": honoured(), "tokens_per_fill": honoured("1 where absent"), "fill_interval": honoured()},
		"envoy.type.v3.HttpStatus":  {"code": honoured()},

		"envoy.extensions.filters.http.health_check.v3.HealthCheck": {
			"pass_through_mode":               only("false"),
			"headers":                         honoured(),
			"cluster_min_healthy_percentages": honoured(),
		},
		"envoy.type.v3.Percent": {"value": honoured()},
	}
}
