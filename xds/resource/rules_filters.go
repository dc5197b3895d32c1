package resource

import "google.golang.org/protobuf/reflect/protoreflect"

// filterRules are the configurations of Envoy's own HTTP filters.
func filterRules() map[protoreflect.FullName]rules {
	cidr := within(rules{"address_prefix": honoured(), "prefix_len": honoured()})
	path := within(rules{"path": honoured("without the query")})
	percent := honoured("none where absent")
	const metadataNote = "jwt_authn's"
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
			"destination_port_range": honoured(), "requested_server_name": honoured(), "metadata": honoured(metadataNote), "sourced_metadata": honoured(),
		},
		"envoy.config.rbac.v3.Permission.Set": {"rules": honoured()},
		"envoy.config.rbac.v3.Principal": {
			"and_ids": honoured(), "or_ids": honoured(), "not_id": honoured(), "any": honoured(),
			"authenticated": honoured(), "source_ip": cidr, "direct_remote_ip": cidr, "remote_ip": cidr,
			"header": honoured(), "url_path": path, "metadata": honoured(metadataNote), "sourced_metadata": honoured(),
		},
		"envoy.config.rbac.v3.SourcedMetadata":              {"metadata_matcher": honoured(), "metadata_source": only("DYNAMIC")},
		"envoy.type.matcher.v3.MetadataMatcher":             {"filter": honoured(), "path": honoured(), "value": honoured(), "invert": honoured()},
		"envoy.type.matcher.v3.MetadataMatcher.PathSegment": {"key": honoured()},
		"envoy.type.matcher.v3.ValueMatcher": {
			"null_match": honoured(), "double_match": honoured(), "string_match": honoured(), "bool_match": honoured(), "present_match": honoured(),
			"list_match": honoured(), "or_match": honoured(),
		},
		"envoy.type.matcher.v3.ValueMatcher.NullMatch": {},
		"envoy.type.matcher.v3.ListMatcher":            {"one_of": honoured()},
		"envoy.type.matcher.v3.OrMatcher":              {"value_matchers": honoured()},
		"envoy.type.matcher.v3.DoubleMatcher":          {"range": honoured(), "exact": honoured()},
		"envoy.type.v3.DoubleRange":                    {"start": honoured(), "end": honoured()},
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

		"envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication": {
			"providers":              honoured(),
			"rules":                  honoured("the first that matches"),
			"bypass_cors_preflight":  honoured(),
			"requirement_map":        honoured(),
			"strip_failure_response": honoured(),
			"stat_prefix":            ignored(noStats),
		},
		"envoy.extensions.filters.http.jwt_authn.v3.PerRouteConfig": {"disabled": honoured(), "requirement_name": honoured()},
		"envoy.extensions.filters.http.jwt_authn.v3.JwtProvider": {
			"issuer": honoured(), "audiences": honoured(), "subjects": honoured(), "require_expiration": honoured(), "max_lifetime": honoured(),
			"remote_jwks": honoured(),
			"local_jwks": within(rules{
				"filename": honoured("read once, with the configuration"), "inline_bytes": honoured(), "inline_string": honoured(), "environment_variable": honoured(),
			}),
			"forward": honoured(), "from_headers": honoured(), "from_params": honoured(), "from_cookies": honoured(),
			"forward_payload_header": honoured(), "pad_forward_payload_header": honoured(),
			"payload_in_metadata": honoured("for rbac"), "normalize_payload_in_metadata": honoured(), "header_in_metadata": honoured("for rbac"),
			"failed_status_in_metadata": honoured("for rbac"),
			"clock_skew_seconds":        honoured("60 where 0"),
			"jwt_cache_config":          ignored("what a token costs is small beside a model's work; each is verified"),
			"claim_to_headers":          honoured(),
			"clear_route_cache":         only("false"),
		},
		"envoy.extensions.filters.http.jwt_authn.v3.JwtProvider.NormalizePayload": {"space_delimited_claims": honoured()},
		"envoy.extensions.filters.http.jwt_authn.v3.RemoteJwks": {
			"http_uri": honoured(), "cache_duration": honoured("10 min where absent"), "async_fetch": honoured(), "retry_policy": honoured(),
		},
		"envoy.extensions.filters.http.jwt_authn.v3.JwksAsyncFetch": {
			"fast_listener":           ignored("a listener never waits for keys; requests do"),
			"failed_refetch_duration": honoured("1 s where absent"),
		},
		"envoy.config.core.v3.HttpUri": {"uri": honoured(), "cluster": honoured(), "timeout": honoured()},
		"envoy.config.core.v3.RetryPolicy": {
			"retry_back_off": honoured(), "num_retries": honoured("1 where absent"),
		},
		"envoy.config.core.v3.BackoffStrategy":                             {"base_interval": honoured(), "max_interval": honoured()},
		"envoy.extensions.filters.http.jwt_authn.v3.JwtHeader":             {"name": honoured(), "value_prefix": honoured()},
		"envoy.extensions.filters.http.jwt_authn.v3.ProviderWithAudiences": {"provider_name": honoured(), "audiences": honoured()},
		"envoy.extensions.filters.http.jwt_authn.v3.JwtRequirement": {
			"provider_name": honoured(), "provider_and_audiences": honoured(), "requires_any": honoured(), "requires_all": honoured(),
			"allow_missing": honoured(), "allow_missing_or_failed": honoured(),
		},
		"envoy.extensions.filters.http.jwt_authn.v3.JwtRequirementOrList":         {"requirements": honoured()},
		"envoy.extensions.filters.http.jwt_authn.v3.JwtRequirementAndList":        {"requirements": honoured()},
		"envoy.extensions.filters.http.jwt_authn.v3.RequirementRule":              {"match": honoured(), "requires": honoured(), "requirement_name": honoured()},
		"envoy.extensions.filters.http.jwt_authn.v3.JwtClaimToHeader":             {"header_name": honoured(), "claim_name": honoured("dots lead into objects"), "claim_path": honoured()},
		"envoy.extensions.filters.http.jwt_authn.v3.JwtClaimToHeader.PathSegment": {"key": honoured()},
		"google.protobuf.Empty": {},
	}
}
