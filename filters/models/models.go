package models

import (
	"fmt"

	"google.golang.org/protobuf/types/known/anypb"

	"github.com/fridaymesh/friday/proxy"
	"github.com/fridaymesh/friday/xds/api/settings"
)

const (
	// Name is the filter's name in a chain.
	Name = "friday.filters.http.models"
	// TypeURL is the type of its configuration.
	TypeURL = "type.googleapis.com/friday.filters.http.models.v1.Models"
)

// Factory declares the filter.
type Factory struct{}

var (
	_ proxy.Factory        = Factory{}
	_ proxy.ClusterBuilder = Factory{}
)

// TypeURL is [TypeURL].
func (Factory) TypeURL() string { return TypeURL }

// Parse reads a configuration of [TypeURL] into a [*Config]; a nil one is one with nothing
// set. Errors name the field and the value.
func (Factory) Parse(config *anypb.Any) (proxy.FilterConfig, error) {
	return settings.Parse(config, parse)
}

// Build makes the filter of a route that does not lead to a cluster that is known
// beforehand: it passes everything through.
func (Factory) Build(proxy.FilterConfig, proxy.Env) (proxy.Filter, error) { return pass{}, nil }

// BuildFor makes the filter of a route to cluster. Those of equal configurations share one
// claim, and all claims of a process one world.
func (Factory) BuildFor(cluster string, config proxy.FilterConfig, env proxy.Env) (proxy.Filter, error) {
	c, ok := config.(*Config)
	if !ok {
		return nil, fmt.Errorf("%s: a configuration of type %T", Name, config)
	}
	if c.Disabled || len(c.Models) == 0 {
		return pass{}, nil
	}
	w, err := proxy.Kept(env, Name, func() (*world, error) { return newWorld(env), nil })
	if err != nil {
		return nil, fmt.Errorf("%s: %w", Name, err)
	}
	cl, err := proxy.Kept(env, fmt.Sprintf("%s %s %s", Name, c.id, cluster), func() (*claim, error) { return w.claim(cluster, c), nil })
	if err != nil {
		return nil, fmt.Errorf("%s: %w", Name, err)
	}
	cl.lookup(env.Picker)
	return newFilter(c, cl.fleet), nil
}
