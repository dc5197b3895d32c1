package exchange

import (
	"crypto/tls"
	"net"

	"github.com/valyala/fasthttp"

	"github.com/fridaymesh/friday/proxy"
)

// teller is a connection that knows more than its addresses.
type teller interface {
	// TLS is the state after the handshake; nil in cleartext.
	TLS() *tls.ConnectionState
	// OriginalDestination is host:port; empty where the connection was not redirected.
	OriginalDestination() string
	// Looped says that it is a connection of this process itself, redirected to it.
	Looped() bool
}

// errLoop is of a request that would go in a circle.
func errLoop() *proxy.Error {
	return &proxy.Error{
		Status: fasthttp.StatusLoopDetected, Flag: proxy.FlagLoop,
		Message: "loop detected: Friday's own connection to the server was redirected back to it; the rules must leave its user alone (friday redirect --uid)",
	}
}

// Connection notes in req what the connection that it came over tells.
func Connection(req *proxy.Request, c net.Conn) {
	if t, ok := c.(teller); ok {
		req.TLS, req.OriginalDestination, req.Looped = t.TLS(), t.OriginalDestination(), t.Looped()
	}
}
