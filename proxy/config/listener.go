package config

import (
	"time"

	"github.com/fridaymesh/friday/proxy"
)

// Listener is an address that is listened on, and what to do with what comes.
type Listener struct {
	Name string
	// Address is host:port.
	Address string
	HTTP    *HTTP
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
	// AccessLog is which requests are logged.
	AccessLog AccessLog
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
	Factory proxy.Factory
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
