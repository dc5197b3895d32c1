package proxytest

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"
)

// Exchange is one request and what the script does with it. Its methods are for
// the script's goroutine. Writing to a caller that has gone is no error: scripts
// test others.
type Exchange struct {
	// Request is what has been received; of the content, what has been read.
	*Request

	s    *Server
	conn net.Conn
	br   *bufio.Reader

	content *content
	failed  error // reading the content
	ended   bool  // the script ended the connection
	gone    chan struct{}
}

// ReadPart reads what is there of the content and returns it, and whether there
// is more to come.
func (x *Exchange) ReadPart() (part string, more bool) {
	if x.gone != nil {
		return "", false // it was read before
	}
	x.open()
	if x.failed != nil {
		return "", false
	}
	b, err := x.content.next()
	x.mu.Lock()
	defer x.mu.Unlock()
	x.body = append(x.body, b...)
	x.Request.ended = x.content.ended
	x.trailer = x.content.trailer
	if err != nil && !errors.Is(err, io.EOF) {
		x.failed = err
	}
	return string(b), err == nil && !x.content.ended
}

// open finds the framing of the content.
func (x *Exchange) open() {
	if x.content != nil || x.failed != nil {
		return
	}
	x.content, x.failed = bodyOf(x.Request, x.br, func(raw []byte) {
		x.mu.Lock()
		defer x.mu.Unlock()
		x.raw = append(x.raw, raw...)
	})
}

// ReadBody reads the content to its end and returns it. An error is the caller's
// leaving it unfinished.
func (x *Exchange) ReadBody() (string, error) {
	for more := true; more; {
		_, more = x.ReadPart()
	}
	content, _ := x.Body()
	return content, x.failed
}

// Write sends bytes as they are.
func (x *Exchange) Write(raw string) {
	if !x.ended {
		_, _ = io.WriteString(x.conn, raw) // see Exchange
	}
}

// WriteHead sends a status line (HTTP/1.1) and headers, each a line such as
// "name: value".
func (x *Exchange) WriteHead(status int, headers ...string) {
	x.Write(head("HTTP/1.1", status, headers))
}

func head(proto string, status int, headers []string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %d Status\r\n", proto, status)
	for _, h := range headers {
		b.WriteString(h + "\r\n")
	}
	return b.String() + "\r\n"
}

// WriteChunk sends one chunk.
func (x *Exchange) WriteChunk(data string) { x.Write(chunk(data)) }

func chunk(data string) string { return fmt.Sprintf("%x\r\n%s\r\n", len(data), data) }

// EndChunks sends the last chunk and trailers.
func (x *Exchange) EndChunks(trailers ...string) { x.Write(lastChunk(trailers)) }

func lastChunk(trailers []string) string {
	return "0\r\n" + strings.Join(append(trailers, ""), "\r\n") + "\r\n"
}

// Close ends the connection in order. (The kernel makes a reset of it where the
// caller has sent what nobody has read.)
func (x *Exchange) Close() {
	x.ended = true
	_ = x.conn.Close() // it is gone either way
}

// Reset ends the connection with a TCP reset, so that the caller may lose what it
// has not read yet.
func (x *Exchange) Reset() {
	x.ended = true
	_ = reset(x.conn.(*net.TCPConn)) //nolint:forcetypeassert // the listener is TCP's
}

func reset(c *net.TCPConn) error { return errors.Join(c.SetLinger(0), c.Close()) }

// Sleep takes as long as a model would, or less where the server is closed or,
// the content having been read, the caller goes.
func (x *Exchange) Sleep(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-x.s.quit:
	case <-x.goneIfRead():
	}
}

// Receive waits for gate, and says whether it came before the end of the server
// or, the content having been read, of the caller.
func (x *Exchange) Receive(gate <-chan struct{}) bool {
	select {
	case <-gate:
		return true
	case <-x.s.quit:
	case <-x.goneIfRead():
	}
	return false
}

// goneIfRead is Gone, where that can be known.
func (x *Exchange) goneIfRead() <-chan struct{} {
	x.open()
	if x.failed == nil && !x.content.ended {
		return nil
	}
	return x.Gone()
}

// Gone is closed when the caller has closed or reset the connection, or sends
// another request; all of them end what a server works on. What is left of the
// content is read first.
func (x *Exchange) Gone() <-chan struct{} {
	if x.gone != nil {
		return x.gone
	}
	_, _ = x.ReadBody() // then it is gone, too
	gone := make(chan struct{})
	x.gone = gone
	x.s.done.Go(func() {
		defer close(gone)
		_, _ = x.br.Peek(1) // any outcome will do
	})
	return gone
}

// finish gets the connection ready for the next request, and says whether there
// may be one.
func (x *Exchange) finish() bool {
	keeps := !x.ended && x.Proto == "HTTP/1.1" && !strings.EqualFold(x.Header("connection"), "close")
	if keeps {
		_, err := x.ReadBody()
		keeps = err == nil
	}
	if !keeps {
		_ = x.conn.Close() // perhaps once more
	} else {
		x.s.change(func() { x.s.open[x.conn] = true })
	}
	if x.gone != nil {
		<-x.gone // the next request, or the end; nobody else may read until then
	}
	return keeps
}
