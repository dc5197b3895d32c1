// Package filters is the registry of HTTP filters by the type URL of their
// configuration. Each filter lives in a folder of its own; standard/imports.go is
// the one list of what is compiled in.
package filters

import (
	"maps"
	"slices"
	"strings"

	"github.com/fridaymesh/friday/proxy"
)

// Registry finds factories. It is immutable; a nil Registry knows none.
type Registry struct {
	// byType is keyed by the message's full name, as Envoy's is: what stands
	// before the last slash of a type URL does not matter.
	byType map[string]proxy.Factory
}

// NewRegistry holds the given factories; of two with one type URL the later.
func NewRegistry(factories ...proxy.Factory) *Registry {
	r := &Registry{byType: make(map[string]proxy.Factory, len(factories))}
	for _, f := range factories {
		r.byType[messageName(f.TypeURL())] = f
	}
	return r
}

// TypeURLs are what the registry knows, sorted.
func (r *Registry) TypeURLs() []string {
	if r == nil {
		return nil
	}
	var urls []string
	for f := range maps.Values(r.byType) {
		urls = append(urls, f.TypeURL())
	}
	slices.Sort(urls)
	return urls
}

func (r *Registry) find(typeURL string) (proxy.Factory, bool) {
	if r == nil {
		return nil, false
	}
	f, ok := r.byType[messageName(typeURL)]
	return f, ok
}

func messageName(typeURL string) string {
	return typeURL[strings.LastIndexByte(typeURL, '/')+1:]
}
