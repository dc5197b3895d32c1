package proxy

import (
	"context"
	"sync/atomic"
)

// Endpoint is one address of a cluster. It lives as long as the cluster keeps
// the address, across snapshots, so what others learn about it (connections,
// load, cost) may hang on its pointer.
type Endpoint struct {
	// Cluster and Address (host:port) name it.
	Cluster, Address string
	// Handler makes the round trip to it: one attempt, no retry.
	Handler Handler
	// Active counts the requests between dispatch and the end of their response.
	Active atomic.Int64
	// Total counts the requests ever dispatched.
	Total atomic.Uint64
	// Healthy is false where the control plane, a health check or outlier detection
	// says so. A degraded endpoint is healthy here.
	Healthy atomic.Bool
}

// A Picker chooses among the endpoints of one cluster. Both methods are safe for
// concurrent use and never block.
type Picker interface {
	// Pick returns an endpoint for req, or an [*Error] (503, UH) where there is
	// none to be had. It ignores req.Endpoint.
	Pick(ctx context.Context, req *Request) (*Endpoint, error)
	// Endpoints is what Pick chooses from just now. It must not be changed.
	Endpoints() []*Endpoint
}
