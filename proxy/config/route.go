package config

import (
	"time"

	"github.com/fridaymesh/friday/proxy/action"
	"github.com/fridaymesh/friday/proxy/router"
	"github.com/fridaymesh/friday/proxy/tracing"
)

// RouteTable is Envoy's RouteConfiguration.
type RouteTable struct {
	Name         string
	VirtualHosts []*VirtualHost
	// IgnorePort compares the Host header without its port.
	IgnorePort bool

	Headers action.Headers
	// SpecificLast has the header mutations of the table come before those of the virtual
	// host, and those of the route last, so that the most specific ones win.
	SpecificLast bool
}

// VirtualHost is a set of domains and their routes.
type VirtualHost struct {
	Name string
	// Domains are exact, "*.suffix", "prefix.*" or "*", searched in that order.
	Domains []string
	Routes  []*Route
	Headers action.Headers
	// RequireTLS answers what did not come over TLS with a redirect to https.
	RequireTLS bool
	Overrides  map[string]Override
}

// Route is a match and what becomes of it: exactly one of Clusters, Redirect and Direct.
type Route struct {
	Name  string
	Match router.Match

	// Clusters are one or more, chosen by weight.
	Clusters []WeightedCluster
	Redirect *action.Redirect
	Direct   *DirectResponse

	// Forward is how requests go to Clusters. Its Levels are made of the Headers here,
	// above and in Clusters.
	Forward action.Forward
	// Draw, where not empty, is a header whose number takes the place of a random one
	// among Clusters; DrawByHash takes the hash of Forward's policies.
	Draw       string
	DrawByHash bool
	// UnknownStatus is the answer where the cluster is not known; 0: 503.
	UnknownStatus int

	// Timeout is the longest time from the request's head to the end of the
	// response; 0: none.
	Timeout time.Duration
	// GRPCTimeout, where not nil, has the caller's grpc-timeout take Timeout's place for
	// gRPC, at most so much; 0: however long.
	GRPCTimeout *time.Duration
	// GRPCOffset is taken off the caller's grpc-timeout.
	GRPCOffset time.Duration
	// IdleTimeout, where not nil, takes the place of the listener's StreamIdleTimeout; 0:
	// none.
	IdleTimeout *time.Duration
	// MaxDuration ends a request after so long, whatever moves; 0: never.
	MaxDuration time.Duration

	// Tracing, where not nil, is how the route's requests are traced.
	Tracing *tracing.Route

	Headers   action.Headers
	Overrides map[string]Override
}

// WeightedCluster is one of a route's clusters.
type WeightedCluster struct {
	Name string
	// Header, in place of Name, is a header that names the cluster.
	Header    string
	Weight    uint32
	Headers   action.Headers
	Host      string // takes the Host header's place
	Overrides map[string]Override
}

// DirectResponse is an answer without an upstream.
type DirectResponse = action.Direct
