package models

import (
	"fmt"
	"io"

	"google.golang.org/protobuf/types/known/anypb"

	"github.com/fridaymesh/friday/proxy"
	modelsv1 "github.com/fridaymesh/friday/xds/api/friday/filters/http/models/v1"
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

// Parse reads a [modelsv1.Models] into a [*Config]; a nil config is one with nothing set.
// Errors name the field and the value.
func (Factory) Parse(config *anypb.Any) (proxy.FilterConfig, error) {
	m := new(modelsv1.Models)
	if err := settings.Read(config, m); err != nil {
		return nil, err
	}
	c, err := parse(m)
	if err != nil {
		return nil, err
	}
	return c, nil
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
	kept, err := env.Keep(Name, func() (io.Closer, error) { return newWorld(env), nil })
	if err != nil {
		return nil, fmt.Errorf("%s: %w", Name, err)
	}
	w, ok := kept.(*world)
	if !ok {
		return nil, fmt.Errorf("%s: kept world of type %T", Name, kept)
	}
	kept, err = env.Keep(fmt.Sprintf("%s %s %s", Name, c.id, cluster), func() (io.Closer, error) { return w.claim(cluster, c), nil })
	if err != nil {
		return nil, fmt.Errorf("%s: %w", Name, err)
	}
	cl, ok := kept.(*claim)
	if !ok {
		return nil, fmt.Errorf("%s: kept claim of type %T", Name, kept)
	}
	cl.lookup(env.Picker)
	return newFilter(c, cl.fleet), nil
}
