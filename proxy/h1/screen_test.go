package h1

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/proxy"
	"github.com/fridaymesh/friday/proxy/config"
)

// piped is a connection on which what r gives arrives.
type piped struct {
	net.Conn

	r io.Reader
}

func (p piped) Read(b []byte) (int, error) { return p.r.Read(b) }

func limits() config.Limits {
	return config.Limits{MaxHeaders: 100, StreamIdleTimeout: config.Unlimited, DelayedCloseTimeout: time.Second}
}

// screened is what passes of in, and why no more.
func screened(r io.Reader) ([]byte, error) { return io.ReadAll(newScreen(piped{r: r}, limits())) }

func TestScreenStopsBehindUpgrade(t *testing.T) {
	const head = "GET / HTTP/1.1\r\nHost: h\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n"
	for name, through := range map[string]bool{"the protocol changes": true, "it does not": false} {
		t.Run(name, func(t *testing.T) {
			c := newScreen(piped{r: strings.NewReader(head + "\x81\x05hello")}, limits())
			b := make([]byte, 1000)
			n, err := c.Read(b)
			require.NoError(t, err)
			require.Equal(t, head, string(b[:n]), "what follows waits for the answer")
			if through {
				c.Through()
			}
			rest, err := io.ReadAll(c)
			if through {
				require.NoError(t, err)
				require.Equal(t, "\x81\x05hello", string(rest))
				return
			}
			require.NoError(t, err, "no line yet")
			_, err = c.pass([]byte("\r\n"))
			require.ErrorContains(t, err, "bad method")
		})
	}
}

// FuzzScreen: however the bytes come, the same of them pass; what passes is the
// beginning of what came; and another reader takes the same requests from it.
func FuzzScreen(f *testing.F) {
	for _, s := range []string{
		"GET / HTTP/1.1\r\nHost: h\r\n\r\nGET /2 HTTP/1.0\r\n\r\n",
		"\r\nPOST http://h/x?y HTTP/1.1\r\nHost: h:80\r\nContent-Length: 3\r\n\r\nabcPOST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n0\r\nX: y\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\nabc",
		"CONNECT h:1 HTTP/1.1\r\nHost: h:1\r\n\r\nxx", "OPTIONS * HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: x\r\nConnection: upgrade\r\nContent-Length: 1\r\n\r\nx\r\n",
		"GET / HTTP/1.1\nHost: h\n\n", "GET / HTTP/1.1\r\nHost: h\r\nX: a\r\n b\r\n\r\n", "G\x00\r\n", "ffffffffffffffff\r\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		all, err := screened(bytes.NewReader(in))
		slow, slowErr := screened(iotest.OneByteReader(bytes.NewReader(in)))
		require.Equal(t, string(all), string(slow))
		require.Equal(t, err == nil, slowErr == nil)
		require.True(t, bytes.HasPrefix(in, all))
		if err != nil {
			pe, ok := errors.AsType[*proxy.Error](err)
			require.True(t, ok)
			require.GreaterOrEqual(t, pe.Status, 400)
		}
		agree(t, all, err)
	})
}

// agree has net/http read what passed. It may refuse more, but must not find other
// requests: each that it finds is one that the screen has seen the end of.
func agree(t *testing.T, all []byte, bad error) {
	t.Helper()
	c := newScreen(nil, limits())
	var ends []int // of requests, as the screen sees them
	for i := range all {
		before := c.state
		_, err := c.pass(all[i : i+1])
		require.NoError(t, err, "what has passed passes")
		if before != inStart && c.state == inStart {
			ends = append(ends, i+1)
		}
	}
	br := bufio.NewReader(bytes.NewReader(all))
	for {
		r, err := http.ReadRequest(br)
		if err != nil {
			return // it refuses more than is refused here, such as targets that are no URIs
		}
		if r.Method == http.MethodConnect {
			return
		}
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			require.True(t, bad != nil || c.state != inStart, "a body that is whole here is not there: %v", err)
			return
		}
		at := len(all) - br.Buffered()
		if rest, _ := br.Peek(br.Buffered()); len(rest) < 4096-1 {
			require.Contains(t, ends, at, "a request ends elsewhere")
		}
	}
}

const ordinary = "POST /v1/chat/completions HTTP/1.1\r\nHost: model.example:8000\r\nUser-Agent: openai-python/3.54.0\r\nAccept: application/json\r\n" +
	"Accept-Encoding: gzip, deflate\r\nContent-Type: application/json\r\nAuthorization: Bearer sk-0123456789abcdef0123456789abcdef\r\n" +
	"X-Stainless-Lang: python\r\nX-Stainless-Runtime: CPython\r\nContent-Length: 120\r\nConnection: keep-alive\r\n\r\n"

func BenchmarkScreen(b *testing.B) {
	in := []byte(ordinary + strings.Repeat("x", 120))
	c := newScreen(nil, limits())
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	for b.Loop() {
		if n, err := c.pass(in); n != len(in) || err != nil {
			b.Fatal(n, err)
		}
	}
}

// FuzzChunks: what passes as a chunked body is one for another reader, which takes the
// same from it, and the next request begins where that ends.
func FuzzChunks(f *testing.F) {
	for _, s := range []string{
		"5\r\nhello\r\n0\r\n\r\n", "005;a=b\r\nhello\r\n0\r\nX: y\r\n\r\nGET / HTTP/1.1\r\n", "A\r\n0123456789\r\n000\r\n\r\n", "5\nhello\r\n0\r\n\r\n",
		"5 \r\nhello\r\n0\r\n\r\n", "fffffffffffffff\r\n", "1;a\rb\r\nx\r\n0\r\n\r\n", "2\r\nx\r\n0\r\n\r\n", "0\r\nX : y\r\n\r\n", "0\r\n y\r\n\r\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		c := newScreen(nil, limits())
		_, err := c.pass([]byte("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"))
		require.NoError(t, err)
		end := -1
		for i := range in {
			if _, err := c.pass(in[i : i+1]); err != nil {
				return
			}
			if c.state == inStart {
				end = i + 1
				break
			}
		}
		if end < 0 {
			return // not whole
		}
		br := bufio.NewReaderSize(bytes.NewReader(in), 1<<20)
		if _, err := io.Copy(io.Discard, httputil.NewChunkedReader(br)); err != nil {
			require.ErrorContains(t, err, "chunked encoding contains too much non-data", "%q", in)
			return
		}
		rest, err := io.ReadAll(br) // trailers, and what follows
		require.NoError(t, err)
		if _, after, ok := bytes.Cut(append([]byte("\r\n"), rest...), []byte("\r\n\r\n")); ok {
			require.Equal(t, string(in[end:]), string(after))
		} else {
			t.Fatalf("no end of %q", in)
		}
	})
}
