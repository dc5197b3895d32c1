package config

import (
	"iter"
	"time"

	"github.com/fridaymesh/friday/proxy"
	"github.com/fridaymesh/friday/proxy/accesslog"
	"github.com/fridaymesh/friday/proxy/edge"
	"github.com/fridaymesh/friday/proxy/tracing"
)

// Listener is an address that is listened on, and what to do with what comes.
type Listener struct {
	Name string
	// Address is host:port; More are others that are listened on alike.
	Address string
	More    []string
	// Unbound listeners do not listen: they get what another hands over
	// (UseOriginalDst).
	Unbound bool
	// UseOriginalDst hands a connection that was redirected over to the listener of
	// the address that it was meant for, where there is one.
	UseOriginalDst bool
	// Inspect is what is found out of a connection before its chain is chosen.
	Inspect Inspect
	// Chains are tried by how closely they match; Default, where not nil, is for
	// connections that none matches. Without one they are closed.
	Chains  []*FilterChain
	Default *FilterChain
}

// All are the chains, the default one last.
func (l *Listener) All() iter.Seq[*FilterChain] {
	return func(yield func(*FilterChain) bool) {
		for _, c := range l.Chains {
			if !yield(c) {
				return
			}
		}
		if l.Default != nil {
			yield(l.Default)
		}
	}
}

// HTTPs are what the chains do with HTTP, of those that do.
func (l *Listener) HTTPs() iter.Seq[*HTTP] { //nolint:revive // HTTP, more than one
	return func(yield func(*HTTP) bool) {
		for c := range l.All() {
			if c.HTTP != nil && !yield(c.HTTP) {
				return
			}
		}
	}
}

// TCPClusters are the names of the clusters that the chains send bytes to.
func (l *Listener) TCPClusters() iter.Seq[string] {
	return func(yield func(string) bool) {
		for c := range l.All() {
			if c.TCP == nil {
				continue
			}
			for _, w := range c.TCP.Clusters {
				if !yield(w.Name) {
					return
				}
			}
		}
	}
}

// HTTP is what a listener does with HTTP (Envoy's HttpConnectionManager).
type HTTP struct {
	// RouteName names a table of Resources.Routes; where it is empty Table is set.
	RouteName string
	Table     *RouteTable
	// Filters in the order of the chain, outermost first, without the router that
	// ends it.
	Filters []Filter

	// Codec is what callers may speak.
	Codec Codec
	// Upgrades are what a connection may become, in lower case: "websocket". What is
	// not among them is passed over.
	Upgrades []string
	// AllowConnect allows them over HTTP/2, too (RFC 8441).
	AllowConnect bool
	// HeadersTimeout is the longest time for a request's head to arrive, from its
	// first byte. Default 10 s.
	HeadersTimeout time.Duration
	// IdleTimeout closes a downstream connection without a request. Default 1 h,
	// as Envoy's.
	IdleTimeout time.Duration
	// MaxHeaderBytes bounds a request's head; beyond it 431. Default 16 KiB: each
	// connection that is being served holds so much.
	MaxHeaderBytes int
	// MaxBodyBytes bounds a request's body; beyond it 413. Default 64 MiB. It
	// bounds each message of a gRPC stream.
	MaxBodyBytes int64
	Limits       Limits
	// AccessLog is which requests are logged in Friday's own format, Logs are access logs
	// in formats of the configuration.
	AccessLog AccessLog
	Logs      []accesslog.Config
	// Tracing, where not nil, is how requests are traced; nil: as the process's environment
	// says.
	Tracing *tracing.Config
	// Edge is what is done to every request and every answer.
	Edge edge.Config
}

// Codec is what callers of a listener may speak.
type Codec int

// The codecs.
const (
	// CodecAuto is HTTP/1.1, or HTTP/2 where a connection begins with its preface.
	CodecAuto Codec = iota
	CodecHTTP1
	CodecHTTP2
)

// AccessLog is which requests a listener writes to the access log.
type AccessLog int

// What to log.
const (
	// LogErrors logs what Friday itself answered and every 5xx, sampled.
	LogErrors AccessLog = iota
	LogAll
	LogNone
)

// Filter is one filter of a chain.
type Filter struct {
	// Name is what overrides refer to.
	Name    string
	Factory proxy.Builder
	Config  proxy.FilterConfig
	// Disabled leaves it out, but where an override brings it in.
	Disabled bool
}

// Override replaces a filter's configuration for a virtual host, a route or a
// weighted cluster; the most specific wins.
type Override struct {
	Config proxy.FilterConfig
	// Disabled leaves the filter out.
	Disabled bool
}
