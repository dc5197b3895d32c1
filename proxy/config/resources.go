package config

import (
	"github.com/fridaymesh/friday/proxy/cluster"
)

// Resources is a whole configuration. It is immutable once handed to Build.
type Resources struct {
	Listeners []*Listener
	// Routes are the tables that listeners name (RDS); an inline table stands in
	// its listener.
	Routes   map[string]*RouteTable
	Clusters []*cluster.Config
}
