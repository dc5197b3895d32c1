// Package headermutation changes headers of requests and answers at its place in the
// chain (Envoy's envoy.filters.http.header_mutation). A route's mutations come after the
// chain's own, and do not take their place.
package headermutation
