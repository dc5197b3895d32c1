// Package cluster holds the endpoints of an upstream, chooses one for each
// request, and tries again where that is safe.
package cluster
