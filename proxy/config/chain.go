package config

import (
	"net/netip"
	"time"

	"github.com/fridaymesh/friday/proxy"
	"github.com/fridaymesh/friday/proxy/telemetry"
	"github.com/fridaymesh/friday/proxy/tlscontext"
)

// FilterChain is what a listener does with the connections that match: exactly one
// of HTTP and TCP.
type FilterChain struct {
	Name  string
	Match ChainMatch
	// TLS, where not nil, is spoken with callers.
	TLS *tlscontext.Downstream
	// HandshakeTimeout bounds TLS's handshake. Default 15 s.
	HandshakeTimeout time.Duration
	// Gates are asked in turn about each connection, after TLS's handshake and before
	// anything else is read.
	Gates []GateConfig
	HTTP  *HTTP
	TCP   *TCP
}

// GateConfig is a gate to be.
type GateConfig struct {
	// ID is equal for equal configurations: where it changes, connections that were let
	// in before end after their next answer.
	ID string
	// Build makes the Gate, when a snapshot is built.
	Build func(m *telemetry.Metrics) Gate
}

// A Gate says why a connection is not served; nil: it is. Of req only what a connection
// tells is set. It does not block, and is safe for concurrent use.
type Gate func(req *proxy.Request) error

// ChainMatch is which connections a chain is for. An empty field matches all, and
// less closely than any that is not.
type ChainMatch struct {
	// Port is where the connection was meant to go, Prefixes the address; 0: any.
	Port     uint16
	Prefixes []netip.Prefix
	// ServerNames are of TLS's server name: exact, or "*.example.com".
	ServerNames []string
	// Transport is "tls" or "raw_buffer".
	Transport string
	// Protocols are application protocols, as TLS's ALPN or the inspection of HTTP
	// tells: "h2", "http/1.1", "h2c".
	Protocols []string
	// Direct are prefixes of the peer's address, as Sources are of the caller's,
	// which the PROXY protocol may tell.
	Direct     []netip.Prefix
	SourceType SourceType
	Sources    []netip.Prefix
	// SourcePorts are the caller's.
	SourcePorts []uint16
}

// Any says that every connection matches.
func (m *ChainMatch) Any() bool {
	return m.Port == 0 && m.Transport == "" && m.SourceType == AnySource &&
		len(m.Prefixes)+len(m.ServerNames)+len(m.Protocols)+len(m.Direct)+len(m.Sources)+len(m.SourcePorts) == 0
}

// SourceType is where a connection may come from.
type SourceType int

// The source types.
const (
	AnySource SourceType = iota
	// LocalSource is this machine.
	LocalSource
	// ExternalSource is any other.
	ExternalSource
)

// Inspect is what a listener finds out of a connection.
type Inspect struct {
	// ProxyProtocol, where not nil, reads the PROXY protocol's header.
	ProxyProtocol *ProxyProtocol
	// OriginalDst asks the kernel where a redirected connection was meant to go.
	OriginalDst bool
	// TLS looks at the first bytes for TLS's ClientHello, HTTP for a request. They
	// are nil where it is not done; Ports says for which ports it is.
	TLS, HTTP *Inspection
	// Timeout is how long all of it may take. Default 15 s.
	Timeout time.Duration
	// GoOn has a connection go on after Timeout with what is known by then; else it
	// is closed.
	GoOn bool
}

// Inspection is the inspection of first bytes.
type Inspection struct {
	// Skip says for which ports it is left out; nil: for none.
	Skip func(port uint16) bool
}

// ProxyProtocol is how the PROXY protocol's header is taken.
type ProxyProtocol struct {
	// Optional lets connections without it pass.
	Optional bool
	// NoV1 and NoV2 refuse a version.
	NoV1, NoV2 bool
}

// TCP is what a chain does with bytes that are no HTTP (Envoy's TcpProxy).
type TCP struct {
	// Clusters are one or more, chosen by weight.
	Clusters []WeightedCluster
	// IdleTimeout closes a connection on which nothing is sent either way. Default 1
	// h, as Envoy's.
	IdleTimeout time.Duration
	// MaxDuration closes a connection after that long; 0: never.
	MaxDuration time.Duration
	// ConnectAttempts is how often connecting is tried; 0: once.
	ConnectAttempts uint32
	// AccessLog is which connections are logged.
	AccessLog AccessLog
}
