package proxytest

import (
	"bufio"
	"errors"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Client is one connection of a caller. Its methods fail the test where the wire
// does not give what they are for; Try* return the error instead.
type Client struct {
	t    testing.TB
	conn *net.TCPConn
	br   *bufio.Reader

	sent []string // methods of the requests not answered yet
}

// Response is the head of an answer.
type Response struct {
	Proto  string
	Status int
	// Raw is the head as it came.
	Raw string

	header  lines
	content *content
	toEnd   bool // the content ends with the connection
}

// Dial connects to address (host:port). The connection ends with the test.
func Dial(t testing.TB, address string) *Client {
	t.Helper()
	d := net.Dialer{Timeout: Patience}
	c, err := d.DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatalf("dial: %v", err)
	}
	client := &Client{t: t, conn: c.(*net.TCPConn), br: bufio.NewReader(c)} //nolint:forcetypeassert // tcp was asked for
	t.Cleanup(client.Close)
	return client
}

// Send writes bytes as they are. A piece that begins a request must hold its
// method; an answer to HEAD is known by it.
func (c *Client) Send(raw string) {
	c.t.Helper()
	if err := c.TrySend(raw); err != nil {
		c.t.Fatalf("send: %v", err)
	}
}

// TrySend is Send where the other end may have gone.
func (c *Client) TrySend(raw string) error {
	if method, rest, ok := strings.Cut(raw, " "); ok && strings.Contains(rest, " HTTP/1.") && method == strings.ToUpper(method) {
		c.sent = append(c.sent, method)
	}
	if err := c.conn.SetWriteDeadline(time.Now().Add(Patience)); err != nil {
		return err
	}
	_, err := io.WriteString(c.conn, raw)
	return err
}

// SendChunk writes one chunk of a request.
func (c *Client) SendChunk(data string) {
	c.t.Helper()
	c.Send(chunk(data))
}

// EndChunks writes the last chunk and trailers.
func (c *Client) EndChunks(trailers ...string) {
	c.t.Helper()
	c.Send(lastChunk(trailers))
}

// Post sends a whole request with a body of known length.
func (c *Client) Post(target, body string, headers ...string) {
	c.t.Helper()
	h := append([]string{"host: test", "content-length: " + strconv.Itoa(len(body))}, headers...)
	c.Send("POST " + target + " HTTP/1.1\r\n" + strings.Join(h, "\r\n") + "\r\n\r\n" + body)
}

// Get sends a whole request without a body.
func (c *Client) Get(target string, headers ...string) {
	c.t.Helper()
	h := append([]string{"host: test"}, headers...)
	c.Send("GET " + target + " HTTP/1.1\r\n" + strings.Join(h, "\r\n") + "\r\n\r\n")
}

// Response reads the head of the next answer. Informational ones (1xx) count, and
// do not end the wait for the final one.
func (c *Client) Response() *Response {
	c.t.Helper()
	r, err := c.TryResponse()
	if err != nil {
		c.t.Fatalf("read an answer's head: %v", err)
	}
	return r
}

// TryResponse is Response where there may be none: io.EOF where the connection
// ended in order instead.
func (c *Client) TryResponse() (*Response, error) {
	if err := c.conn.SetReadDeadline(time.Now().Add(Patience)); err != nil {
		return nil, err
	}
	first, header, raw, err := readHead(c.br)
	if err != nil {
		if len(raw) > 0 {
			err = unexpected(err)
		}
		return nil, err
	}
	r := &Response{Raw: string(raw), header: header}
	proto, rest, _ := strings.Cut(first, " ")
	status, _, _ := strings.Cut(rest, " ")
	r.Proto = proto
	if r.Status, err = strconv.Atoi(status); err != nil || !strings.HasPrefix(proto, "HTTP/1.") {
		return nil, errors.Join(errFraming, err)
	}
	if err := c.frame(r); err != nil {
		return nil, err
	}
	return r, nil
}

// frame finds the framing of r's content (RFC 9112 section 6.3).
func (c *Client) frame(r *Response) error {
	method := ""
	if len(c.sent) > 0 {
		method = c.sent[0]
	}
	if r.Status >= 200 && len(c.sent) > 0 {
		c.sent = c.sent[1:]
	}
	r.content = &content{br: c.br, seen: func([]byte) {}}
	length := r.Header("content-length")
	switch {
	case r.Status < 200, r.Status == 204, r.Status == 304, method == "HEAD":
		r.content.ended = true
	case strings.EqualFold(r.Header("transfer-encoding"), "chunked"):
		r.content.chunked = true
	case length != "":
		n, err := strconv.ParseInt(length, 10, 64)
		if err != nil {
			return errors.Join(errFraming, err)
		}
		r.content.left, r.content.ended = n, n == 0
	default:
		r.toEnd = true
	}
	return nil
}

// Header returns the value of a header, whatever its case; several lines joined
// by ", ".
func (r *Response) Header(name string) string { return r.header.get(name) }

// HeaderLines are the header's lines, as they came.
func (r *Response) HeaderLines() []string { return r.header }

// Trailer returns the value of a trailer, once the content has ended.
func (r *Response) Trailer(name string) string { return r.content.trailer.get(name) }

// Chunk reads what comes next of r's content: one chunk, or less of a large one,
// or, where it is not chunked, what is there. False after the last.
func (c *Client) Chunk(r *Response) (data string, ok bool) {
	c.t.Helper()
	data, err := c.TryChunk(r)
	if err != nil && !errors.Is(err, io.EOF) {
		c.t.Fatalf("read an answer's content: %v", err)
	}
	return data, err == nil
}

// TryChunk is Chunk where the content may be cut short: io.EOF after the last
// piece, io.ErrUnexpectedEOF or a reset before it.
func (c *Client) TryChunk(r *Response) (string, error) {
	if err := c.conn.SetReadDeadline(time.Now().Add(Patience)); err != nil {
		return "", err
	}
	if r.toEnd {
		b := make([]byte, 64<<10)
		n, err := c.br.Read(b)
		return string(b[:n]), err
	}
	b, err := r.content.next()
	return string(b), err
}

// Body reads the rest of r's content.
func (c *Client) Body(r *Response) string {
	c.t.Helper()
	body, err := c.TryBody(r)
	if err != nil {
		c.t.Fatalf("read an answer's content: %v (got %q)", err, body)
	}
	return body
}

// TryBody is Body where the content may be cut short; it returns what came.
func (c *Client) TryBody(r *Response) (string, error) {
	var b strings.Builder
	for {
		part, err := c.TryChunk(r)
		b.WriteString(part)
		if errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return b.String(), nil
		}
		if err != nil {
			return b.String(), err
		}
	}
}

// WaitClosed waits until the other end closes or resets the connection. Bytes
// that come instead fail the test.
func (c *Client) WaitClosed() {
	c.t.Helper()
	if err := c.conn.SetReadDeadline(time.Now().Add(Patience)); err != nil {
		c.t.Fatalf("connection: %v", err)
	}
	b, err := c.br.Peek(1)
	if ne, ok := errors.AsType[net.Error](err); err == nil || ok && ne.Timeout() {
		c.t.Fatalf("the connection was not closed: %q, %v", b, err)
	}
}

// CloseWrite sends no more (a half-close); answers can still be read.
func (c *Client) CloseWrite() { _ = c.conn.CloseWrite() }

// Reset ends the connection with a TCP reset.
func (c *Client) Reset() { _ = reset(c.conn) }

// Close ends the connection in order. Once more does no harm.
func (c *Client) Close() { _ = c.conn.Close() }

// LocalAddr is the connection's own address, as the other end sees it.
func (c *Client) LocalAddr() net.Addr { return c.conn.LocalAddr() }
