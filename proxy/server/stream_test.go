package server

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/fridaymesh/friday/filters/filtertest"
	"github.com/fridaymesh/friday/filters/stream"
	"github.com/fridaymesh/friday/proxy"
	"github.com/fridaymesh/friday/proxy/config"
)

// streaming is a running server with the stream filter, before a server that speaks
// both protocols and is spoken to in p.
func streaming(t *testing.T, client *http.Client, p proxy.UpstreamProtocol, settings string, handler http.HandlerFunc) *house {
	t.Helper()
	h := newHouse(t, Options{})
	t.Cleanup(client.CloseIdleConnections) // or an HTTP/2 connection has its second of grace
	r := resources(http2Server(t, handler))
	r.Clusters[0].Protocol = p
	c, err := stream.Factory{}.Parse(filtertest.Any(t, stream.Factory{}, settings))
	require.NoError(t, err)
	r.Listeners[0].Default.HTTP.Filters = []config.Filter{{Name: stream.Name, Factory: stream.Factory{}, Config: c}}
	require.NoError(t, h.Apply(r))
	return h
}

// pairs has f called for each protocol of callers with each of servers.
func pairs(t *testing.T, f func(t *testing.T, client *http.Client, p proxy.UpstreamProtocol)) {
	t.Helper()
	for callers, client := range map[string]func(*testing.T) *http.Client{"HTTP1": caller, "HTTP2": http2Caller} {
		for servers, p := range map[string]proxy.UpstreamProtocol{"HTTP1": proxy.UpstreamHTTP1, "HTTP2": proxy.UpstreamHTTP2} {
			t.Run(callers+" to "+servers, func(t *testing.T) { f(t, client(t), p) })
		}
	}
}

func ask(t *testing.T, client *http.Client, h *house, path string) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+h.address()+path, strings.NewReader(`{"model":"m","stream":true}`))
	require.NoError(t, err)
	req.Header.Set("Content-Type", "application/json")
	resp, err := client.Do(req)
	require.NoError(t, err)
	t.Cleanup(func() { resp.Body.Close() })
	return resp
}

// Whatever comes piece by piece goes piece by piece, and the head before the first.
func TestEverythingStreams(t *testing.T) {
	pairs(t, func(t *testing.T, client *http.Client, p proxy.UpstreamProtocol) {
		for _, test := range []struct{ path, contentType, piece, length string }{
			{"/v1/chat/completions", "text/event-stream", "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n", ""},
			{"/api/chat", "application/x-ndjson", "{\"message\":{\"content\":\"a\"},\"done\":false}\n", ""},
			{"/text", "text/plain", "some", ""},
			{"/long", "application/octet-stream", "some", "16"},
			{"/v1/chat/completions", "text/event-stream", "data: abcdefgh\n\n", "64"},
		} {
			next := make(chan struct{})
			h := streaming(t, client, p, "first_chunk_timeout {seconds: 100} idle_chunk_timeout {seconds: 100}", func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", test.contentType)
				if test.length != "" {
					w.Header().Set("Content-Length", test.length)
				}
				w.(http.Flusher).Flush()
				for range 4 {
					<-next
					_, _ = io.WriteString(w, test.piece)
					w.(http.Flusher).Flush()
				}
			})
			resp := ask(t, client, h, test.path)
			buf := make([]byte, len(test.piece))
			for range 4 {
				next <- struct{}{} // only now, when what came before has been read
				_, err := io.ReadFull(resp.Body, buf)
				require.NoError(t, err)
				require.Equal(t, test.piece, string(buf))
			}
			n, err := resp.Body.Read(buf)
			require.Zero(t, n)
			require.ErrorIs(t, err, io.EOF)
		}
	})
}

// A caller that leaves ends the server's work, waiting or streaming. How long it took
// is in the log.
func TestLeavingEndsTheWork(t *testing.T) {
	for _, settings := range []string{"", "heartbeat {nanos: 100000000} idle_chunk_timeout {seconds: 100}"} {
		pairs(t, func(t *testing.T, client *http.Client, p proxy.UpstreamProtocol) {
			for _, when := range []string{"thinking", "streaming"} {
				asked, stopped := make(chan struct{}, 1), make(chan time.Time, 1)
				h := streaming(t, client, p, settings, func(w http.ResponseWriter, r *http.Request) {
					_, _ = io.Copy(io.Discard, r.Body) // or net/http does not look whether the caller is there
					if when == "streaming" {
						w.Header().Set("Content-Type", "text/event-stream")
						_, _ = io.WriteString(w, "data: a\n\n")
						w.(http.Flusher).Flush()
					}
					asked <- struct{}{}
					<-r.Context().Done()
					stopped <- time.Now()
				})
				var left time.Time
				if when == "thinking" {
					left = leaveWhileItThinks(t, client, h, asked)
				} else {
					resp := ask(t, client, h, "/v1/chat/completions")
					_, err := io.ReadFull(resp.Body, make([]byte, 9))
					require.NoError(t, err)
					<-asked
					left = time.Now()
					require.NoError(t, resp.Body.Close())
				}
				t.Logf("%s: stopped after %v", when, (<-stopped).Sub(left).Round(10*time.Microsecond))
				require.Eventually(t, func() bool { return h.access.FilterField(zap.String("response_flag", "DC")).Len() == 1 }, patience, time.Millisecond)
			}
		})
	}
}

// leaveWhileItThinks asks, and leaves when the server has been asked.
func leaveWhileItThinks(t *testing.T, client *http.Client, h *house, asked <-chan struct{}) time.Time {
	t.Helper()
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+h.address()+"/v1/chat/completions", strings.NewReader(`{"model":"m","stream":true}`))
	require.NoError(t, err)
	left := make(chan time.Time, 1)
	go func() {
		<-asked
		left <- time.Now()
		leave()
	}()
	resp, err := client.Do(req)
	if err == nil { // a heartbeat was quicker
		_, err = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
	require.Error(t, err)
	return <-left
}

// A server that dies in the middle is told as that: within the stream, and by its end.
func TestDyingServer(t *testing.T) {
	const event = "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n"
	pairs(t, func(t *testing.T, client *http.Client, p proxy.UpstreamProtocol) {
		for passed, told := range map[string]bool{event: true, event + "data: {": false} {
			h := streaming(t, client, p, "", func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "text/event-stream")
				_, _ = io.WriteString(w, passed)
				w.(http.Flusher).Flush()
				panic(http.ErrAbortHandler)
			})
			b, err := io.ReadAll(ask(t, client, h, "/v1/chat/completions").Body)
			require.Error(t, err, "never a clean end")
			require.True(t, strings.HasPrefix(string(b), passed))
			require.Equal(t, told, strings.HasPrefix(string(b[len(passed):]), `data: {"error":{"message":"`), "%s", b)
			require.Eventually(t, func() bool { return h.access.FilterField(zap.String("response_flag", "UC")).Len() == 1 }, patience, time.Millisecond)
		}
	})
}

// A server that hangs in the middle is told as that, and let go of.
func TestHangingServer(t *testing.T) {
	pairs(t, func(t *testing.T, client *http.Client, p proxy.UpstreamProtocol) {
		let := make(chan struct{}, 1)
		h := streaming(t, client, p, "idle_chunk_timeout {nanos: 50000000}", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = io.WriteString(w, "data: a\n\n")
			w.(http.Flusher).Flush()
			<-r.Context().Done()
			let <- struct{}{}
		})
		b, err := io.ReadAll(ask(t, client, h, "/v1/chat/completions").Body)
		require.Error(t, err)
		require.Contains(t, string(b), "data: a\n\n"+`data: {"error":{"message":"upstream idle for 50ms"`)
		<-let
		require.Eventually(t, func() bool { return h.access.FilterField(zap.String("response_flag", "UT")).Len() == 1 }, patience, time.Millisecond)
	})
}

// The head of a stream can be sent before the server's, and its end is the server's.
func TestHeartbeatOnTheWire(t *testing.T) {
	pairs(t, func(t *testing.T, client *http.Client, p proxy.UpstreamProtocol) {
		answer := make(chan struct{})
		h := streaming(t, client, p, "heartbeat {nanos: 100000000}", func(w http.ResponseWriter, r *http.Request) {
			<-answer
			if r.URL.Query().Has("busy") {
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(http.StatusServiceUnavailable)
				_, _ = io.WriteString(w, `{"error":{"message":"busy"}}`)
				return
			}
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = io.WriteString(w, "data: a\n\ndata: [DONE]\n\n")
		})
		for path, want := range map[string]string{
			"/v1/chat/completions":      "data: a\n\ndata: [DONE]\n\n",
			"/v1/chat/completions?busy": "data: {\"error\":{\"message\":\"busy\"}}\n\n",
		} {
			resp := ask(t, client, h, path)
			require.Equal(t, http.StatusOK, resp.StatusCode)
			buf := make([]byte, len(": heartbeat\n\n"))
			for range 3 {
				_, err := io.ReadFull(resp.Body, buf)
				require.NoError(t, err)
				require.Equal(t, ": heartbeat\n\n", string(buf))
			}
			answer <- struct{}{}
			rest, err := io.ReadAll(resp.Body)
			require.Equal(t, want, strings.ReplaceAll(string(rest), ": heartbeat\n\n", ""))
			require.Equal(t, strings.Contains(path, "busy"), err != nil, "%v", err)
		}
	})
}

// Many streams at once, none cut.
func TestManyStreams(t *testing.T) {
	const streams, events = 200, 20
	pairs(t, func(t *testing.T, client *http.Client, p proxy.UpstreamProtocol) {
		h := streaming(t, client, p, "", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			for i := range events {
				_, _ = fmt.Fprintf(w, "data: %s %d\n\n", r.URL.RawQuery, i)
				w.(http.Flusher).Flush()
			}
		})
		wrong := make(chan error, streams)
		for n := range streams {
			go func() { wrong <- oneOfMany(client, h.address(), n, events) }()
		}
		for range streams {
			require.NoError(t, <-wrong)
		}
	})
}

func oneOfMany(client *http.Client, address string, n, events int) error {
	resp, err := client.Post(fmt.Sprintf("http://%s/v1/chat/completions?%d", address, n), "application/json", strings.NewReader(`{}`))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	want := ""
	for i := range events {
		want += fmt.Sprintf("data: %d %d\n\n", n, i)
	}
	if string(b) != want {
		return fmt.Errorf("stream %d: %d bytes, not %d", n, len(b), len(want))
	}
	return nil
}
