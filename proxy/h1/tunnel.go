package h1

import (
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/fridaymesh/friday/proxy"
	"github.com/fridaymesh/friday/proxy/config"
)

// upgradeOf is what the caller asks the connection to become (RFC 9110 section 7.8),
// where that is allowed. Otherwise the asking is passed over, as a server may, and goes
// no further: also for a request with a body, which would have to be read first.
func upgradeOf(h *fasthttp.RequestHeader, limits *config.HTTP) string {
	if len(limits.Upgrades) == 0 || !h.IsHTTP11() || h.ConnectionClose() || h.ContentLength() > 0 || h.ContentLength() == -1 {
		return ""
	}
	value := h.Peek("Upgrade")
	if value == nil {
		if value = h.Peek("upgrade"); value == nil {
			return ""
		}
	}
	connection := h.Peek("Connection")
	if len(connection) == 0 {
		connection = h.Peek("connection")
	}
	if !slices.ContainsFunc(strings.Split(string(connection), ","), func(s string) bool {
		return strings.EqualFold(strings.TrimSpace(s), "upgrade")
	}) {
		return ""
	}
	kind := strings.ToLower(string(value))
	if !slices.Contains(limits.Upgrades, kind) {
		return ""
	}
	return kind
}

// tunnel is a connection that has become something else than HTTP. As the request's
// body it is what the caller sends from then on; until the server has agreed it has
// nothing to read, for what comes may be the next request.
type tunnel struct {
	conn  net.Conn
	moved func() // something has come

	agreed, closed, done chan struct{}
	once                 sync.Once // closes closed

	mu sync.Mutex // held by Read
	in io.Reader  // set before agreed is closed
}

var _ proxy.Body = (*tunnel)(nil)

func newTunnel(c net.Conn, moved func()) *tunnel {
	return &tunnel{conn: c, moved: moved, agreed: make(chan struct{}), closed: make(chan struct{}), done: make(chan struct{})}
}

// Len is not known.
func (t *tunnel) Len() int64 { return -1 }

// Trailer is always nil.
func (t *tunnel) Trailer() *fasthttp.ResponseHeader { return nil }

// Read waits until the server has agreed.
func (t *tunnel) Read(p []byte) (int, error) {
	select {
	case <-t.agreed:
	case <-t.closed:
		return 0, errClosed
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	select {
	case <-t.closed: // both had happened
		return 0, errClosed
	default:
	}
	n, err := t.in.Read(p)
	t.moved()
	if err == nil || errors.Is(err, io.EOF) {
		return n, err
	}
	select {
	case <-t.closed:
		return n, errClosed
	default:
		return n, explain(err)
	}
}

// Close ends a Read in flight and returns when it has returned.
func (t *tunnel) Close() error {
	var err error
	t.once.Do(func() {
		close(t.closed)
		select {
		case <-t.agreed:
			err = t.conn.SetReadDeadline(time.Unix(1, 0))
		default: // the connection goes on as HTTP
		}
	})
	t.mu.Lock()
	defer t.mu.Unlock()
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// upgraded hands the connection over, after the head of the answer.
func (x *serving) upgraded(rc *fasthttp.RequestCtx) {
	h := &rc.Response.Header
	for name, value := range x.Response.Header.All() {
		if strings.EqualFold(string(name), "upgrade") {
			h.SetBytesV("Upgrade", value)
			break
		}
	}
	h.Set("Connection", "Upgrade")
	rc.Conn().(*screen).Through() //nolint:forcetypeassert // ServeConn made it
	x.s.enter(rc.Conn(), x)
	rc.Hijack(func(c net.Conn) {
		defer close(x.tunnel.done)
		x.relay(c)
		x.finish()
	})
}

// relay passes on what the server sends, until it ends or the caller has gone. What
// the caller sends is read as the request's body; its end ends the server's reading
// only.
func (x *serving) relay(c net.Conn) {
	t := x.tunnel
	if x.teller != nil {
		x.teller.OnGone(nil) // what it had sent before still has to get there
	}
	t.in = c
	close(t.agreed)
	buf := make([]byte, 16<<10)
	for {
		n, err := x.Exchange.Read(buf)
		if n > 0 {
			if _, werr := c.Write(buf[:n]); werr != nil {
				x.Gone()
				x.Fail(werr)
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// enter notes the tunnel that a connection becomes.
func (s *Server) enter(c net.Conn, x *serving) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tunnels[c] = x
}

// leave waits for the end of the tunnel that a connection has become, if it has.
func (s *Server) leave(c net.Conn) {
	s.mu.Lock()
	x := s.tunnels[c]
	delete(s.tunnels, c)
	handed := s.conns[c] == fasthttp.StateHijacked
	s.mu.Unlock()
	switch {
	case x == nil:
	case handed:
		<-x.tunnel.done
	default: // the caller was gone before the answer's head was written
		x.Gone()
		x.finish()
	}
}
