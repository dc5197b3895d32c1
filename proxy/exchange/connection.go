package exchange

import (
	"crypto/tls"
	"net"

	"github.com/fridaymesh/friday/proxy"
)

// teller is a connection that knows more than its addresses.
type teller interface {
	// TLS is the state after the handshake; nil in cleartext.
	TLS() *tls.ConnectionState
	// OriginalDestination is host:port; empty where the connection was not redirected.
	OriginalDestination() string
}

// Connection notes in req what the connection that it came over tells.
func Connection(req *proxy.Request, c net.Conn) {
	if t, ok := c.(teller); ok {
		req.TLS, req.OriginalDestination = t.TLS(), t.OriginalDestination()
	}
}
