// Package resource makes the configuration of the data plane (proxy/config) out
// of xDS resources (https://www.envoyproxy.io/docs/envoy/latest/api-v3/api).
//
// Every field of a resource is honoured, or the resource is refused with the
// field's path and the reason. What may safely be left aside stands, with why,
// in one table (rules_*.go), which docs/xds.md shows to people. A walker holds every message
// against the table, so a field that Envoy's API gains tomorrow is refused
// until somebody has thought about it. What Envoy itself refuses (the rules of
// protoc-gen-validate and those of its code) is refused as well.
//
// Everything here is pure: the same resource gives the same result.
package resource
