package config

import (
	"github.com/fridaymesh/friday/proxy/cluster"
	"github.com/fridaymesh/friday/proxy/router"
)

// Snapshot is a whole configuration, compiled. It is immutable; what has memory
// (clusters, queues) is only referred to.
type Snapshot struct {
	// Resources is what it was made of.
	Resources *Resources
	// Listeners by name.
	Listeners map[string]*Active
	// Clusters by name.
	Clusters map[string]*cluster.Cluster
}

// Active is a listener's configuration in force: the defaults filled in, the
// routes compiled.
type Active struct {
	Name    string
	Address string
	HTTP    HTTP

	table *router.Table[*route]
}
