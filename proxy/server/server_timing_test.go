package server

import (
	"bufio"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp"
	"go.uber.org/zap"

	"github.com/fridaymesh/friday/proxy/config"
)

// BenchmarkPassThrough is one request and its 1 KiB answer through the house,
// caller and model server included.
func BenchmarkPassThrough(b *testing.B) {
	ln, err := (&net.ListenConfig{}).Listen(b.Context(), "tcp", "127.0.0.1:0")
	require.NoError(b, err)
	answer := []byte(strings.Repeat("x", 1024))
	up := &fasthttp.Server{Handler: func(ctx *fasthttp.RequestCtx) { ctx.SetBody(answer) }}
	go up.Serve(ln)
	defer up.Shutdown()
	s, err := New(Options{Log: zap.NewNop(), Access: zap.NewNop()})
	require.NoError(b, err)
	defer s.Close()
	r := resources(ln.Addr().String())
	r.Listeners[0].Default.HTTP.AccessLog = config.LogErrors
	require.NoError(b, s.Apply(r))
	request := []byte("POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: 120\r\n\r\n" + strings.Repeat("y", 120))
	for name, address := range map[string]string{"direct": ln.Addr().String(), "friday": s.Addresses()["in"]} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				c, err := net.Dial("tcp", address)
				if err != nil {
					b.Error(err)
					return
				}
				defer c.Close()
				br := bufio.NewReader(c)
				var h fasthttp.ResponseHeader
				for pb.Next() {
					if _, err := c.Write(request); err != nil {
						b.Error(err)
						return
					}
					if err := h.Read(br); err != nil {
						b.Error(err)
						return
					}
					if _, err := io.CopyN(io.Discard, br, int64(h.ContentLength())); err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
}
