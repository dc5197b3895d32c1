package server

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/fridaymesh/friday/proxy"
	"github.com/fridaymesh/friday/proxy/cluster"
	"github.com/fridaymesh/friday/proxy/config"
	"github.com/fridaymesh/friday/proxy/router"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// house is a running server with one listener before one model server.
type house struct {
	*Server

	t      *testing.T
	access *observer.ObservedLogs
	closed atomic.Bool
}

func newHouse(t *testing.T, opts Options) *house {
	t.Helper()
	core, logs := observer.New(zapcore.DebugLevel)
	opts.Log = zap.NewNop()
	opts.Access = zap.New(core)
	s, err := New(opts)
	require.NoError(t, err)
	h := &house{Server: s, t: t, access: logs}
	t.Cleanup(func() {
		if h.closed.CompareAndSwap(false, true) {
			require.NoError(t, s.Close())
		}
	})
	return h
}

func (h *house) address() string { return h.Addresses()["in"] }

// resources is a listener "in" that sends everything to the given endpoints.
func resources(endpoints ...string) *config.Resources {
	c := &cluster.Config{Name: "up"}
	for _, e := range endpoints {
		c.Endpoints = append(c.Endpoints, cluster.EndpointConfig{Address: strings.TrimPrefix(e, "http://")})
	}
	return &config.Resources{
		Clusters: []*cluster.Config{c},
		Listeners: []*config.Listener{{
			Name: "in", Address: "127.0.0.1:0",
			Default: &config.FilterChain{HTTP: &config.HTTP{
				AccessLog: config.LogAll,
				Table: &config.RouteTable{Name: "t", VirtualHosts: []*config.VirtualHost{{
					Name: "all", Domains: []string{"*"},
					Routes: []*config.Route{{
						Match: router.Match{Prefix: "/"}, Clusters: []config.WeightedCluster{{Name: "up", Weight: 1}},
					}},
				}}},
			}},
		}},
	}
}

func started(t *testing.T, handler http.HandlerFunc) *house {
	t.Helper()
	up := httptest.NewServer(handler)
	t.Cleanup(up.Close)
	h := newHouse(t, Options{})
	require.NoError(t, h.Apply(resources(up.URL)))
	return h
}

// raw sends text on a connection of its own and returns it.
func raw(t *testing.T, address, text string) (net.Conn, *bufio.Reader) {
	t.Helper()
	c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", address)
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	require.NoError(t, c.SetDeadline(time.Now().Add(10*time.Second)))
	_, err = io.WriteString(c, text)
	require.NoError(t, err)
	return c, bufio.NewReader(c)
}

func caller(t *testing.T) *http.Client {
	t.Helper()
	tr := &http.Transport{DisableCompression: true}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

func TestPassesWhatItGets(t *testing.T) {
	h := started(t, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		w.Header()["x-Odd-CASE"] = []string{"1", "2"}
		w.Header().Set("Keep-Alive", "timeout=5")
		w.Header().Set("Content-Type", "application/json")
		w.Header().Add("Set-Cookie", "a=1; Path=/")
		w.Header().Add("Set-Cookie", "b=2")
		w.WriteHeader(http.StatusTeapot)
		fmt.Fprintf(w, "%s %s %s %d %s", r.Method, r.URL.RequestURI(), r.Host, r.ContentLength, b)
	})
	_, br := raw(t, h.address(), "POST /v1/x%2Fy?q=a+b HTTP/1.1\r\nHost: model.test\r\nContent-Length: 5\r\n\r\nhello")
	resp, err := http.ReadResponse(br, nil)
	require.NoError(t, err)
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, 418, resp.StatusCode)
	require.Equal(t, "POST /v1/x%2Fy?q=a+b model.test 5 hello", string(body))
	require.Equal(t, []string{"a=1; Path=/", "b=2"}, resp.Header.Values("Set-Cookie"))
	require.Equal(t, []string{"1", "2"}, resp.Header.Values("X-Odd-Case"))
	require.Equal(t, "application/json", resp.Header.Get("Content-Type"))
	require.Empty(t, resp.Header.Get("Keep-Alive"))
	require.Empty(t, resp.Header.Get("Server"))
	require.Len(t, resp.Header.Values("Date"), 1, "the server's own")
	require.NoError(t, resp.Body.Close())
}

func TestStreamsAsItComes(t *testing.T) {
	next := make(chan struct{}, 1)
	h := started(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		w.Header().Set("Trailer", "X-Sum")
		w.WriteHeader(200)
		w.(http.Flusher).Flush()
		for i := range 3 {
			<-next
			fmt.Fprintf(w, "data: %d\n\n", i)
			w.(http.Flusher).Flush()
		}
		<-next
		w.Header().Set("X-Sum", "3")
	})
	resp, err := caller(t).Get("http://" + h.address())
	require.NoError(t, err) // the head is there before the server has said anything
	defer resp.Body.Close()
	buf := make([]byte, 100)
	for i := range 3 {
		next <- struct{}{}
		n, err := resp.Body.Read(buf)
		require.NoError(t, err)
		require.Equal(t, fmt.Sprintf("data: %d\n\n", i), string(buf[:n]))
	}
	next <- struct{}{}
	_, err = resp.Body.Read(buf)
	require.ErrorIs(t, err, io.EOF)
	require.Equal(t, "3", resp.Trailer.Get("X-Sum"))
}

func TestCutAnswerIsNoWholeAnswer(t *testing.T) {
	h := started(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(200)
		io.WriteString(w, "some")
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	})
	resp, err := caller(t).Get("http://" + h.address())
	require.NoError(t, err)
	_, err = io.ReadAll(resp.Body)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	resp.Body.Close()
	require.Eventually(t, func() bool { return h.access.FilterField(zap.String("response_flag", "UC")).Len() == 1 }, 5*time.Second, time.Millisecond)
}

func TestCallerGoneCancelsTheWork(t *testing.T) {
	for _, when := range []string{"thinking", "streaming"} {
		t.Run(when, func(t *testing.T) {
			asked, stopped := make(chan struct{}), make(chan time.Time, 1)
			h := started(t, func(w http.ResponseWriter, r *http.Request) {
				if when == "streaming" {
					w.WriteHeader(200)
					w.(http.Flusher).Flush()
				}
				close(asked)
				<-r.Context().Done()
				stopped <- time.Now()
			})
			c, br := raw(t, h.address(), "GET / HTTP/1.1\r\nHost: h\r\n\r\n")
			if when == "streaming" {
				_, err := br.ReadString('\n')
				require.NoError(t, err)
			}
			<-asked
			left := time.Now()
			require.NoError(t, c.Close())
			require.Less(t, (<-stopped).Sub(left), 5*time.Second)
			require.Eventually(t, func() bool { return h.access.FilterField(zap.String("response_flag", "DC")).Len() == 1 }, 5*time.Second, time.Millisecond)
		})
	}
}

func TestPipelinedRequestsInOrder(t *testing.T) {
	h := started(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.URL.Path) })
	var sb strings.Builder
	for i := range 50 {
		fmt.Fprintf(&sb, "GET /%d HTTP/1.1\r\nHost: h\r\n\r\n", i)
	}
	_, br := raw(t, h.address(), sb.String())
	for i := range 50 {
		resp, err := http.ReadResponse(br, nil)
		require.NoError(t, err)
		b, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.Equal(t, fmt.Sprintf("/%d", i), string(b))
		resp.Body.Close()
	}
}

func TestErrors(t *testing.T) {
	h := newHouse(t, Options{})
	r := resources("127.0.0.1:1") // nothing listens there
	r.Listeners[0].Default.HTTP.MaxBodyBytes = 100
	vh := r.Listeners[0].Default.HTTP.Table.VirtualHosts[0]
	vh.Routes = []*config.Route{
		{Match: router.Match{Prefix: "/nocluster"}, Clusters: []config.WeightedCluster{{Name: "nope", Weight: 1}}},
		{Match: router.Match{Path: "/direct"}, Direct: &config.DirectResponse{Status: 418, Body: "tea"}},
		{Match: router.Match{Prefix: "/up"}, Clusters: []config.WeightedCluster{{Name: "up", Weight: 1}}},
	}
	require.NoError(t, h.Apply(r))
	for name, tc := range map[string]struct {
		request string
		status  int
		body    string
		closes  bool
	}{
		"no route":              {"GET / HTTP/1.1\r\nHost: h\r\n\r\n", 404, "", false},
		"no cluster":            {"GET /nocluster HTTP/1.1\r\nHost: h\r\n\r\n", 503, "", false},
		"direct":                {"GET /direct HTTP/1.1\r\nHost: h\r\n\r\n", 418, "tea", false},
		"refused":               {"GET /up HTTP/1.1\r\nHost: h\r\n\r\n", 503, "Connection refused", false},
		"expecting too much":    {"POST /up HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 101\r\n\r\n", 413, "Payload Too Large", true},
		"no http":               {"hello\r\n\r\n", 400, "", true},
		"no host":               {"GET / HTTP/1.1\r\n\r\n", 400, "", true},
		"head too large":        {"GET / HTTP/1.1\r\nHost: h\r\nX: " + strings.Repeat("x", 20<<10) + "\r\n\r\n", 431, "", true},
		"body too large":        {"POST /up HTTP/1.1\r\nHost: h\r\nContent-Length: 101\r\n\r\n" + strings.Repeat("x", 101), 413, "Payload Too Large", true},
		"two lengths":           {"POST /up HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", 400, "", true},
		"unknown transfer code": {"POST /up HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\n\r\n", 400, "", true},
	} {
		t.Run(name, func(t *testing.T) {
			_, br := raw(t, h.address(), tc.request)
			resp, err := http.ReadResponse(br, nil)
			require.NoError(t, err)
			b, err := io.ReadAll(resp.Body)
			require.NoError(t, err)
			resp.Body.Close()
			require.Equal(t, tc.status, resp.StatusCode)
			require.Contains(t, string(b), tc.body)
			require.Equal(t, tc.closes, resp.Close)
			for k := range resp.Header {
				require.NotContains(t, strings.ToLower(k), "friday")
			}
			require.Eventually(t, func() bool { return len(h.access.TakeAll()) == 1 }, 5*time.Second, time.Millisecond, "logged")
		})
	}
}

func TestStreamedBodyTooLarge(t *testing.T) {
	h := newHouse(t, Options{})
	up := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) }))
	defer up.Close()
	r := resources(up.URL)
	r.Listeners[0].Default.HTTP.MaxBodyBytes = 10
	require.NoError(t, h.Apply(r))
	_, br := raw(t, h.address(), "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n65\r\n"+strings.Repeat("x", 101)+"\r\n0\r\n\r\n")
	resp, err := http.ReadResponse(br, nil)
	require.NoError(t, err)
	resp.Body.Close()
	require.Equal(t, 413, resp.StatusCode)
	require.True(t, resp.Close)
}

func TestTimeout(t *testing.T) {
	stopped := make(chan struct{})
	up := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done(); close(stopped) }))
	defer up.Close()
	h := newHouse(t, Options{})
	r := resources(up.URL)
	r.Listeners[0].Default.HTTP.Table.VirtualHosts[0].Routes[0].Timeout = 20 * time.Millisecond
	require.NoError(t, h.Apply(r))
	resp, err := caller(t).Get("http://" + h.address())
	require.NoError(t, err)
	b, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	resp.Body.Close()
	require.Equal(t, 504, resp.StatusCode)
	require.Equal(t, "upstream request timeout", string(b))
	<-stopped
}

func TestRefusedConfigurationChangesNothing(t *testing.T) {
	h := started(t, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok") })
	before := h.Snapshot()
	bad := resources("127.0.0.1:1")
	bad.Listeners[0].Default.HTTP.Table.VirtualHosts[0].Routes[0].Clusters = nil
	bad.Listeners = append(bad.Listeners, &config.Listener{Name: "in2", Address: "nowhere", Default: bad.Listeners[0].Default})
	err := h.Apply(bad)
	require.ErrorContains(t, err, `listener "in": route table "t": virtual host "all": routes[0]: exactly one of a cluster, a direct response and a redirect is needed`)
	require.ErrorContains(t, err, `listener "in2": address "nowhere": not host:port`)
	require.Same(t, before, h.Snapshot())

	taken, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	bad = resources("127.0.0.1:1")
	bad.Listeners[0].Address = taken.Addr().String()
	require.ErrorContains(t, h.Apply(bad), "address already in use")
	resp, err := caller(t).Get("http://" + h.address())
	require.NoError(t, err)
	resp.Body.Close()
	require.Equal(t, 200, resp.StatusCode)
}

// Pushes under load: no request fails, and warm connections stay.
func TestPushesUnderLoad(t *testing.T) {
	var connections atomic.Int64
	up := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) }))
	up.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			connections.Add(1)
		}
	}
	up.Start()
	defer up.Close()
	h := newHouse(t, Options{})
	require.NoError(t, h.Apply(resources(up.URL)))
	url := "http://" + h.address()
	stop := make(chan struct{})
	done := make(chan error, 4)
	for range cap(done) {
		c := caller(t)
		go func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					done <- nil
					return
				default:
				}
				want := fmt.Sprint("item ", i)
				resp, err := c.Post(url, "text/plain", strings.NewReader(want))
				if err != nil {
					done <- err
					return
				}
				b, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				if err != nil || string(b) != want || resp.StatusCode != 200 {
					done <- fmt.Errorf("%d %q %w", resp.StatusCode, b, err)
					return
				}
			}
		}()
	}
	for i := range 200 {
		r := resources(up.URL)
		if i%2 == 1 { // settings that a connection has for life
			r.Listeners[0].Default.HTTP.IdleTimeout = time.Duration(i) * time.Minute
		}
		require.NoError(t, h.Apply(r))
	}
	close(stop)
	for range cap(done) {
		require.NoError(t, <-done)
	}
	require.LessOrEqual(t, connections.Load(), int64(cap(done)))
}

func TestRemovedListenerDrains(t *testing.T) {
	release := make(chan struct{})
	asked := make(chan struct{})
	h := started(t, func(w http.ResponseWriter, _ *http.Request) { close(asked); <-release; io.WriteString(w, "late") })
	address := h.address()
	_, br := raw(t, address, "GET / HTTP/1.1\r\nHost: h\r\n\r\n")
	<-asked
	require.NoError(t, h.Apply(&config.Resources{}))
	_, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", address)
	require.Error(t, err)
	close(release)
	resp, err := http.ReadResponse(br, nil)
	require.NoError(t, err)
	b, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	resp.Body.Close()
	require.Equal(t, "late", string(b))
}

func TestDrain(t *testing.T) {
	release, asked := make(chan struct{}), make(chan struct{})
	h := started(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(200)
		w.(http.Flusher).Flush()
		close(asked)
		<-release
		io.WriteString(w, "the end")
	})
	idle, _ := raw(t, h.address(), "")
	_, br := raw(t, h.address(), "GET / HTTP/1.1\r\nHost: h\r\n\r\n")
	<-asked
	ready, _ := h.State()
	require.True(t, ready)
	ended := make(chan error, 1)
	h.closed.Store(true)
	go func() { ended <- h.Close() }()
	_, err := idle.Read(make([]byte, 1)) // an idle connection is closed at once
	require.ErrorIs(t, err, io.EOF)
	ready, words := h.State()
	require.False(t, ready)
	require.Equal(t, "DRAINING", words)
	close(release)
	resp, err := http.ReadResponse(br, nil)
	require.NoError(t, err)
	b, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	resp.Body.Close()
	require.Equal(t, "the end", string(b))
	require.NoError(t, <-ended)
}

func TestDrainTimeoutEndsWhatRuns(t *testing.T) {
	asked, stopped := make(chan struct{}), make(chan struct{})
	up := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(asked)
		<-r.Context().Done()
		close(stopped)
	}))
	defer up.Close()
	h := newHouse(t, Options{DrainTimeout: 20 * time.Millisecond})
	require.NoError(t, h.Apply(resources(up.URL)))
	_, br := raw(t, h.address(), "GET / HTTP/1.1\r\nHost: h\r\n\r\n")
	<-asked
	h.closed.Store(true)
	require.NoError(t, h.Close())
	resp, err := http.ReadResponse(br, nil)
	require.NoError(t, err)
	resp.Body.Close()
	require.Equal(t, 503, resp.StatusCode)
	<-stopped
}

func TestHTTP10(t *testing.T) {
	h := started(t, func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, "a")
		w.(http.Flusher).Flush()
		io.WriteString(w, "b")
	})
	_, br := raw(t, h.address(), "GET / HTTP/1.0\r\n\r\n")
	all, err := io.ReadAll(br)
	require.NoError(t, err)
	head, body, _ := strings.Cut(string(all), "\r\n\r\n")
	require.Equal(t, "ab", body)
	require.NotContains(t, strings.ToLower(head), "chunked")
}

func TestHead(t *testing.T) {
	h := started(t, func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Length", "12") })
	resp, err := caller(t).Head("http://" + h.address())
	require.NoError(t, err)
	resp.Body.Close()
	require.Equal(t, int64(12), resp.ContentLength)
}

func TestExpectContinue(t *testing.T) {
	h := started(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Expect") != "" {
			w.WriteHeader(500)
			return
		}
		io.Copy(w, r.Body)
	})
	c, br := raw(t, h.address(), "POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
	line, err := br.ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "HTTP/1.1 100 Continue\r\n", line)
	_, err = br.ReadString('\n')
	require.NoError(t, err)
	io.WriteString(c, "hi")
	resp, err := http.ReadResponse(br, nil)
	require.NoError(t, err)
	b, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	resp.Body.Close()
	require.Equal(t, "hi", string(b))
}

// Callers that leave at random harm nobody, and nothing is left behind.
func TestCallersLeaveAtRandom(t *testing.T) {
	h := started(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(200)
		for range 20 {
			if _, err := io.WriteString(w, "data: x\n\n"); err != nil {
				return
			}
			w.(http.Flusher).Flush()
		}
	})
	done := make(chan error, 100)
	for i := range cap(done) {
		go func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i%10)*time.Millisecond)
			defer cancel()
			req, _ := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+h.address(), nil)
			if i%3 == 0 {
				req = req.WithContext(t.Context())
			}
			resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
			if err == nil {
				var b []byte
				b, err = io.ReadAll(resp.Body)
				resp.Body.Close()
				if err == nil && len(b) != 180 {
					err = fmt.Errorf("%d bytes", len(b))
				}
			}
			if i%3 != 0 {
				err = nil // it left, or not
			}
			done <- err
		}()
	}
	for range cap(done) {
		require.NoError(t, <-done)
	}
}

// What is not read of a request's body does not hold up a drain, nor is it taken
// for the next request.
func TestAnswerBeforeTheBodyClosesTheConnection(t *testing.T) {
	h := newHouse(t, Options{})
	require.NoError(t, h.Apply(resources("127.0.0.1:1")))
	_, br := raw(t, h.address(), "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
	resp, err := http.ReadResponse(br, nil)
	require.NoError(t, err)
	resp.Body.Close()
	require.Equal(t, 503, resp.StatusCode)
	require.True(t, resp.Close)
	h.closed.Store(true)
	began := time.Now()
	require.NoError(t, h.Close())
	require.Less(t, time.Since(began), 20*time.Second)
}

func TestHeadTimeoutIsTheHeadsOnly(t *testing.T) {
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) }))
	defer up.Close()
	h := newHouse(t, Options{})
	r := resources(up.URL)
	r.Listeners[0].Default.HTTP.HeadersTimeout = 50 * time.Millisecond
	require.NoError(t, h.Apply(r))
	early, br := raw(t, h.address(), "")
	half, hbr := raw(t, h.address(), "GET / HTTP/1.1\r\nHost")
	resp, err := http.ReadResponse(hbr, nil) // takes longer than the timeout to be told so
	require.NoError(t, err)
	require.Equal(t, 408, resp.StatusCode)
	resp.Body.Close()
	half.Close()
	// The other connection has been open for as long; it gets its time too, and a
	// body may take longer than a head.
	io.WriteString(early, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\na")
	slow, sbr := raw(t, h.address(), "GET / HTTP/1.1\r\nHost")
	resp, err = http.ReadResponse(sbr, nil)
	require.NoError(t, err)
	resp.Body.Close()
	slow.Close()
	io.WriteString(early, "b")
	resp, err = http.ReadResponse(br, nil)
	require.NoError(t, err)
	b, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	resp.Body.Close()
	require.Equal(t, "ab", string(b))
}

func TestPanicInTheAnswerIsRecorded(t *testing.T) {
	h := started(t, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok") })
	r := resources("127.0.0.1:1")
	r.Listeners[0].Default.HTTP.Filters = []config.Filter{{Name: "bad", Factory: panicFactory{}, Config: new(int)}}
	require.NoError(t, h.Apply(r))
	_, br := raw(t, h.address(), "GET / HTTP/1.1\r\nHost: h\r\n\r\n")
	resp, err := http.ReadResponse(br, nil)
	require.NoError(t, err)
	_, err = io.ReadAll(resp.Body)
	require.Error(t, err)
	resp.Body.Close()
	require.Eventually(t, func() bool { return h.access.FilterField(zap.String("response_flag", "INT")).Len() == 1 }, 5*time.Second, time.Millisecond)
}

// panicFactory makes filters whose answers panic when they are read.
type panicFactory struct{}

func (panicFactory) TypeURL() string                              { return "panic" }
func (panicFactory) Parse(*anypb.Any) (proxy.FilterConfig, error) { return new(int), nil }
func (panicFactory) Build(proxy.FilterConfig, proxy.Env) (proxy.Filter, error) {
	return panicFilter{}, nil
}

type panicFilter struct{}

func (panicFilter) Handle(context.Context, *proxy.Request, proxy.Handler) (*proxy.Response, error) {
	r := proxy.NewResponse()
	r.Body = panicBody{proxy.NoBody}
	return r, nil
}

type panicBody struct{ proxy.Body }

func (panicBody) Len() int64               { return -1 }
func (panicBody) Read([]byte) (int, error) { panic("bug") }
