package proxytest

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/textproto"
	"strconv"
	"strings"
	"sync"
)

// Request is what the server received.
type Request struct {
	// Number counts the server's requests, Connection its connections, and both
	// begin at 1.
	Number, Connection int
	// Method, Target and Proto are the request line's.
	Method, Target, Proto string

	header lines

	mu      sync.Mutex
	raw     []byte // every byte received so far
	body    []byte // of it, the content so far
	ended   bool
	trailer lines
}

// Raw is every byte of the request received so far, as it came.
func (r *Request) Raw() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return string(r.raw)
}

// Body is the content received so far, chunked coding taken off, and whether it
// is all.
func (r *Request) Body() (content string, ended bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return string(r.body), r.ended
}

// Header returns the value of a header, whatever its case; several lines joined
// by ", ".
func (r *Request) Header(name string) string { return r.header.get(name) }

// HeaderLines are the header's lines, as they came.
func (r *Request) HeaderLines() []string { return r.header }

// Trailer returns the value of a trailer, once the content has ended.
func (r *Request) Trailer(name string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.trailer.get(name)
}

// lines are header lines without their ends.
type lines []string

func (l lines) get(name string) string {
	var values []string
	for _, line := range l {
		if n, v, ok := strings.Cut(line, ":"); ok && strings.EqualFold(n, name) {
			values = append(values, strings.TrimSpace(v))
		}
	}
	return strings.Join(values, ", ")
}

var errFraming = errors.New("bad framing")

func readRequest(br *bufio.Reader) (*Request, error) {
	first, header, raw, err := readHead(br)
	if err != nil {
		return nil, err
	}
	r := &Request{header: header, raw: raw}
	var ok1, ok2 bool
	r.Method, first, ok1 = strings.Cut(first, " ")
	r.Target, r.Proto, ok2 = strings.Cut(first, " ")
	if !ok1 || !ok2 {
		return nil, fmt.Errorf("%w: %q", errFraming, raw)
	}
	return r, nil
}

// readHead reads up to and with the empty line.
func readHead(br *bufio.Reader) (first string, header lines, raw []byte, err error) {
	for {
		line, err := br.ReadString('\n')
		raw = append(raw, line...)
		if err != nil {
			return "", nil, raw, err
		}
		line = strings.TrimRight(line, "\r\n")
		switch {
		case line == "":
			return first, header, raw, nil
		case first == "":
			first = line
		default:
			header = append(header, line)
		}
	}
}

// content reads a message's content piece by piece (RFC 9112 section 6).
type content struct {
	br      *bufio.Reader
	chunked bool
	left    int64 // of the content, or of the chunk
	ended   bool
	trailer lines
	// seen gets every byte as it came.
	seen func(raw []byte)
}

// bodyOf finds the framing of a request's content.
func bodyOf(r *Request, br *bufio.Reader, seen func([]byte)) (*content, error) {
	c := &content{br: br, seen: seen}
	if strings.EqualFold(r.Header("transfer-encoding"), "chunked") {
		c.chunked = true
		return c, nil
	}
	if v := r.Header("content-length"); v != "" {
		n, err := strconv.ParseInt(v, 10, 64)
		if err != nil || n < 0 {
			return nil, fmt.Errorf("%w: content-length %q", errFraming, v)
		}
		c.left = n
	}
	c.ended = c.left == 0
	return c, nil
}

// next returns what is ready of the content, in one piece no larger than a chunk,
// and io.EOF after the last.
func (c *content) next() ([]byte, error) {
	if c.ended {
		return nil, io.EOF
	}
	if c.chunked && c.left == 0 {
		if err := c.nextChunk(); err != nil {
			return nil, err
		}
	}
	b := make([]byte, min(c.left, 64<<10))
	n, err := c.br.Read(b)
	c.seen(b[:n])
	c.left -= int64(n)
	if err != nil {
		return b[:n], unexpected(err)
	}
	if c.left == 0 && c.chunked {
		return b[:n], c.line("")
	}
	c.ended = c.left == 0
	return b[:n], nil
}

func (c *content) nextChunk() error {
	text, err := c.readLine()
	if err != nil {
		return err
	}
	size, _, _ := strings.Cut(text, ";")
	if c.left, err = strconv.ParseInt(strings.TrimSpace(size), 16, 64); err != nil || c.left < 0 {
		return fmt.Errorf("%w: chunk size %q", errFraming, text)
	}
	if c.left > 0 {
		return nil
	}
	for {
		text, err := c.readLine()
		if err != nil {
			return err
		}
		if text == "" {
			c.ended = true
			return io.EOF
		}
		c.trailer = append(c.trailer, text)
	}
}

func (c *content) line(want string) error {
	if got, err := c.readLine(); err != nil || got != want {
		return errors.Join(err, fmt.Errorf("%w: line %q, want %q", errFraming, got, want))
	}
	return nil
}

func (c *content) readLine() (string, error) {
	line, err := c.br.ReadString('\n')
	c.seen([]byte(line))
	return textproto.TrimString(line), unexpected(err)
}

// unexpected says that an end in the middle is not the end.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
