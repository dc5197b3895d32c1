// Package tlscontext is TLS towards callers and towards endpoints, in Envoy's
// terms: what a DownstreamTlsContext and an UpstreamTlsContext say, and the
// secrets that they refer to.
//
// Secrets are data. A context names them ([Ref]); a [Store] has those in force
// beside the snapshot, and every handshake asks it anew. So a certificate that is
// rotated counts from the next handshake on, and no connection notices.
//
// Begin with context.go, then server.go and client.go; verify.go is what a peer's
// certificate must be.
package tlscontext
