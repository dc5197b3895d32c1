//go:build interop

package differential

import (
	"testing"
	"time"
)

// Case is one configuration and what is asked under it. Configuration is YAML in
// Envoy's words; ${a} to ${f} are the ports of the endpoints, ${gone} is one that
// nobody listens on.
//
// Clusters a to f, each with that one endpoint, abc (a, b and c in turn), gone and
// empty are always there.
type Case struct {
	Name string
	Config
	Requests []Request
	// Each, in place of Requests or after them, does what it likes at one side; what it
	// returns must be equal at both.
	Each func(t *testing.T, s *side) any
	// Then are configurations that come after this one, at the same address.
	Then []Step
	// Allow are the names of the differences that are allowed.
	Allow []string
}

// Step is a later configuration of a case.
type Step struct {
	Config
	// Refused is the type URL of what both refuse, so that what was there stays.
	Refused  string
	Requests []Request
	Each     func(t *testing.T, s *side) any
}

// Config is what is pushed. All of it may be empty.
type Config struct {
	// Routes of the one virtual host "*"; VirtualHosts in its place.
	Routes, VirtualHosts string
	// Table has further fields of the RouteConfiguration, HCM of the
	// HttpConnectionManager, Listener of the Listener.
	Table, HCM, Listener string
	// Filters stand before the router, Router is its configuration.
	Filters, Router string
	// Clusters and Endpoints are lists of further ones; a cluster of the name of a
	// standing one replaces it.
	Clusters, Endpoints string
	// Secrets, too.
	Secrets string
	// Network are network filters before the HttpConnectionManager.
	Network string
	// Closed says that connections may be closed, so that the version is not told.
	Closed bool
}

// Request is what is asked of both.
type Request struct {
	// Method is GET where empty, Path "/", Host "case.test".
	Method, Path, Host string
	// Header lines are "name: value".
	Header []string
	Body   string
	// Play is what the endpoint is to do; see newStage.
	Play string
	// HTTP2 speaks it, in cleartext.
	HTTP2 bool
	// TLS speaks it to the listener; nil: cleartext.
	TLS *Hello
	// Times is how often it is sent; 0: once.
	Times int
	// AnyEndpoint: it does not matter which of a cluster's endpoints is reached.
	AnyEndpoint bool
	// Settle waits until the endpoints have seen the request so often in all.
	Settle int
	// Borders cut time into classes, which must be equal.
	Borders []time.Duration
}

// cases are all of them.
func cases() []Case {
	var all []Case
	for _, part := range [][]Case{
		matchCases(), rewriteCases(), redirectCases(), headerCases(), retryCases(), weightCases(), mirrorCases(), edgeCases(), filterCases(), jwtCases(), pushCases(),
		hashCases(), balanceCases(), limitCases(), outlierCases(), checkCases(), discoveryCases(),
		downstreamTLSCases(), upstreamTLSCases(), networkCases(),
	} {
		all = append(all, part...)
	}
	return all
}
