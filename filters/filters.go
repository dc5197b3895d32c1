// Package filters is the registry of HTTP filters by the type URL of their
// configuration. Each filter lives in a folder of its own; standard/imports.go is
// the one list of what is compiled in.
package filters

import (
	"github.com/fridaymesh/friday/proxy"
)

// Registry finds factories. It is immutable.
type Registry struct {
	byType map[string]proxy.Factory
}

// NewRegistry holds the given factories.
func NewRegistry(factories ...proxy.Factory) *Registry {
	r := &Registry{byType: make(map[string]proxy.Factory, len(factories))}
	for _, f := range factories {
		r.byType[f.TypeURL()] = f
	}
	return r
}
