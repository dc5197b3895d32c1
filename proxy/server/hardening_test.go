package server

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/fridaymesh/friday/proxy"
	"github.com/fridaymesh/friday/proxy/config"
	"github.com/fridaymesh/friday/proxy/proxytest"
)

// Informational answers reach callers of either protocol from servers of either, and
// are not taken for the answer (RFC 9110 section 15.2).
func TestInformational(t *testing.T) {
	pairs(t, func(t *testing.T, client *http.Client, p proxy.UpstreamProtocol) {
		h := speaking(t, p, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Link", "</style.css>; rel=preload")
			w.WriteHeader(http.StatusEarlyHints)
			w.WriteHeader(http.StatusProcessing)
			_, _ = io.Copy(w, r.Body)
		})
		for range 3 { // on one connection
			var hints []string
			ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
				Got1xxResponse: func(code int, header textproto.MIMEHeader) error {
					hints = append(hints, fmt.Sprint(code, header.Get("Link")))
					return nil
				},
			})
			req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+h.address(), strings.NewReader("hello"))
			require.NoError(t, err)
			resp, err := client.Do(req)
			require.NoError(t, err)
			b, err := io.ReadAll(resp.Body)
			require.NoError(t, err)
			resp.Body.Close()
			require.Equal(t, "hello", string(b))
			require.Equal(t, []string{"103</style.css>; rel=preload", "102</style.css>; rel=preload"}, hints)
		}
	})
}

// HTTP/1.0 has no informational answers, what frames none goes no further, and a server
// cannot send them for ever.
func TestInformationalOdd(t *testing.T) {
	h, _ := limited(t, config.Limits{}, func(x *proxytest.Exchange) {
		switch {
		case strings.Contains(x.Raw(), "/endless"):
			for range 1000 {
				x.Write("HTTP/1.1 103 \r\n\r\n")
			}
		case strings.Contains(x.Raw(), "/none"):
			x.Write("HTTP/1.1 099 Odd\r\n\r\n")
		default:
			x.Write("HTTP/1.1 103 Early\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\nConnection: X-A\r\nX-A: 1\r\nX-B: 2\r\n\r\n")
			x.Write("HTTP/1.1 100 Continue\r\n\r\n")
		}
		x.Write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
	})
	c := proxytest.Dial(t, h.address())
	c.Send("GET / HTTP/1.0\r\n\r\n")
	require.Equal(t, 200, c.Response().Status)
	_, br := raw(t, h.address(), "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
	all, err := io.ReadAll(br)
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(string(all), "HTTP/1.1 103 Early Hints\r\nX-B: 2\r\n\r\nHTTP/1.1 200 OK\r\n"), "%q", all)
	for _, path := range []string{"/endless", "/none"} {
		_, br := raw(t, h.address(), "GET "+path+" HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
		all, err := io.ReadAll(br)
		require.NoError(t, err)
		require.Contains(t, string(all), "HTTP/1.1 502 ")
	}
}

// A route's idle timeout counts over either protocol, also where the listener has none.
func TestRoutesIdleTimeout(t *testing.T) {
	for name, client := range map[string]func(*testing.T) *http.Client{"HTTP1": caller, "HTTP2": http2Caller} {
		t.Run(name, func(t *testing.T) {
			up := proxytest.NewServer(t, func(x *proxytest.Exchange) { <-x.Gone() })
			h := newHouse(t, Options{})
			r := resources(up.Address())
			r.Listeners[0].Default.HTTP.Limits.StreamIdleTimeout = config.Unlimited
			idle := soon
			r.Listeners[0].Default.HTTP.Table.VirtualHosts[0].Routes[0].IdleTimeout = &idle
			require.NoError(t, h.Apply(r))
			resp, err := client(t).Get("http://" + h.address())
			require.NoError(t, err)
			resp.Body.Close()
			require.Equal(t, 504, resp.StatusCode)
		})
	}
}

// Between chunks there may be a line, but not one without end.
func TestChunkLineWithoutEnd(t *testing.T) {
	h := started(t, func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) })
	for _, line := range []string{"1;", "0000000000000000", "1\r\na"} {
		c, br := raw(t, h.address(), "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"+line)
		go func() {
			for {
				if _, err := c.Write(bytes.Repeat([]byte("a"), 1<<10)); err != nil {
					return
				}
			}
		}()
		resp, err := http.ReadResponse(br, nil)
		require.NoError(t, err, line)
		resp.Body.Close()
		require.Equal(t, 400, resp.StatusCode, line)
		c.Close()
	}
}

// Nobody is connected to whatever they name.
func TestConnectIsRefused(t *testing.T) {
	h, up := limited(t, config.Limits{}, nil)
	for _, target := range []string{"evil:80", "/"} {
		_, br := raw(t, h.address(), "CONNECT "+target+" HTTP/1.1\r\nHost: evil:80\r\n\r\nGET / HTTP/1.1\r\nHost: evil\r\n\r\n")
		all, err := io.ReadAll(br)
		require.NoError(t, err)
		require.Equal(t, 1, bytes.Count(all, []byte("HTTP/1.1 ")), "%q", all)
		require.Contains(t, string(all), "HTTP/1.1 501 ")
	}
	for _, fields := range [][]string{
		{":method", "CONNECT", ":authority", "evil:80"},
		{":method", "CONNECT", ":authority", "evil:80", ":scheme", "http", ":path", "/"},
		{":method", "GET", ":authority", "h", ":scheme", "http", ":path", "http://evil/"},
	} {
		require.Regexp(t, "^(400|501)$", status2(t, h.address(), fields...))
	}
	require.Equal(t, "200", status2(t, h.address(), ":method", "GET", ":authority", "h", ":scheme", "http", ":path", "/"))
	require.Len(t, up.Requests(), 1)
}

// status2 is the status of the answer to a head as it stands.
func status2(t *testing.T, address string, fields ...string) string {
	t.Helper()
	c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", address)
	require.NoError(t, err)
	defer c.Close()
	require.NoError(t, c.SetDeadline(time.Now().Add(10*time.Second)))
	_, err = io.WriteString(c, http2.ClientPreface)
	require.NoError(t, err)
	f := http2.NewFramer(c, c)
	f.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	require.NoError(t, f.WriteSettings())
	var block bytes.Buffer
	enc := hpack.NewEncoder(&block)
	for i := 0; i < len(fields); i += 2 {
		require.NoError(t, enc.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]}))
	}
	require.NoError(t, f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndHeaders: true, EndStream: true}))
	for {
		frame, err := f.ReadFrame()
		require.NoError(t, err)
		if head, ok := frame.(*http2.MetaHeadersFrame); ok {
			return head.PseudoValue("status")
		}
	}
}

// A panic wherever a body may have one ends its request, and no other.
func TestPanicsOfBodies(t *testing.T) {
	for name, body := range map[string]proxy.Body{
		"read":         panicBody{proxy.NoBody},
		"read at once": readyBody{panicBody{proxy.NoBody}},
		"close":        closePanics{proxy.NoBody},
		"close, ready": closePanics{proxy.NewBytesBody([]byte("ok"))},
	} {
		h := started(t, func(http.ResponseWriter, *http.Request) {})
		r := resources("127.0.0.1:1")
		r.Listeners[0].Default.HTTP.Filters = []config.Filter{{Name: "bad", Factory: bodyFactory{body: body}, Config: new(int)}}
		require.NoError(t, h.Apply(r))
		for _, client := range []*http.Client{caller(t), http2Caller(t)} {
			resp, err := client.Get("http://" + h.address())
			if err == nil {
				_, _ = io.ReadAll(resp.Body)
				resp.Body.Close()
			}
		}
		_, br := raw(t, h.address(), "GET / HTTP/1.0\r\n\r\n")
		_, _ = io.ReadAll(br)
		require.Eventually(t, func() bool {
			return h.access.FilterField(zap.String("response_flag", "INT")).Len() == 3
		}, 5*time.Second, time.Millisecond, name)
	}
}

type readyBody struct{ panicBody }

func (readyBody) Len() int64 { return 2 }
func (readyBody) Ready() int { return 2 }

type closePanics struct{ proxy.Body }

func (closePanics) Close() error { panic("bug") }

type bodyFactory struct {
	panicFactory

	body proxy.Body
}

func (f bodyFactory) Build(proxy.FilterConfig, proxy.Env) (proxy.Filter, error) {
	return bodyFilter{f.body}, nil
}

type bodyFilter struct{ body proxy.Body }

func (f bodyFilter) Handle(context.Context, *proxy.Request, proxy.Handler) (*proxy.Response, error) {
	r := proxy.NewResponse()
	r.Header.SetStatusCode(200)
	r.Body = f.body
	return r, nil
}

// Whoever waits to be told to send is told, however it writes that.
func TestExpectHoweverItIsWritten(t *testing.T) {
	h, _ := limited(t, config.Limits{}, nil)
	for _, line := range []string{"Expect: 100-continue", "expect: 100-continue", "EXPECT:100-Continue"} {
		c, br := raw(t, h.address(), "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n"+line+"\r\n\r\n")
		for _, want := range []string{"HTTP/1.1 100 Continue\r\n", "\r\n"} {
			got, err := br.ReadString('\n')
			require.NoError(t, err, line)
			require.Equal(t, want, got, line)
		}
		_, err := io.WriteString(c, "ok")
		require.NoError(t, err)
		resp, err := http.ReadResponse(br, nil)
		require.NoError(t, err)
		resp.Body.Close()
		require.Equal(t, 200, resp.StatusCode)
	}
}
