package cluster

import (
	"time"

	"github.com/fridaymesh/friday/proxy"
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
)

// Config is one cluster's configuration. It is immutable.
type Config struct {
	Name   string
	Policy Policy
	// Endpoints by address; where none, the cluster answers 503 (UH).
	Endpoints []EndpointConfig
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
}

// EndpointConfig is one address of a cluster.
type EndpointConfig struct {
	// Address is host:port; the host is an IP or, where resolved when dialling, a
	// name.
	Address string
	// Weight is 1 where not given.
	Weight uint32
	// Unhealthy is what the control plane says.
	Unhealthy bool
}
