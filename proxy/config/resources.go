package config

import (
	"github.com/fridaymesh/friday/proxy/cluster"
	"github.com/fridaymesh/friday/proxy/tlscontext"
)

// Resources is a whole configuration. It is immutable once handed to Build.
type Resources struct {
	Listeners []*Listener
	// Routes are the tables that listeners name (RDS); an inline table stands in
	// its listener.
	Routes   map[string]*RouteTable
	Clusters []*cluster.Config
	// Secrets are what TLS contexts refer to. One that is missing fails the
	// handshakes that need it, and no other.
	Secrets map[tlscontext.Ref]*tlscontext.Secret
}
