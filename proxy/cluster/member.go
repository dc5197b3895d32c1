package cluster

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/fridaymesh/friday/proxy"
)

// member is an endpoint with what its cluster knows of it. It is its own endpoint's
// Handler, so that the endpoint stays the same while its connections are made anew,
// and whoever has the endpoint finds the member.
type member struct {
	endpoint proxy.Endpoint

	// Atomic.
	current atomic.Pointer[EndpointHandler] // what makes the round trips
	flags   atomic.Uint32
	stats   stats
	tally   tally

	// Guarded by Cluster.mu.
	config EndpointConfig
	since  time.Time // new, or healthy again, since
	check  *checker  // nil where it is not checked
}

// stats count what became of an endpoint's requests.
type stats struct{ success, failed, timeouts, connectFailed atomic.Uint64 }

var _ EndpointHandler = (*member)(nil)

func newMember(cluster string, e *EndpointConfig, h EndpointHandler) *member {
	m := &member{config: *e, since: time.Now()}
	m.endpoint.Cluster, m.endpoint.Address, m.endpoint.Handler = cluster, e.Address, m
	m.current.Store(&h)
	m.endpoint.Healthy.Store(true)
	return m
}

// replace returns what served until now.
func (m *member) replace(h EndpointHandler) EndpointHandler { return *m.current.Swap(&h) }

// Handle makes the round trip.
func (m *member) Handle(ctx context.Context, req *proxy.Request) (*proxy.Response, error) {
	return (*m.current.Load()).Handle(ctx, req)
}

// Close lets go of the idle connections.
func (m *member) Close() error { return (*m.current.Load()).Close() }

func (m *member) health() flags { return flags(m.flags.Load()) }

// mark sets the flags of mask to those of to, and says whether that changed whether,
// or how gladly, the endpoint is picked.
func (m *member) mark(mask, to flags) bool {
	for {
		old := m.flags.Load()
		now := old&^uint32(mask) | uint32(to&mask)
		if old == now {
			return false
		}
		if m.flags.CompareAndSwap(old, now) {
			m.endpoint.Healthy.Store(m.health().healthy())
			const tells = unhealthyFlags | degradedFlags | pendingActive | excludedImmediate
			return flags(old^now)&tells != 0
		}
	}
}
