package resource

import "google.golang.org/protobuf/reflect/protoreflect"

func bootstrapRules() map[protoreflect.FullName]rules {
	ours := ignored("Friday says this of itself")
	ads := within(rules{
		"ads":                   honoured(),
		"resource_api_version":  only("V3"),
		"initial_fetch_timeout": ignored("Friday is ready when its first configuration is there"),
	})
	return map[protoreflect.FullName]rules{
		"envoy.config.bootstrap.v3.Bootstrap": {
			"node":                 honoured(),
			"static_resources":     honoured(),
			"dynamic_resources":    honoured(),
			"admin":                honoured(),
			"stats_flush_interval": ignored("metrics are pulled"),
		},
		"envoy.config.bootstrap.v3.Bootstrap.StaticResources": {
			"listeners": opaque("as below, without rds"),
			"clusters":  opaque("as below, without EDS; the control plane's own cluster has http2_protocol_options"),
		},
		"envoy.config.bootstrap.v3.Bootstrap.DynamicResources": {
			"ads_config": honoured(),
			"lds_config": ads,
			"cds_config": ads,
		},
		"envoy.config.bootstrap.v3.Admin": {
			"address":         honoured(),
			"access_log":      ignored("the admin door keeps no access log"),
			"access_log_path": ignored("the admin door keeps no access log"),
			"profile_path":    ignored("profiles are served, not written"),
		},
		"envoy.config.core.v3.Node": {
			"id":                       honoured(),
			"cluster":                  honoured(),
			"metadata":                 honoured("sent to the control plane"),
			"locality":                 opaque("sent to the control plane"),
			"user_agent_name":          ours,
			"user_agent_version":       ours,
			"user_agent_build_version": ours,
			"extensions":               ours,
			"client_features":          ours,
			"listening_addresses":      ours,
		},
		"envoy.config.core.v3.ApiConfigSource": {
			"api_type":                       only("GRPC"),
			"transport_api_version":          only("V3"),
			"grpc_services":                  honoured("the first counts, as in Envoy"),
			"set_node_on_first_message_only": ignored("always so"),
		},
		"envoy.config.core.v3.GrpcService": {
			"envoy_grpc":  honoured(),
			"google_grpc": honoured(),
		},
		"envoy.config.core.v3.GrpcService.EnvoyGrpc": {
			"cluster_name": honoured("one of static_resources"),
		},
		"envoy.config.core.v3.GrpcService.GoogleGrpc": {
			"target_uri":  honoured("host:port, or what gRPC's name resolution takes"),
			"stat_prefix": ignored(noStats),
		},
	}
}
