package config

import (
	"maps"
	"sync"

	"github.com/fridaymesh/friday/proxy/cluster"
	"github.com/fridaymesh/friday/proxy/upstream"
)

// connectionLimits has what counts the connections of each cluster. Endpoints are dialled beside
// the requests, too, so it is safe for concurrent use.
type connectionLimits struct {
	mu sync.Mutex
	by map[string]*upstream.Limits
}

// of returns the cluster's, set as cfg says; nil where it has no limits.
func (l *connectionLimits) of(cfg *cluster.Config) *upstream.Limits {
	if !cfg.LimitsConnections() {
		return nil
	}
	number := func(n *uint32) uint32 {
		if n == nil {
			return upstream.NoLimit
		}
		return *n
	}
	connections, pending := number(cfg.Limits[0].MaxConnections), number(cfg.Limits[0].MaxPending)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.by[cfg.Name] == nil {
		if l.by == nil {
			l.by = map[string]*upstream.Limits{}
		}
		l.by[cfg.Name] = upstream.NewLimits(connections, pending)
	}
	l.by[cfg.Name].Set(connections, pending)
	return l.by[cfg.Name]
}

// keep forgets the clusters that are gone.
func (l *connectionLimits) keep(living map[string]*cluster.Cluster) {
	l.mu.Lock()
	defer l.mu.Unlock()
	maps.DeleteFunc(l.by, func(name string, _ *upstream.Limits) bool { return living[name] == nil })
}
