package cluster

import (
	"net/netip"
	"time"
)

// Discovery is where a cluster's endpoints come from.
type Discovery int

// The kinds of discovery.
const (
	// Given endpoints stand in the configuration (STATIC, EDS).
	Given Discovery = iota
	// StrictDNS makes an endpoint of every address that a name has.
	StrictDNS
	// LogicalDNS has one endpoint, at one of its name's addresses.
	LogicalDNS
	// OriginalDestination takes each request to where its caller wanted to go.
	OriginalDestination
)

// DNS is how the names of a cluster are resolved.
type DNS struct {
	Family Family
	// Refresh is how often; default 5 s, as Envoy's.
	Refresh time.Duration
	// Jitter is added at random, up to this.
	Jitter time.Duration
	// FailureBase and FailureMax bound the back-off after a failure; 0: Refresh.
	FailureBase, FailureMax time.Duration
	// Servers are asked instead of the system's.
	Servers []netip.AddrPort
}

// Family is which addresses of a name count.
type Family int

// The families. The zero Family takes IPv6, and IPv4 where there is none.
const (
	FamilyAuto Family = iota
	FamilyV4
	FamilyV6
	FamilyV4Preferred
	FamilyAll
)

// Original is how an original destination is found.
type Original struct {
	// Header, where not empty, may name it; it wins over the connection's.
	Header string
	// Port, where not 0, takes the port's place.
	Port uint16
	// Cleanup lets go of a destination that was not used for so long; default 5 s.
	Cleanup time.Duration
}

// Balance has the parameters of the policies.
type Balance struct {
	// Choices is how many endpoints LeastRequest compares; 0: 2.
	Choices uint32
	// FullScan has LeastRequest compare all of them.
	FullScan bool
	// Bias is how much requests in flight count against an endpoint's weight under
	// LeastRequest; nil: 1.
	Bias *float64
	// SlowStart gives new endpoints less at first; nil: it does not.
	SlowStart *SlowStart
	// Ring and Table size the consistent policies.
	Ring  Ring
	Table uint64 // of Maglev; 0: 65537
	// ByHostname hashes endpoints by their names.
	ByHostname bool
	// BalanceFactor bounds an endpoint's requests in flight to so many percent of the
	// average; 0: it does not.
	BalanceFactor uint32
}

// Ring is the size of RingHash's ring.
type Ring struct {
	// Min and Max are 1024 and 8 Mi where 0.
	Min, Max uint64
	Murmur   bool // MurmurHash2 in place of xxHash
}

// SlowStart is how an endpoint that is new warms up.
type SlowStart struct {
	Window time.Duration
	// Aggression is the exponent's inverse; 1: its share grows with time.
	Aggression float64
	// MinPercent of its weight from the start; nil: 10.
	MinPercent *float64
}
