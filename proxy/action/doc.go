// Package action is what becomes of a request at the end of its route's chain: it is
// sent on ([Forward]: header mutations, rewriting, retries, mirrors), answered with a
// [Redirect], or answered with a [Direct] response. The words and their meaning are those
// of Envoy's router (https://www.envoyproxy.io/docs/envoy/latest/configuration/http/http_filters/router_filter).
//
// The types hold configuration; New… checks and compiles it. What is compiled is
// immutable and safe for concurrent use.
package action
