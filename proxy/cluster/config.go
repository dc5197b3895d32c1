package cluster

import (
	"net/netip"
	"time"

	"github.com/fridaymesh/friday/proxy"
	"github.com/fridaymesh/friday/proxy/tlscontext"
)

// Policy is how an endpoint is chosen.
type Policy int

// The policies.
const (
	RoundRobin Policy = iota
	// LeastRequest compares the active requests of two endpoints chosen at random
	// and takes the lesser (power of two choices), as Envoy does.
	LeastRequest
	Random
	// RingHash and Maglev send requests of one hash to one endpoint.
	RingHash
	Maglev
)

// Config is one cluster's configuration. It is immutable.
type Config struct {
	Name string
	// Discovery is where the endpoints come from.
	Discovery Discovery
	// Endpoints by address; where none, the cluster answers 503 (UH).
	Endpoints []EndpointConfig
	// Load is the control plane's word on all endpoints together.
	Load Load

	Policy Policy
	// Balance has the policies' parameters.
	Balance Balance
	// Panic is the percentage of healthy endpoints below which health is ignored; nil:
	// 50, as Envoy's.
	Panic *float64
	// FailOnPanic answers 503 (UH) instead.
	FailOnPanic bool
	// LocalityWeighted shares requests among localities by their weights first.
	LocalityWeighted bool

	// DNS is how names are resolved, for StrictDNS and LogicalDNS.
	DNS DNS
	// Original is for OriginalDestination.
	Original Original

	// Limits by priority: of requests of default and of high priority. The zero Limits
	// are none.
	Limits [2]Limits
	// Outliers, where not nil, ejects endpoints that fail.
	Outliers *Outliers
	// Check, where not nil, asks the endpoints how they are.
	Check *Check
	// IgnoreNew leaves endpoints out of the count for Panic until their first health check.
	IgnoreNew bool
	// LeaveAtOnce lets an endpoint go that the control plane has taken away; else it stays until a
	// health check fails, where there are any, as in Envoy.
	LeaveAtOnce bool
	// CloseOnChange closes idle connections whenever the endpoints change.
	CloseOnChange bool

	// ConnectTimeout is the longest time to connect. Default 5 s, as Envoy's.
	ConnectTimeout time.Duration
	// Protocol is what is spoken to the endpoints.
	Protocol proxy.UpstreamProtocol
	// IdleTimeout is how long a connection may be kept without a request. Default for
	// HTTP/1.1: 4 s, shorter than what common servers allow (uvicorn and Node close
	// after 5 s); for HTTP/2, whose servers say goodbye before they close: 1 min.
	IdleTimeout time.Duration
	// MaxRequestsPerConnection closes a connection after so many requests; 0: no
	// limit.
	MaxRequestsPerConnection uint32
	// MaxConnectionDuration lets a connection serve no new request after so long; 0: no
	// limit.
	MaxConnectionDuration time.Duration
	// Preconnect is how many connections there should be for each request that runs; up
	// to 1: no more than that.
	Preconnect float64
	// KeepaliveInterval, where above 0, is how long an HTTP/2 connection may be silent
	// before its server is pinged, which then has KeepaliveTimeout to answer.
	KeepaliveInterval, KeepaliveTimeout time.Duration
	// TLS, where not nil, is spoken with the endpoints that none of Sockets matches.
	TLS     *tlscontext.Upstream
	Sockets []Socket
	// AutoSNI makes the caller's Host the server's name in TLS; AutoSAN demands it of
	// the server's certificate.
	AutoSNI, AutoSAN bool
	// Source is the address that connections come from; the zero one is the system's
	// choice.
	Source netip.AddrPort
}

// EndpointConfig is one address of a cluster.
type EndpointConfig struct {
	// Address is host:port; the host is an IP or, with DNS and where resolved when
	// dialling, a name.
	Address string
	// Hostname is what the endpoint is called by: for health checks and
	// auto_host_rewrite.
	Hostname string
	// Weight is 1 where not given.
	Weight uint32
	// Health is what the control plane says.
	Health Health
	// Priority is 0 for those that are used first.
	Priority uint32
	Locality Locality
	// LocalityWeight is of all endpoints of the same priority and locality together.
	LocalityWeight uint32
	// Metadata by filter name, as envoy.lb or envoy.transport_socket_match, and key.
	Metadata map[string]map[string]any
	// Check is how its health check differs from the others'; nil: not at all.
	Check *EndpointCheck
}

// Locality is where an endpoint is.
type Locality struct{ Region, Zone, SubZone string }

// Health is what the control plane says of an endpoint's health.
type Health int

// What it may say. The zero Health is healthy as far as the control plane knows.
const (
	HealthUnknown Health = iota
	HealthHealthy
	HealthUnhealthy
	HealthDraining
	HealthTimeout
	HealthDegraded
)

// Load is ClusterLoadAssignment's policy.
type Load struct {
	// Overprovisioning is how much more than its share the healthy part of a priority
	// can bear, in percent; 0: 140.
	Overprovisioning uint32
	// WeightedHealth counts a priority's health by weights, not by endpoints.
	WeightedHealth bool
	// Drops are requests not to be served at all.
	Drops []Drop
}

// Drop is a share of the requests that is answered 503 (DO) at once.
type Drop struct {
	Category string
	// PerMillion is out of 1,000,000.
	PerMillion uint32
}

// Limits are one priority's circuit breakers. A field that is nil has no limit.
type Limits struct {
	// MaxConnections to all endpoints together, and MaxPending requests that wait for
	// one; the round trip keeps them.
	MaxConnections, MaxPending *uint32
	// MaxRequests in flight, and MaxRetries among them.
	MaxRequests, MaxRetries *uint32
	// Budget, where not nil, takes the place of MaxRetries.
	Budget *Budget
}

// LimitsConnections says whether there is a limit for the round trip to keep.
func (c *Config) LimitsConnections() bool {
	return c.Limits[0].MaxConnections != nil || c.Limits[0].MaxPending != nil
}

// Budget bounds the retries in flight by a percentage of the requests in flight.
type Budget struct {
	Percent float64
	// Min retries are always allowed.
	Min uint32
}
