package upstream

import (
	"sync/atomic"

	"github.com/valyala/fasthttp"

	"github.com/fridaymesh/friday/proxy"
)

// Limits hold all connections to one cluster to a number, and the requests that wait
// for one to another, as Envoy's circuit breakers do
// (https://www.envoyproxy.io/docs/envoy/latest/intro/arch_overview/upstream/circuit_breaking).
// They outlive configurations. A nil *Limits limits nothing.
type Limits struct {
	maxConnections, maxPending atomic.Uint32
	connections, pending       atomic.Int64

	freed freed // a connection's place: another endpoint's requests may wait for it
}

// NoLimit is as many as anybody likes.
const NoLimit = ^uint32(0)

// NewLimits makes Limits.
func NewLimits(connections, pending uint32) *Limits {
	l := new(Limits)
	l.Set(connections, pending)
	return l
}

// Set changes the limits. What is over them stays.
func (l *Limits) Set(connections, pending uint32) {
	l.maxConnections.Store(connections)
	l.maxPending.Store(pending)
}

// Connections and Pending are how many there are.
func (l *Limits) Connections() int64 { return l.connections.Load() }

// Pending is how many requests wait for a connection.
func (l *Limits) Pending() int64 { return l.pending.Load() }

// connect takes a connection's place, or says that there is none. The first connection
// to an endpoint is always allowed, or its requests would wait for ever.
func (l *Limits) connect(first bool) bool {
	if l == nil {
		return true
	}
	if n := l.connections.Add(1); first || n <= int64(l.maxConnections.Load()) {
		return true
	}
	l.connections.Add(-1)
	return false
}

func (l *Limits) disconnect() {
	if l != nil {
		l.connections.Add(-1)
		l.freed.tell()
	}
}

// place is closed when a connection's place becomes free; nil: there is always one.
func (l *Limits) place() <-chan struct{} {
	if l == nil {
		return nil
	}
	return l.freed.wait()
}

// wait takes the place of a request that waits; an error where there is none.
func (l *Limits) wait() error {
	if l == nil {
		return nil
	}
	if l.pending.Add(1) <= int64(l.maxPending.Load()) {
		return nil
	}
	l.pending.Add(-1)
	return overflow()
}

func (l *Limits) waited() {
	if l != nil {
		l.pending.Add(-1)
	}
}

// overflow is not said to be unsent: sending once more would add to the load.
func overflow() *proxy.Error {
	return &proxy.Error{Status: fasthttp.StatusServiceUnavailable, Flag: proxy.FlagOverflow, Message: resetText + "overflow"}
}
