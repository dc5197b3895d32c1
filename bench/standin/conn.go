package standin

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"time"

	"github.com/valyala/fasthttp"
)

// conn is one connection and the request that it serves just now.
type conn struct {
	*Server
	nc  net.Conn
	br  *bufio.Reader
	req fasthttp.Request
	out []byte // an answer being put together
	aux []byte // its body

	body  []byte // the request's, decompressed
	extra []byte // lines for the answer's head
}

// serve answers requests until the connection ends.
func (c *conn) serve() {
	if c.config.KeepAlive > 0 {
		_ = c.nc.SetReadDeadline(time.Now().Add(c.config.KeepAlive))
	}
	// No method begins as HTTP/2's preface does.
	if begin, err := c.br.Peek(4); err == nil && string(begin) == "PRI " {
		_ = c.nc.SetReadDeadline(time.Time{})
		c.serveHTTP2()
		return
	}
	for {
		if c.config.KeepAlive > 0 {
			_ = c.nc.SetReadDeadline(time.Now().Add(c.config.KeepAlive))
		}
		if _, err := c.br.Peek(1); err != nil {
			return
		}
		if c.config.KeepAlive > 0 {
			_ = c.nc.SetReadDeadline(time.Time{})
		}
		if err := c.read(); err != nil {
			status := 400
			if errors.Is(err, fasthttp.ErrBodyTooLarge) {
				status = 413
			}
			c.extra = c.extra[:0]
			_ = c.answer(status, openError(status, "cannot read the request: "+err.Error()), true)
			return
		}
		last := c.req.ConnectionClose()
		c.counters.active.Add(1)
		err := c.route(last)
		c.counters.active.Add(-1)
		if errors.Is(err, ErrCallerGone) {
			c.counters.cancelled.Add(1)
		}
		if err != nil || last {
			return
		}
	}
}

// read reads the next request whole.
func (c *conn) read() error {
	c.req.Reset()
	if err := c.req.ReadLimitBody(c.br, c.config.MaxBody); err != nil {
		return err
	}
	if !c.req.MayContinue() {
		return nil
	}
	if _, err := c.nc.Write([]byte("HTTP/1.1 100 Continue\r\n\r\n")); err != nil {
		return err
	}
	return c.req.ContinueReadBody(c.br, c.config.MaxBody)
}

// watch returns a context that ends with ErrCallerGone when the caller closes
// its connection. What it sends meanwhile, the next request, is left where it is,
// and from then on the watch sees nothing. stop must be called before the
// connection is read again.
func (c *conn) watch() (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if _, err := c.br.Peek(1); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			cancel(ErrCallerGone)
		}
	}()
	return ctx, func() {
		_ = c.nc.SetReadDeadline(time.Unix(1, 0))
		<-ended
		_ = c.nc.SetReadDeadline(time.Time{})
		cancel(nil)
	}
}

// compute occupies the accelerator for n items.
func (c *conn) compute(n int) error {
	if c.accelerator.costs() {
		ctx, stop := c.watch()
		err := c.accelerator.run(ctx, n)
		stop()
		if err != nil {
			return err
		}
	}
	c.counters.call(n)
	return nil
}

// answer writes a whole response in one piece.
func (c *conn) answer(status int, body []byte, last bool) error {
	return c.answerAs("application/json", status, body, last)
}

func (c *conn) answerAs(contentType string, status int, body []byte, last bool) error {
	if status >= 400 {
		c.counters.failed.Add(1)
	}
	c.out = appendHead(c.out[:0], status, contentType, last)
	c.out = append(c.out, c.extra...)
	c.out = append(c.out, "content-length: "...)
	c.out = strconv.AppendInt(c.out, int64(len(body)), 10)
	c.out = append(c.out, "\r\n\r\n"...)
	if !c.req.Header.IsHead() {
		c.out = append(c.out, body...)
	}
	if _, err := c.nc.Write(c.out); err != nil {
		return fmt.Errorf("%w: %w", ErrCallerGone, err)
	}
	if status >= 500 && c.config.HangUp {
		return errHangUp
	}
	return nil
}

func appendHead(dst []byte, status int, contentType string, last bool) []byte {
	dst = append(dst, "HTTP/1.1 "...)
	dst = strconv.AppendInt(dst, int64(status), 10)
	dst = append(dst, ' ')
	dst = append(dst, fasthttp.StatusMessage(status)...)
	dst = append(dst, "\r\nserver: standin\r\ncontent-type: "...)
	dst = append(dst, contentType...)
	dst = append(dst, "\r\n"...)
	if last {
		dst = append(dst, "connection: close\r\n"...)
	}
	return dst
}
