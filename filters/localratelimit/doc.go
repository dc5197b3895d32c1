// Package localratelimit lets so many requests pass in a time, counted by this process
// alone (Envoy's envoy.filters.http.local_ratelimit).
package localratelimit
