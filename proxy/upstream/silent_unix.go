//go:build unix

package upstream

import (
	"errors"

	"golang.org/x/sys/unix"
)

// look is what the kernel says of an idle connection. It is kept with the connection, as
// each request asks.
type look struct {
	fds     [1]unix.PollFd
	n       int
	err     error
	control func(fd uintptr)
}

func (l *look) ask(fd uintptr) {
	l.fds[0] = unix.PollFd{Fd: int32(fd), Events: unix.POLLIN | peerClosed} // #nosec G115 -- a descriptor is small
	l.n, l.err = unix.Poll(l.fds[:], 0)
}

// silent asks the kernel whether the peer has neither closed nor sent anything
// on an idle connection. Either makes it unfit: after a FIN the next request
// would be lost, and bytes nobody asked for belong to no request. But a server's TLS
// speaks first, where it hands out sessions (RFC 8446 section 4.6.1).
func (c *conn) silent() bool {
	l := &c.look
	if l.control == nil {
		l.control = l.ask
	}
	if err := c.raw.Control(l.control); err != nil {
		return false
	}
	if l.err != nil {
		return errors.Is(l.err, unix.EINTR)
	}
	if _, secure := c.nc.(*secureConn); secure && c.requests == 0 && peerClosed != 0 {
		return l.fds[0].Revents&^unix.POLLIN == 0
	}
	return l.n == 0
}
