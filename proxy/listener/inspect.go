package listener

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/fridaymesh/friday/proxy/config"
)

// Seen is what is known of a connection before its filter chain is chosen.
type Seen struct {
	// Remote is the caller, Local where it was meant to go, Peer who has connected.
	Remote, Local, Peer netip.AddrPort
	// Transport is "tls" where a ClientHello was seen, else "raw_buffer".
	Transport  string
	ServerName string
	// Protocols are the application protocols, those that are liked better first.
	Protocols []string
}

// The transports.
const (
	transportTLS = "tls"
	transportRaw = "raw_buffer"
)

// ErrNoProxyHeader says that a connection begins without the PROXY protocol's header
// and must not.
var ErrNoProxyHeader = errors.New("no header of the PROXY protocol")

// Restore finds out where a connection came from and was meant to go: from the
// kernel, and from the PROXY protocol's header, which it takes out. What it waits
// for must come by deadline.
func (c *Conn) Restore(i *config.Inspect, deadline time.Time) error {
	if i.OriginalDst {
		if to := original(c.Conn); to != nil {
			c.local, c.original = to, to.String()
		}
	}
	if i.ProxyProtocol == nil {
		return nil
	}
	if err := c.SetReadDeadline(deadline); err != nil {
		return err
	}
	for {
		p, n, v, err := readProxied(c.ahead)
		switch {
		case err != nil:
			return err
		case v == no && i.ProxyProtocol.Optional:
			return nil
		case v == no:
			return ErrNoProxyHeader
		case v == yes:
			return c.proxied(p, n, i.ProxyProtocol)
		}
		if err := c.more(most1); err != nil {
			return err
		}
	}
}

func (c *Conn) proxied(p proxied, n int, how *config.ProxyProtocol) error {
	if p.version == 1 && how.NoV1 || p.version == 2 && how.NoV2 {
		return fmt.Errorf("PROXY protocol: version %d is not allowed", p.version)
	}
	c.drop(n)
	if p.remote != nil {
		c.remote, c.local = p.remote, p.local
		c.original = p.local.String()
	}
	return nil
}

// Look looks at the first bytes as far as i asks for. They are read again. Where they
// do not come by deadline, and i has it go on then, what is known by then is
// returned.
func (c *Conn) Look(i *config.Inspect, deadline time.Time) (Seen, error) {
	s := Seen{
		Remote: addrPort(c.RemoteAddr()), Local: addrPort(c.LocalAddr()), Peer: c.peer(),
		Transport: transportRaw,
	}
	asks := func(in *config.Inspection) bool { return in != nil && (in.Skip == nil || !in.Skip(s.Local.Port())) }
	tls, http := asks(i.TLS), asks(i.HTTP)
	if !tls && !http {
		return s, nil
	}
	if err := c.SetReadDeadline(deadline); err != nil {
		return s, err
	}
	for {
		if tls {
			h, v := readHello(c.ahead)
			if v == yes {
				s.Transport, s.ServerName, s.Protocols = transportTLS, h.serverName, h.protocols
				return s, nil
			}
			tls = v == undecided && len(c.ahead) < maxHello
		}
		if !tls && http {
			p, v := readProtocol(c.ahead)
			if v == yes {
				s.Protocols = []string{p}
			}
			http = v == undecided
		}
		if !tls && !http {
			return s, nil
		}
		switch err := c.more(lookAt); {
		case err == nil:
		case errors.Is(err, os.ErrDeadlineExceeded) && i.GoOn:
			return s, nil
		default:
			return s, err
		}
	}
}

// peer is who has connected, which may be a proxy.
func (c *Conn) peer() netip.AddrPort {
	if c.remote == nil {
		return addrPort(c.RemoteAddr())
	}
	return addrPort(c.Conn.RemoteAddr())
}

// lookAt is how much is read at a time.
const lookAt = 2 << 10

func addrPort(a net.Addr) netip.AddrPort {
	t, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	return unmapped(t.AddrPort())
}

func unmapped(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()) }
