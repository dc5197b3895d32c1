package resource

import "google.golang.org/protobuf/reflect/protoreflect"

func routeRules() map[protoreflect.FullName]rules {
	overrides := opaque("a filter's configuration, a TypedStruct or a FilterConfig around either")
	regex := honoured("RE2; matches the whole value")
	return map[protoreflect.FullName]rules{
		"envoy.config.route.v3.RouteConfiguration": {
			"name":                                honoured(),
			"virtual_hosts":                       honoured(),
			"validate_clusters":                   honoured("true where absent and inline, false where absent and by RDS"),
			"max_direct_response_body_size_bytes": honoured("4096 where absent"),
			"typed_per_filter_config":             overrides,
			"metadata":                            ignored(noMetadata),
			"most_specific_header_mutations_wins": ignored("header mutations are refused"),
		},
		"envoy.config.route.v3.VirtualHost": {
			"name":                    honoured(),
			"domains":                 honoured(),
			"routes":                  honoured(),
			"typed_per_filter_config": overrides,
			"metadata":                ignored(noMetadata),
		},
		"envoy.config.route.v3.Route": {
			"name":                    honoured("the metrics' label route"),
			"match":                   honoured(),
			"route":                   honoured(),
			"direct_response":         honoured(),
			"typed_per_filter_config": overrides,
			"metadata":                ignored(noMetadata),
			"decorator":               ignored("names spans; there is no tracing"),
			"stat_prefix":             ignored(noStats),
		},
		"envoy.config.route.v3.RouteMatch": {
			"prefix":           honoured(),
			"path":             honoured(),
			"safe_regex":       regex,
			"case_sensitive":   honoured("not for safe_regex, as in Envoy"),
			"headers":          honoured(),
			"query_parameters": honoured(),
		},
		"envoy.config.route.v3.HeaderMatcher": {
			"name":                          honoured("of the pseudo-headers :method, :path and :authority"),
			"string_match":                  honoured(),
			"exact_match":                   honoured(),
			"prefix_match":                  honoured(),
			"suffix_match":                  honoured(),
			"contains_match":                honoured(),
			"safe_regex_match":              regex,
			"present_match":                 honoured(),
			"invert_match":                  honoured(),
			"treat_missing_header_as_empty": honoured(),
		},
		"envoy.config.route.v3.QueryParameterMatcher": {
			"name":          honoured(),
			"string_match":  honoured(),
			"present_match": honoured(),
		},
		"envoy.type.matcher.v3.StringMatcher": {
			"exact":       honoured(),
			"prefix":      honoured(),
			"suffix":      honoured(),
			"contains":    honoured(),
			"safe_regex":  regex,
			"ignore_case": honoured("not for safe_regex, as in Envoy"),
		},
		"envoy.type.matcher.v3.RegexMatcher": {
			"regex":      honoured(),
			"google_re2": ignored("RE2 is the only engine, and it is linear in time"),
		},
		"envoy.config.route.v3.RouteAction": {
			"cluster":                honoured(),
			"weighted_clusters":      honoured(),
			"timeout":                honoured("15s where absent, as in Envoy; 0s: none"),
			"prefix_rewrite":         honoured("beside a prefix or path that is not empty"),
			"host_rewrite_literal":   honoured(),
			"include_vh_rate_limits": ignored("rate limits are refused"),
		},
		"envoy.config.route.v3.WeightedCluster": {
			"clusters":        honoured(),
			"total_weight":    ignored("the sum of the weights counts, as in Envoy"),
			"use_hash_policy": only("false"),
		},
		"envoy.config.route.v3.WeightedCluster.ClusterWeight": {
			"name":                    honoured(),
			"weight":                  honoured(),
			"typed_per_filter_config": overrides,
		},
		"envoy.config.route.v3.DirectResponseAction": {
			"status": honoured(),
			"body":   within(rules{"inline_string": honoured(), "inline_bytes": honoured()}),
		},
		"envoy.config.route.v3.FilterConfig": {
			"config":      opaque("a filter's configuration or a TypedStruct"),
			"is_optional": honoured("excuses an unknown filter, never a bad configuration of a known one"),
			"disabled":    honoured(),
		},
	}
}
