// Package tracing makes package span's spans: which requests are sampled, what is noted of
// them, and where spans go.
//
// There are two ways to say where. A listener's configuration names a collector behind a
// cluster ([Collector], Envoy's OpenTelemetry tracer); else the process's environment does
// ([FromEnvironment], OpenTelemetry's OTEL_ variables), for every listener. Without
// either nothing is traced, and nothing in this package runs.
//
// Spans are sent by OpenTelemetry's SDK, in the background and in batches. Where the
// collector is away, or slow, what does not fit into the SDK's queue is lost; no request waits for
// it.
package tracing
