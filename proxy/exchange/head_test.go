package exchange

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp"

	"github.com/fridaymesh/friday/proxy"
)

func TestCopyHead(t *testing.T) {
	src := proxy.NewResponse()
	for _, kv := range [][2]string{
		{"Content-Type", "a/b"},
		{"Connection", "X-Hop, close"},
		{"x-hop", "1"},
		{"Keep-Alive", "timeout=5"},
		{"Upgrade", "h2c"},
		{"Link", "a"},
		{"Set-Cookie", "c=1"},
		{"Set-Cookie", "d=2"},
	} {
		src.Header.Add(kv[0], kv[1])
	}
	src.Header.SetStatusCode(http.StatusTeapot)
	var dst fasthttp.ResponseHeader
	CopyHead(&dst, &src.Header)
	got := dst.String()
	for _, want := range []string{" 418 ", "Content-Type: a/b\r\n", "Link: a\r\n", "Set-Cookie: c=1\r\n", "Set-Cookie: d=2\r\n"} {
		require.Contains(t, got, want)
	}
	for _, not := range []string{"Connection", "x-hop", "Keep-Alive", "Upgrade"} {
		require.NotContains(t, got, not)
	}
}
