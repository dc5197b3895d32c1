// Package fault delays and aborts a share of the requests, to see how callers bear it
// (Envoy's envoy.filters.http.fault).
package fault
