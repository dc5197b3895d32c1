package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/bench/process"
	"github.com/fridaymesh/friday/bench/sidecar"
)

// slowStream answers /stream with pieces until its caller has seen enough, and echoes
// everything else.
func slowStream() http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/stream" {
			io.Copy(w, r.Body)
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for i := range 300 {
			fmt.Fprintf(w, "data: %d\n\n", i)
			w.(http.Flusher).Flush()
			<-tick.C
		}
	}
}

// short is a folder whose names are short enough for sockets.
func short(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "f") //nolint:usetesting // t.TempDir's are too long
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// freshCallers open a connection for every request.
func freshCallers(url string, n int) *callers {
	return loadWith(url, n, func() *http.Transport { return &http.Transport{DisableKeepAlives: true} })
}

func http2Callers(url string, n int) *callers {
	return loadWith(url, n, func() *http.Transport {
		tr := &http.Transport{Protocols: new(http.Protocols)}
		tr.Protocols.SetUnencryptedHTTP2(true)
		return tr
	})
}

// A new process takes over under load, again and again: no request fails, streams come
// to their end.
func TestTakeover(t *testing.T) {
	bin := build(t)
	up := httptest.NewServer(slowStream())
	defer up.Close()
	addresses, err := process.FreeAddresses(0, 0)
	require.NoError(t, err)
	listen, admin := addresses[0], addresses[1]
	socket := filepath.Join(short(t), "friday.sock")
	g := run(t)
	start := func(name string) *sidecar.Sidecar {
		s, err := sidecar.Proxy(t.Context(), g, bin, name, strings.TrimPrefix(up.URL, "http://"), listen, admin, "--takeover", socket)
		require.NoError(t, err)
		return s
	}
	current := start("friday-0")
	require.Eventually(t, func() bool { return exists(socket) }, patience, time.Millisecond)
	all := []*callers{load("http://"+listen, 4), freshCallers("http://"+listen, 4), http2Callers("http://"+listen, 4)}
	var streams sync.WaitGroup
	once := &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	for i := 1; i <= 3; i++ {
		for range 4 {
			streams.Go(func() {
				resp, err := once.Get("http://" + listen + "/stream")
				if !assertNoError(t, err) {
					return
				}
				defer resp.Body.Close()
				b, err := io.ReadAll(resp.Body)
				if assertNoError(t, err) && strings.Count(string(b), "data: ") != 300 {
					t.Errorf("a stream of %d bytes", len(b))
				}
			})
		}
		for _, c := range all {
			c.more(t, 200)
		}
		next := start(fmt.Sprint("friday-", i))
		ended(t, current)
		require.NoError(t, current.Stop(patience), "exit code 0")
		for _, c := range all {
			c.more(t, 200)
		}
		current = next
	}
	for _, c := range all {
		c.end(t)
	}
	streams.Wait()
	require.NoError(t, current.Stop(patience))
	require.False(t, exists(socket), "the last one takes the name with it")
}

func assertNoError(t *testing.T, err error) bool {
	t.Helper()
	if err != nil {
		t.Error(err)
	}
	return err == nil
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// A successor that cannot become one leaves everything as it was.
func TestTakeoverFails(t *testing.T) {
	bin := build(t)
	up := httptest.NewServer(slowStream())
	defer up.Close()
	addresses, err := process.FreeAddresses(0, 0)
	require.NoError(t, err)
	listen, admin := addresses[0], addresses[1]
	socket := filepath.Join(short(t), "friday.sock")
	g := run(t)
	s, err := sidecar.Proxy(t.Context(), g, bin, "friday", strings.TrimPrefix(up.URL, "http://"), listen, admin, "--takeover", socket)
	require.NoError(t, err)
	require.Eventually(t, func() bool { return exists(socket) }, patience, time.Millisecond)
	callers := load("http://"+listen, 4)
	// It waits for a control plane that is not there, and is killed; it has another's
	// address to listen on; it is told to go.
	waiting, err := g.Start("waiting", nil, filepath.Join(bin, "friday"), "proxy", "--xds", "127.0.0.1:1", "--admin", admin, "--takeover", socket)
	require.NoError(t, err)
	require.Eventually(t, func() bool { return strings.Contains(s.Tail(50), "takeover begins") }, patience, time.Millisecond)
	callers.more(t, 200)
	require.NoError(t, syscall.Kill(waiting.PID(), syscall.SIGKILL))
	ended(t, waiting)
	require.Eventually(t, func() bool { return strings.Contains(s.Tail(50), "the successor has gone before it was ready") }, patience, time.Millisecond)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	unfit, err := g.Start("unfit", nil, filepath.Join(bin, "friday"), "proxy", "--upstream", "127.0.0.1:1", "--listen", taken.Addr().String(), "--admin", admin, "--takeover", socket)
	require.NoError(t, err)
	ended(t, unfit)
	require.ErrorContains(t, unfit.Stop(patience), "exit status 1")
	callers.more(t, 200)
	callers.end(t)
	_, err = process.Get(t.Context(), "http://"+admin+"/ready")
	require.NoError(t, err)
	require.NoError(t, s.Stop(patience))
}

// With a control plane the successor asks for its listeners' sockets when it hears of
// them.
func TestTakeoverWithControlPlane(t *testing.T) {
	bin := build(t)
	up := httptest.NewServer(slowStream())
	defer up.Close()
	addresses, err := process.FreeAddresses(0, 0, 0, 0)
	require.NoError(t, err)
	listen, xds, ctlAdmin, admin := addresses[0], addresses[1], addresses[2], addresses[3]
	_, port, err := net.SplitHostPort(listen)
	require.NoError(t, err)
	policies, state := t.TempDir(), t.TempDir()
	text := fmt.Sprintf("apiVersion: friday.dev/v1alpha1\nkind: InferencePolicy\nmetadata: {name: echo}\nspec:\n  address: 127.0.0.1\n  port: %s\n  server:\n    endpoints: [%q]\n",
		port, strings.TrimPrefix(up.URL, "http://"))
	require.NoError(t, os.WriteFile(filepath.Join(policies, "echo.yaml"), []byte(text), 0o600))
	g := run(t)
	_, err = sidecar.Control(t.Context(), g, bin, policies, xds, ctlAdmin)
	require.NoError(t, err)
	socket := filepath.Join(short(t), "friday.sock")
	start := func() *sidecar.Sidecar {
		s, err := sidecar.Meshed(t.Context(), g, bin, "sidecar-1", xds, state, listen, admin, "--takeover", socket)
		require.NoError(t, err)
		return s
	}
	current := start()
	require.Eventually(t, func() bool { return exists(socket) }, patience, time.Millisecond)
	callers := load("http://"+listen, 4)
	for range 2 {
		callers.more(t, 200)
		next := start()
		ended(t, current)
		require.NoError(t, current.Stop(patience))
		current = next
		callers.more(t, 200)
	}
	callers.end(t)
	require.NoError(t, current.Stop(patience))
	left, err := os.ReadDir(state)
	require.NoError(t, err)
	require.Len(t, left, 1, "one state file, and nothing half-made")
}

// After SIGTERM and for the delay requests are served as before, and told to go
// elsewhere next time.
func TestDrainDelay(t *testing.T) {
	bin := build(t)
	up := httptest.NewServer(slowStream())
	defer up.Close()
	addresses, err := process.FreeAddresses(0, 0)
	require.NoError(t, err)
	listen, admin := addresses[0], addresses[1]
	s, err := sidecar.Proxy(t.Context(), run(t), bin, "friday", strings.TrimPrefix(up.URL, "http://"), listen, admin, "--drain-delay", "2s")
	require.NoError(t, err)
	kept, err := net.Dial("tcp", listen)
	require.NoError(t, err)
	defer kept.Close()
	br := bufio.NewReader(kept)
	ask := func() *http.Response {
		_, err := io.WriteString(kept, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi")
		require.NoError(t, err)
		resp, err := http.ReadResponse(br, nil)
		require.NoError(t, err)
		b, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.Equal(t, "hi", string(b))
		return resp
	}
	require.False(t, ask().Close)
	metrics := func() string {
		b, err := process.Get(t.Context(), "http://"+admin+"/metrics")
		require.NoError(t, err)
		return string(b)
	}
	require.Contains(t, metrics(), "\nfriday_ready 1\n")
	require.NoError(t, syscall.Kill(s.PID(), syscall.SIGTERM))
	require.Eventually(t, func() bool {
		r, err := http.Get("http://" + admin + "/ready")
		if err != nil {
			return false
		}
		defer r.Body.Close()
		return r.StatusCode == http.StatusServiceUnavailable
	}, patience, 5*time.Millisecond)
	require.Contains(t, metrics(), "\nfriday_ready 0\n")
	require.True(t, ask().Close)
	got, err := post(http.DefaultClient, "http://"+listen, "who comes now")
	require.NoError(t, err)
	require.Equal(t, "who comes now", got)
	ended(t, s)
	require.NoError(t, s.Stop(patience))
}
