package load

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/fridaymesh/friday/bench/clock"
)

// Target is a server and how to speak to it.
type Target struct {
	// Address is host:port.
	Address string
	// Prefix begins every path; empty or "/…".
	Prefix string
	// Header lines, "name: value", go with every request.
	Header []string
	// Dial makes the way of one caller, whose requests may each take as long as
	// timeout; nothing is sent before the first of them. nil: [HTTP].
	Dial func(t *Target, timeout time.Duration) Link
}

// ParseTarget reads http://host[:port][/prefix] or host:port.
func ParseTarget(text string) (Target, error) {
	if !strings.Contains(text, "://") {
		text = "http://" + text
	}
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return Target{}, fmt.Errorf("target: %w", err)
	case u.Scheme != "http":
		return Target{}, fmt.Errorf("target %q: the scheme %q is not http", text, u.Scheme)
	case u.Hostname() == "":
		return Target{}, fmt.Errorf("target %q: has no host", text)
	case u.RawQuery != "" || u.User != nil:
		return Target{}, fmt.Errorf("target %q: has more than host, port and path", text)
	}
	port := u.Port()
	if port == "" {
		port = "80"
	}
	address := net.JoinHostPort(u.Hostname(), port)
	if _, _, err := net.SplitHostPort(address); err != nil {
		return Target{}, fmt.Errorf("target %q: %w", text, err)
	}
	return Target{Address: address, Prefix: strings.TrimSuffix(u.EscapedPath(), "/")}, nil
}

// appendRequest appends a POST of body; header has whole lines.
func (t *Target) appendRequest(dst []byte, path string, header, body []byte) []byte {
	dst = append(dst, "POST "...)
	dst = append(dst, t.Prefix...)
	dst = append(dst, path...)
	dst = append(dst, " HTTP/1.1\r\nhost: "...)
	dst = append(dst, t.Address...)
	dst = append(dst, "\r\n"...)
	dst = append(dst, header...)
	dst = append(dst, "content-length: "...)
	dst = strconv.AppendInt(dst, int64(len(body)), 10)
	for _, line := range t.Header {
		dst = append(dst, "\r\n"...)
		dst = append(dst, line...)
	}
	dst = append(dst, "\r\n\r\n"...)
	return append(dst, body...)
}

// link is one keep-alive connection of one caller. It is dialled when needed and
// again after a failure.
type link struct {
	target  *Target
	timeout time.Duration
	leave   time.Duration // after so long the next call is given up; 0: not
	nc      net.Conn
	br      *bufio.Reader
	resp    fasthttp.Response
	dialled uint64
	unhook  func() bool
	used    int64 // when the last answer had come
}

func (l *link) leaveAfter(d time.Duration) { l.leave = d }

// send writes a whole request, on a new connection where there is none.
func (l *link) send(ctx context.Context, request []byte) error {
	if l.nc == nil {
		d := net.Dialer{Timeout: l.timeout}
		nc, err := d.DialContext(ctx, "tcp", l.target.Address)
		if err != nil {
			return &failure{"connect", err}
		}
		l.nc = nc
		l.used = clock.Now()
		l.dialled++
		if l.br == nil {
			l.br = bufio.NewReaderSize(nc, 16<<10)
		}
		l.br.Reset(nc)
		l.unhook = context.AfterFunc(ctx, func() { _ = nc.SetDeadline(time.Unix(1, 0)) })
	}
	patience := l.timeout
	if l.leave > 0 {
		patience = l.leave
	}
	_ = l.nc.SetDeadline(time.Now().Add(patience))
	if ctx.Err() != nil { // looked at after the line above, so that the hook's deadline stands
		_ = l.nc.SetDeadline(time.Unix(1, 0))
	}
	if _, err := l.nc.Write(request); err != nil {
		return l.broken(err)
	}
	return nil
}

// call sends a request and reads its answer, whose body is valid until the next
// call.
func (l *link) call(ctx context.Context, request []byte) ([]byte, error) {
	if err := l.send(ctx, request); err != nil {
		return nil, err
	}
	l.resp.Reset()
	if err := l.resp.ReadLimitBody(l.br, 256<<20); err != nil {
		return nil, l.broken(err)
	}
	l.used = clock.Now()
	if l.resp.ConnectionClose() {
		l.close()
	}
	body := l.resp.Body()
	if status := l.resp.StatusCode(); status != fasthttp.StatusOK {
		return nil, &failure{strconv.Itoa(status), errors.New(strings.TrimSpace(string(body[:min(len(body), 200)])))}
	}
	return body, nil
}

// broken closes the connection and says of what kind its failure was.
func (l *link) broken(err error) error {
	l.close()
	var kind string
	_, isNet := errors.AsType[net.Error](err)
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, fasthttp.ErrTimeout):
		kind = "timeout"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), isNet:
		kind = "reset"
	default:
		kind = "protocol"
	}
	return &failure{kind, err}
}

func (l *link) close() {
	if l.nc != nil {
		l.unhook()
		_ = l.nc.Close()
		l.nc = nil
	}
}

// failure is a request without an answer of status 200.
type failure struct {
	kind string
	err  error
}

func (f *failure) Error() string { return f.kind + ": " + f.err.Error() }
func (f *failure) Unwrap() error { return f.err }
