package server

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
)

const (
	askUpgrade = "GET /v1/realtime?model=m HTTP/1.1\r\nHost: h\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
	agreeUpgrade = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
)

// scripted is a server that gets each connection's head and its rest.
func scripted(t *testing.T, script func(head string, c *net.TCPConn, br *bufio.Reader)) string {
	t.Helper()
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer c.Close()
				br := bufio.NewReader(c)
				var head strings.Builder
				for {
					line, err := br.ReadString('\n')
					if err != nil {
						return
					}
					if head.WriteString(line); line == "\r\n" {
						break
					}
				}
				script(head.String(), c.(*net.TCPConn), br)
			})
		}
	})
	t.Cleanup(func() {
		ln.Close()
		wg.Wait()
	})
	return ln.Addr().String()
}

func upgrading(t *testing.T, opts Options, idle time.Duration, script func(head string, c *net.TCPConn, br *bufio.Reader)) *house {
	t.Helper()
	h := newHouse(t, opts)
	r := resources(scripted(t, script))
	r.Listeners[0].Default.HTTP.Upgrades = []string{"websocket"}
	r.Listeners[0].Default.HTTP.Limits.StreamIdleTimeout = idle
	require.NoError(t, h.Apply(r))
	return h
}

func echoBytes(_ string, c *net.TCPConn, br *bufio.Reader) {
	io.WriteString(c, agreeUpgrade)
	io.Copy(c, br)
}

// tunnelled asks for an upgrade and gets it.
func tunnelled(t *testing.T, h *house, extra string) (net.Conn, *bufio.Reader) {
	t.Helper()
	c, br := raw(t, h.address(), askUpgrade+extra)
	resp, err := http.ReadResponse(br, nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusSwitchingProtocols, resp.StatusCode)
	require.Equal(t, "websocket", resp.Header.Get("Upgrade"))
	require.Equal(t, "Upgrade", resp.Header.Get("Connection"))
	require.Equal(t, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", resp.Header.Get("Sec-Websocket-Accept"))
	return c, br
}

func TestUpgradeIsATunnel(t *testing.T) {
	heads := make(chan string, 1)
	h := upgrading(t, Options{}, 0, func(head string, c *net.TCPConn, br *bufio.Reader) {
		heads <- head
		io.WriteString(c, agreeUpgrade+"hello")
		io.Copy(c, br)
	})
	c, br := tunnelled(t, h, "early")
	require.Equal(t, "GET /v1/realtime?model=m HTTP/1.1\r\nHost: h\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", <-heads)
	b := make([]byte, len("helloearly"))
	_, err := io.ReadFull(br, b)
	require.NoError(t, err)
	require.Equal(t, "helloearly", string(b))

	// Both ways at once, more than fits anywhere.
	const size = 3 << 20
	go io.Copy(c, io.LimitReader(zeros{}, size))
	n, err := io.CopyN(io.Discard, br, size)
	require.NoError(t, err)
	require.EqualValues(t, size, n)

	// The caller's end reaches the server, and the server's answer to it the caller.
	_, err = io.WriteString(c, "bye")
	require.NoError(t, err)
	require.NoError(t, c.(*net.TCPConn).CloseWrite())
	rest, err := io.ReadAll(br)
	require.NoError(t, err)
	require.Equal(t, "bye", string(rest))
	require.Eventually(t, func() bool { return h.access.Len() == 1 }, 5*time.Second, time.Millisecond)
	require.EqualValues(t, 101, h.access.All()[0].ContextMap()["status"])
	require.Eventually(t, func() bool { return testutil.ToFloat64(h.Metrics().UpstreamOpen.WithLabelValues("up")) == 0 }, 5*time.Second, time.Millisecond)
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// The server's end is the caller's.
func TestUpgradeServerCloses(t *testing.T) {
	h := upgrading(t, Options{}, 0, func(_ string, c *net.TCPConn, _ *bufio.Reader) {
		io.WriteString(c, agreeUpgrade+"last words")
	})
	_, br := tunnelled(t, h, "")
	rest, err := io.ReadAll(br)
	require.NoError(t, err)
	require.Equal(t, "last words", string(rest))
}

// A server that has something else to say says it, and the connection stays HTTP.
func TestUpgradeRefused(t *testing.T) {
	h := upgrading(t, Options{}, 0, func(_ string, c *net.TCPConn, _ *bufio.Reader) {
		io.WriteString(c, "HTTP/1.1 426 Upgrade Required\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno")
	})
	c, br := raw(t, h.address(), askUpgrade)
	for range 2 {
		resp, err := http.ReadResponse(br, nil)
		require.NoError(t, err)
		require.Equal(t, http.StatusUpgradeRequired, resp.StatusCode)
		b, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.Equal(t, "no", string(b))
		_, err = io.WriteString(c, askUpgrade)
		require.NoError(t, err)
	}
}

// What may not be, or cannot be, is passed over: the server sees a request like another.
func TestUpgradePassedOver(t *testing.T) {
	for name, ask := range map[string]string{
		"another protocol":     "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n",
		"not for this hop":     "GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\n\r\n",
		"not kept alive":       "GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nConnection: close\r\nUpgrade: websocket\r\n\r\n",
		"beside a body":        "POST / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 2\r\n\r\nok",
		"in an older protocol": "GET / HTTP/1.0\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			heads := make(chan string, 1)
			h := upgrading(t, Options{}, 0, func(head string, c *net.TCPConn, _ *bufio.Reader) {
				heads <- strings.ToLower(head)
				io.WriteString(c, "HTTP/1.1 204 No Content\r\n\r\n")
			})
			_, br := raw(t, h.address(), ask)
			resp, err := http.ReadResponse(br, nil)
			require.NoError(t, err)
			require.Equal(t, http.StatusNoContent, resp.StatusCode)
			require.NotContains(t, <-heads, "upgrade")
		})
	}
}

// A server that changes the protocol unasked is broken.
func TestUpgradeNobodyAskedFor(t *testing.T) {
	h := upgrading(t, Options{}, 0, echoBytes)
	_, br := raw(t, h.address(), "GET / HTTP/1.1\r\nHost: h\r\n\r\n")
	resp, err := http.ReadResponse(br, nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusBadGateway, resp.StatusCode)
}

func TestUpgradeIdle(t *testing.T) {
	h := upgrading(t, Options{}, 100*time.Millisecond, echoBytes)
	_, br := tunnelled(t, h, "x")
	rest, _ := io.ReadAll(br) // the end may be a reset
	require.Equal(t, "x", string(rest))
	require.Eventually(t, func() bool { return h.access.Len() == 1 }, 5*time.Second, time.Millisecond)
	require.Equal(t, "SI", h.access.All()[0].ContextMap()["response_flag"])
}

// A drain leaves a tunnel alone until its time is over.
func TestUpgradeDrain(t *testing.T) {
	h := upgrading(t, Options{DrainTimeout: 200 * time.Millisecond}, 0, echoBytes)
	c, br := tunnelled(t, h, "")
	h.Drain()
	_, err := io.WriteString(c, "on")
	require.NoError(t, err)
	b := make([]byte, 2)
	_, err = io.ReadFull(br, b)
	require.NoError(t, err)
	h.closed.Store(true)
	require.NoError(t, h.Close())
	_, err = io.ReadAll(br)
	if err != nil {
		require.ErrorContains(t, err, "reset")
	}
}

// The caller's reset reaches the server.
func TestUpgradeCallerGone(t *testing.T) {
	ended := make(chan struct{})
	h := upgrading(t, Options{}, 0, func(_ string, c *net.TCPConn, br *bufio.Reader) {
		io.WriteString(c, agreeUpgrade)
		io.Copy(io.Discard, br)
		close(ended)
	})
	c, _ := tunnelled(t, h, "")
	require.NoError(t, c.(*net.TCPConn).SetLinger(0))
	c.Close()
	<-ended
}

// A route's timeout is a request's, not a tunnel's.
func TestUpgradeOutlivesTheRoutesTimeout(t *testing.T) {
	h := newHouse(t, Options{})
	r := resources(scripted(t, echoBytes))
	r.Listeners[0].Default.HTTP.Upgrades = []string{"websocket"}
	r.Listeners[0].Default.HTTP.Table.VirtualHosts[0].Routes[0].Timeout = time.Nanosecond
	require.NoError(t, h.Apply(r))
	c, br := tunnelled(t, h, "")
	_, err := io.WriteString(c, "on")
	require.NoError(t, err)
	b := make([]byte, 2)
	_, err = io.ReadFull(br, b)
	require.NoError(t, err)
}
