package fidelity_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
)

// request is what goes over the wire, as it stands.
type request struct {
	method, uri string
	header      []string // "name: value"
	body        []byte
	chunked     bool
}

// post is a request as most clients write it.
func post(uri, body string, header ...string) *request {
	return &request{method: "POST", uri: uri, header: append([]string{"content-type: application/json"}, header...), body: []byte(body)}
}

func (r *request) wire() []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nhost: model.test\r\n", r.method, r.uri)
	for _, line := range r.header {
		b.WriteString(line + "\r\n")
	}
	switch {
	case r.chunked:
		half := len(r.body) / 2
		b.WriteString("transfer-encoding: chunked\r\n\r\n")
		for _, part := range [][]byte{r.body[:half], r.body[half:]} {
			if len(part) > 0 {
				fmt.Fprintf(&b, "%x\r\n%s\r\n", len(part), part)
			}
		}
		b.WriteString("0\r\n\r\n")
	case len(r.body) > 0 || r.method == "POST" || r.method == "PUT":
		b.WriteString("content-length: " + strconv.Itoa(len(r.body)) + "\r\n\r\n")
		b.Write(r.body)
	default:
		b.WriteString("\r\n")
	}
	return []byte(b.String())
}

// String is the request as a failure shows it.
func (r *request) String() string {
	text := string(r.wire())
	return text[:min(len(text), 2000)]
}

// answer is what came back, or why nothing did.
type answer struct {
	status int
	header http.Header
	body   []byte
	err    error
}

func (a *answer) String() string {
	if a.err != nil {
		return "no answer: " + a.err.Error()
	}
	return fmt.Sprintf("%d %v %s", a.status, a.header, a.body[:min(len(a.body), 2000)])
}

// caller is a client with one connection at a time.
type caller struct {
	t       testing.TB
	address string
	nc      net.Conn
	br      *bufio.Reader
}

func newCaller(t testing.TB, address string) *caller {
	t.Helper()
	return &caller{t: t, address: address}
}

// ask sends r and reads its answer. Where ctx ends first, the connection is closed.
func (c *caller) ask(ctx context.Context, r *request) *answer {
	if c.nc == nil {
		nc, err := (&net.Dialer{}).DialContext(ctx, "tcp", c.address)
		if err != nil {
			return &answer{err: err}
		}
		c.nc, c.br = nc, bufio.NewReader(nc)
	}
	unhook := context.AfterFunc(ctx, func() { _ = c.nc.Close() })
	a := c.exchange(r)
	if !unhook() {
		a.err = errors.Join(ctx.Err(), a.err)
	}
	if a.err != nil || a.header.Get("Connection") == "close" {
		c.close()
	}
	return a
}

func (c *caller) exchange(r *request) *answer {
	if err := c.nc.SetDeadline(time.Now().Add(patience)); err != nil {
		return &answer{err: err}
	}
	if _, err := c.nc.Write(r.wire()); err != nil {
		return &answer{err: err}
	}
	resp, err := http.ReadResponse(c.br, &http.Request{Method: r.method})
	if err != nil {
		return &answer{err: err}
	}
	defer resp.Body.Close()
	if resp.Close {
		resp.Header.Set("Connection", "close")
	}
	body, err := io.ReadAll(resp.Body)
	return &answer{status: resp.StatusCode, header: resp.Header, body: body, err: err}
}

func (c *caller) close() {
	if c.nc != nil {
		_ = c.nc.Close()
		c.nc = nil
	}
}
