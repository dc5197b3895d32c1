// Package healthcheck answers health checks in the server's place, for as long as enough
// endpoints of the clusters that it is told of are healthy (Envoy's
// envoy.filters.http.health_check without pass_through_mode).
package healthcheck
