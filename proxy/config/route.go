package config

import (
	"time"

	"github.com/fridaymesh/friday/proxy/router"
)

// RouteTable is Envoy's RouteConfiguration.
type RouteTable struct {
	Name         string
	VirtualHosts []*VirtualHost
}

// VirtualHost is a set of domains and their routes.
type VirtualHost struct {
	Name string
	// Domains are exact, "*.suffix", "prefix.*" or "*", searched in that order.
	Domains   []string
	Routes    []*Route
	Overrides map[string]Override
}

// Route is a match and what becomes of it: exactly one of Clusters and Direct.
type Route struct {
	Name  string
	Match router.Match

	// Clusters are one or more, chosen by weight.
	Clusters []WeightedCluster
	Direct   *DirectResponse

	// Timeout is the longest time from the request's head to the end of the
	// response; 0: none.
	Timeout time.Duration
	// PrefixRewrite replaces what Match.Prefix or Match.Path matched.
	PrefixRewrite string
	// HostRewrite replaces the Host header.
	HostRewrite string

	Overrides map[string]Override
}

// WeightedCluster is one of a route's clusters.
type WeightedCluster struct {
	Name      string
	Weight    uint32
	Overrides map[string]Override
}

// DirectResponse is an answer without an upstream.
type DirectResponse struct {
	Status int
	Body   string
}
