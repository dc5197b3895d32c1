package upstream

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http/httputil"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp"
)

// What the standard library reads as chunked content is read the same here; and
// nothing makes it panic or go on after an error.
func FuzzChunked(f *testing.F) {
	for _, s := range []string{
		"3\r\nabc\r\n0\r\n\r\n", "0\r\n\r\n", "1\r\na\r\n1\r\nb\r\n0\r\nx: y\r\n\r\n", "3;a=b\r\nabc\r\n0\r\n\r\n",
		"zz\r\n", "3\r\nabcd\r\n0\r\n\r\n", "", "5\r\nab", "ffffffffffffffff\r\n", "3 \r\nabc\r\n0\r\n\r\n", "3\nabc\n0\n\n",
	} {
		f.Add([]byte(s), 3)
	}
	f.Fuzz(func(t *testing.T, in []byte, size int) {
		b := &body{remaining: chunked}
		br := bufio.NewReaderSize(bytes.NewReader(in), headBuffer)
		buf := make([]byte, 1+(size&0xff))
		var got []byte
		var err error
		for err == nil {
			var n int
			n, err = b.readChunked(br, buf)
			got = append(got, buf[:n]...)
		}
		want, stdErr := io.ReadAll(httputil.NewChunkedReader(bytes.NewReader(in)))
		if errors.Is(err, io.EOF) && stdErr == nil {
			require.Equal(t, want, append([]byte{}, got...))
		}
	})
}

// A head that fasthttp takes is sent as one that fasthttp takes again, with the
// same target and without what belongs to one connection.
func FuzzHead(f *testing.F) {
	for _, s := range []string{
		"GET / HTTP/1.1\r\nHost: h\r\n\r\n",
		"POST /x HTTP/1.1\r\nHost: h\r\nConnection: close, a,b\r\na: 1\r\nB: 2\r\nContent-Length: 3\r\n\r\n",
		"GET / HTTP/1.0\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: h\r\nconnection:\r\nCONNECTION: x-y\r\nX-Y: 1\r\nTE: trailers\r\n\r\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		parse := func(b []byte) (*fasthttp.RequestHeader, error) {
			h := new(fasthttp.RequestHeader)
			h.DisableNormalizing()
			h.SetNoDefaultContentType(true)
			return h, h.Read(bufio.NewReaderSize(bytes.NewReader(b), 64<<10))
		}
		h, err := parse(in)
		if err != nil {
			return
		}
		out := appendHead(nil, h, "server:80", nil)
		again, err := parse(out)
		require.NoError(t, err, "%q", out)
		require.Equal(t, h.Method(), again.Method())
		require.Equal(t, h.RequestURI(), again.RequestURI())
		require.Equal(t, h.ContentLength(), again.ContentLength())
		require.Equal(t, h.Host(), again.Host())
		require.False(t, again.ConnectionClose())
		for k := range again.AllInOrder() {
			require.False(t, bytes.EqualFold(k, []byte("connection")), "%q", out)
		}
	})
}
