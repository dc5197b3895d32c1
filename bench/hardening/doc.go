// Package hardening has a table of requests that are malformed, or odd, as raw bytes,
// and what the RFCs have a proxy do with each: refuse it, or pass it so that the
// server reads what was meant. Its tests send them to Friday and, with the tag interop,
// to Envoy; docs/hardening.md tells of the differences.
package hardening
