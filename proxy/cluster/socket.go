package cluster

import (
	"reflect"
	"slices"

	"github.com/fridaymesh/friday/proxy/tlscontext"
)

// socketMatch is the endpoints' metadata that transport sockets are chosen by.
const socketMatch = "envoy.transport_socket_match"

// Socket is a transport socket for the endpoints that match (Envoy's
// transport_socket_matches).
type Socket struct {
	// Match has to be in the endpoint's metadata; empty: every endpoint matches.
	Match map[string]any
	// TLS is nil for cleartext.
	TLS *tlscontext.Upstream
}

// SocketOf is what is spoken with an endpoint: the first of Sockets that matches,
// else TLS; nil is cleartext.
func (c *Config) SocketOf(e *EndpointConfig) *tlscontext.Upstream {
	for i := range c.Sockets {
		if c.Sockets[i].matches(e.Metadata[socketMatch]) {
			return c.Sockets[i].TLS
		}
	}
	return c.TLS
}

func (s *Socket) matches(metadata map[string]any) bool {
	for key, want := range s.Match {
		if have, ok := metadata[key]; !ok || !reflect.DeepEqual(have, want) {
			return false
		}
	}
	return true
}

// socketsDiffer says whether connections of a may not serve under b.
func socketsDiffer(a, b *Config) bool {
	return a.AutoSNI != b.AutoSNI || a.AutoSAN != b.AutoSAN || !a.TLS.Equal(b.TLS) ||
		!slices.EqualFunc(a.Sockets, b.Sockets, func(x, y Socket) bool {
			return x.TLS.Equal(y.TLS) && reflect.DeepEqual(x.Match, y.Match)
		})
}

// socketDiffers says whether connections to an endpoint as it was may not serve it as
// it is.
func (c *Config) socketDiffers(was, is *EndpointConfig) bool {
	if len(c.Sockets) == 0 && c.TLS == nil {
		return false
	}
	a, b := c.SocketOf(was), c.SocketOf(is)
	return a != b || b != nil && b.HostSNI && was.Hostname != is.Hostname
}
