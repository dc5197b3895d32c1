// Package bootstrap reads what a sidecar starts with: Envoy's bootstrap
// (https://www.envoyproxy.io/docs/envoy/latest/api-v3/config/bootstrap/v3/bootstrap.proto)
// in YAML or JSON, or a few flags, of which the same resources are made. Both go
// through the same parsers as what comes by xDS, so that a listener means the
// same wherever it comes from.
//
//	Load, Flags.Bootstrap -> *bootstrapv3.Bootstrap -> Compile -> *Bootstrap
package bootstrap
