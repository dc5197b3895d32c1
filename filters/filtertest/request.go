package filtertest

import (
	"bytes"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp"

	"github.com/fridaymesh/friday/proxy"
)

// Cluster is the cluster of the requests and of the endpoints made here.
const Cluster = "models"

// Request makes a POST of JSON as the HTTP/1.1 codec would hand it on, with
// headers given as name, value, name, value.
func Request(path, body string, headers ...string) *proxy.Request {
	h := new(fasthttp.RequestHeader)
	h.DisableNormalizing()
	h.SetMethod("POST")
	h.SetRequestURI(path)
	h.SetHost("models.example")
	h.SetContentType("application/json")
	h.SetContentLength(len(body))
	for i := 0; i+1 < len(headers); i += 2 {
		h.Set(headers[i], headers[i+1])
	}
	return &proxy.Request{
		Header: h, Body: proxy.NewBytesBody([]byte(body)), Protocol: "http1", Start: time.Now(),
		Route: "default", Cluster: Cluster,
	}
}

// Spoil overwrites the memory of a request whose Handle has returned, as a codec
// does when it reads the next one: whoever still looks at it sees garbage.
func Spoil(req *proxy.Request) {
	body := req.Body
	if t, ok := body.(*trailed); ok {
		body = t.Body
	}
	if b, ok := body.(*proxy.BytesBody); ok {
		copy(b.Bytes(), bytes.Repeat([]byte{'#'}, len(b.Bytes())))
	}
	req.Header.Reset()
	req.Header.SetRequestURI("/spoiled")
}

// ReadBody reads and closes a Response and returns its body.
func ReadBody(tb testing.TB, resp *proxy.Response) string {
	tb.Helper()
	b, err := io.ReadAll(resp.Body)
	require.NoError(tb, err)
	require.NoError(tb, resp.Close())
	return string(b)
}

// Answer makes a Response whose body is in memory.
func Answer(status int, contentType, body string) *proxy.Response {
	r := proxy.NewResponse()
	r.Header.SetStatusCode(status)
	r.Header.SetContentType(contentType)
	r.Body = proxy.NewBytesBody([]byte(body))
	return r
}
