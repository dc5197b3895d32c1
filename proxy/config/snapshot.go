package config

import (
	"iter"

	"github.com/fridaymesh/friday/proxy/accesslog"
	"github.com/fridaymesh/friday/proxy/cluster"
	"github.com/fridaymesh/friday/proxy/edge"
	"github.com/fridaymesh/friday/proxy/router"
	"github.com/fridaymesh/friday/proxy/tlscontext"
	"github.com/fridaymesh/friday/proxy/tracing"
)

// Snapshot is a whole configuration, compiled. It is immutable; what has memory
// (clusters, queues) is only referred to.
type Snapshot struct {
	// Resources is what it was made of.
	Resources *Resources
	// Listeners by name.
	Listeners map[string]*ActiveListener
	// Clusters by name.
	Clusters map[string]*cluster.Cluster
}

// ActiveListener is a listener in force.
type ActiveListener struct {
	Config  *Listener
	Chains  []*ActiveChain
	Default *ActiveChain
}

// All are the chains, the default one last.
func (l *ActiveListener) All() iter.Seq[*ActiveChain] {
	return func(yield func(*ActiveChain) bool) {
		for _, c := range l.Chains {
			if !yield(c) {
				return
			}
		}
		if l.Default != nil {
			yield(l.Default)
		}
	}
}

// ActiveChain is a filter chain in force: one of HTTP and TCP is set.
type ActiveChain struct {
	Config *FilterChain
	// ID stays the same over snapshots while the chain is for the same connections:
	// what it matches.
	ID string
	// TLS, where not nil, is spoken with callers.
	TLS   *tlscontext.Server
	Gates []Gate
	HTTP  *Active
	TCP   *ActiveTCP
}

// ActiveTCP is where a chain sends bytes.
type ActiveTCP struct {
	// Listener is the listener's name.
	Listener string
	TCP

	targets []tcpTarget
	total   uint32
}

// Active is a listener's configuration of HTTP in force: the defaults filled in,
// the routes compiled.
type Active struct {
	Name    string
	Address string
	HTTP    HTTP

	table *router.Table[*route]
	edge  *edge.Edge
	logs  []*accesslog.Log
	rule  *tracing.Rule
}
