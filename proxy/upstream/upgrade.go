package upstream

import (
	"errors"
	"io"
	"runtime/debug"

	"github.com/fridaymesh/friday/proxy"
)

// appendUpgrade puts the asking for an upgrade into a written head, from which
// appendHead has taken the caller's own.
func appendUpgrade(head []byte, kind string) []byte {
	head = append(head[:len(head)-len("\r\n")], "Connection: Upgrade\r\nUpgrade: "...)
	return append(append(head, kind...), "\r\n\r\n"...)
}

var errUnasked = errors.New("101 that nobody has asked for")

// upgraded makes the answer of a server that agrees to be something else than HTTP:
// its body is what the server sends from then on, and the request's body is sent
// beside it.
func (x *exchange) upgraded(resp *proxy.Response) (*proxy.Response, error) {
	x.c.unfit = true
	if x.req.Upgrade == "" {
		return nil, errors.Join(errUnasked, resp.Close())
	}
	b := &body{x: x, remaining: untilClose, length: -1}
	resp.Body = b
	x.writing = make(chan error, 1)
	go func() { x.writing <- x.sendTunnel() }()
	return resp, nil
}

// sendTunnel sends what the caller does. Its end is passed on, and the server may go
// on sending.
func (x *exchange) sendTunnel() (err error) {
	defer func() {
		if v := recover(); v != nil { // the body's: it may be a filter's
			err = proxy.PanicError(v, debug.Stack())
		}
		if err != nil {
			x.c.abort()
		}
	}()
	buf := copyBuffers.Get().(*[]byte) //nolint:forcetypeassert // the pool holds nothing else
	defer copyBuffers.Put(buf)
	for {
		n, err := x.req.Body.Read(*buf)
		if n > 0 {
			if _, werr := x.c.Write((*buf)[:n]); werr != nil {
				return werr
			}
		}
		switch {
		case err == nil:
		case !errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
			return err
		default:
			if half, ok := x.c.nc.(interface{ CloseWrite() error }); ok {
				return half.CloseWrite()
			}
			return nil
		}
	}
}
