package resource

import (
	_ "github.com/envoyproxy/go-control-plane/envoy/config/grpc_credential/v3" // the table speaks of it
	"google.golang.org/protobuf/reflect/protoreflect"
)

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
			"clusters":  opaque("as below, without EDS; the control plane's own cluster, and one that sds_config names, may be STRICT_DNS or LOGICAL_DNS or a pipe (a unix socket), has http2_protocol_options, and may have an UpstreamTlsContext: trusted_ca, exact match_typed_subject_alt_names, one certificate, sni"),
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
			"api_type":                       only("GRPC", "DELTA_GRPC"),
			"transport_api_version":          only("V3"),
			"grpc_services":                  honoured("several, the best first: the first that answers is followed, and left for a better one that is back"),
			"set_node_on_first_message_only": ignored("always so"),
		},
		"envoy.config.core.v3.GrpcService": {
			"envoy_grpc":       honoured(),
			"google_grpc":      honoured(),
			"initial_metadata": within(rules{"key": honoured(), "value": honoured()}),
		},
		"envoy.config.core.v3.GrpcService.EnvoyGrpc": {
			"cluster_name": honoured("one of static_resources; all its endpoints count, in their order"),
			"authority":    ignored("gRPC names the target"),
		},
		"envoy.config.core.v3.GrpcService.GoogleGrpc": {
			"target_uri":               honoured("host:port, unix:path, or what gRPC's name resolution takes"),
			"channel_credentials":      honoured(),
			"call_credentials":         honoured("one, beside ssl_credentials"),
			"credentials_factory_name": only("envoy.grpc_credentials.file_based_metadata"),
			"stat_prefix":              ignored(noStats),
		},
		"envoy.config.core.v3.GrpcService.GoogleGrpc.CallCredentials": {
			"from_plugin": honoured(),
		},
		"envoy.config.core.v3.GrpcService.GoogleGrpc.CallCredentials.MetadataCredentialsFromPlugin": {
			"name":         only("envoy.grpc_credentials.file_based_metadata"),
			"typed_config": honoured("FileBasedMetadataConfig: a token that goes with every stream, read anew each time. Who has one asks the control plane for the secrets `default` and `ROOTCA` as well, and shows that certificate from then on"),
		},
		"envoy.config.grpc_credential.v3.FileBasedMetadataConfig": {
			"secret_data":   opaque("filename, inline_string, inline_bytes or environment_variable"),
			"header_key":    honoured("default authorization"),
			"header_prefix": honoured(),
		},
		"envoy.config.core.v3.GrpcService.GoogleGrpc.ChannelCredentials": {
			"ssl_credentials":   opaque("root_certs (the system's where absent), and cert_chain with private_key; files are read anew for each connection"),
			"local_credentials": honoured("plain text"),
		},
		"envoy.config.core.v3.GrpcService.GoogleGrpc.GoogleLocalCredentials": {},
	}
}
