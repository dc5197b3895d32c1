package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/bench/process"
	"github.com/fridaymesh/friday/bench/sidecar"
	"github.com/fridaymesh/friday/proxy/tlscontext/tlstest"
)

const patience = 30 * time.Second

// build makes friday and fridayd as they are shipped.
func build(t *testing.T) (bin string) {
	t.Helper()
	bin = t.TempDir()
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", bin, "../friday", "../fridayd").CombinedOutput()
	require.NoError(t, err, "%s", out)
	return bin
}

func run(t *testing.T) *process.Group {
	t.Helper()
	g, err := process.NewGroup(t.TempDir())
	require.NoError(t, err)
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(g.Tails(30))
		}
		g.Close()
	})
	return g
}

// ended waits until p has ended.
func ended(t *testing.T, p interface{ Done() <-chan struct{} }) {
	t.Helper()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-p.Done():
	case <-timer.C:
		require.Fail(t, "the process has not ended")
	}
}

// callers send requests to url until stop, and count what goes wrong.
type callers struct {
	wg           sync.WaitGroup
	stop         chan struct{}
	sent, failed atomic.Int64
	first        atomic.Pointer[string]
}

func load(url string, n int) *callers {
	return loadWith(url, n, func() *http.Transport { return new(http.Transport) })
}

// loadWith is load with a transport for each caller.
func loadWith(url string, n int, transport func() *http.Transport) *callers {
	c := &callers{stop: make(chan struct{})}
	for caller := range n {
		c.wg.Go(func() {
			tr := transport()
			defer tr.CloseIdleConnections()
			client := &http.Client{Transport: tr, Timeout: patience}
			for i := 0; ; i++ {
				select {
				case <-c.stop:
					return
				default:
				}
				want := fmt.Sprint(caller, " ", i)
				got, err := post(client, url, want)
				c.sent.Add(1)
				if err != nil || got != want {
					c.failed.Add(1)
					what := fmt.Sprintf("%q, %v", got, err)
					c.first.CompareAndSwap(nil, &what)
				}
			}
		})
	}
	return c
}

func post(client *http.Client, url, body string) (string, error) {
	resp, err := client.Post(url, "text/plain", strings.NewReader(body))
	if err != nil {
		return "", err
	}
	b, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	return string(b), err
}

// more waits until n more requests have been answered.
func (c *callers) more(t *testing.T, n int64) {
	t.Helper()
	until := c.sent.Load() + n
	require.Eventually(t, func() bool { return c.sent.Load() >= until }, patience, time.Millisecond)
}

func (c *callers) end(t *testing.T) {
	t.Helper()
	close(c.stop)
	c.wg.Wait()
	if first := c.first.Load(); first != nil {
		t.Logf("first failure: %s", *first)
	}
	require.Zero(t, c.failed.Load(), "of %d requests", c.sent.Load())
}

// The control plane may be wrong, change its mind, die and be away: callers do
// not notice.
func TestControlPlaneUnderLoad(t *testing.T) {
	bin := build(t)
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) }))
	defer up.Close()
	addresses, err := process.FreeAddresses(0, 0, 0, 0)
	require.NoError(t, err)
	listen, xds, ctlAdmin, admin := addresses[0], addresses[1], addresses[2], addresses[3]
	_, port, err := net.SplitHostPort(listen)
	require.NoError(t, err)
	policies, state := t.TempDir(), t.TempDir()
	save := func(extra string) {
		text := fmt.Sprintf("apiVersion: friday.dev/v1alpha1\nkind: InferencePolicy\nmetadata: {name: echo}\nspec:\n  address: 127.0.0.1\n  port: %s\n  server:\n    endpoints: [%q]\n%s",
			port, strings.TrimPrefix(up.URL, "http://"), extra)
		require.NoError(t, os.WriteFile(filepath.Join(policies, "echo.yaml"), []byte(text), 0o600))
	}
	save("")
	g := run(t)
	control, err := sidecar.Control(t.Context(), g, bin, policies, xds, ctlAdmin)
	require.NoError(t, err)
	s, err := sidecar.Meshed(t.Context(), g, bin, "sidecar-1", xds, state, listen, admin)
	require.NoError(t, err)

	callers := load("http://"+listen, 4)
	callers.more(t, 200)

	// A broken file is refused by name, line and field.
	save("  filters:\n    batch: {max_batch_sizes: 3}\n")
	require.Eventually(t, func() bool {
		return strings.Contains(control.Tail(50), "echo.yaml:10: spec.filters.batch.max_batch_sizes")
	}, patience, 10*time.Millisecond, "%s", control.Tail(10))
	callers.more(t, 200)

	// A good one arrives.
	save("  timeout: 25s\n")
	dumped := func(text string) func() bool {
		return func() bool {
			b, err := process.Get(t.Context(), "http://"+admin+"/config_dump")
			return err == nil && strings.Contains(string(b), text)
		}
	}
	require.Eventually(t, dumped("25s"), patience, 10*time.Millisecond)
	callers.more(t, 200)

	// The control plane dies.
	require.NoError(t, syscall.Kill(control.PID(), syscall.SIGKILL))
	ended(t, control)
	callers.more(t, 1000)
	callers.end(t)

	// The sidecar ends cleanly, and starts again from what it had accepted.
	require.NoError(t, s.Stop(patience))
	_, err = sidecar.Meshed(t.Context(), g, bin, "sidecar-1", xds, state, listen, admin)
	require.NoError(t, err)
	require.True(t, dumped("25s")())
	again := load("http://"+listen, 4)
	again.more(t, 200)
	again.end(t)
}

func TestDrainWaitsForAStream(t *testing.T) {
	bin := build(t)
	release, asked := make(chan struct{}), make(chan struct{})
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, "data: 1\n\n")
		w.(http.Flusher).Flush()
		close(asked)
		<-release
		io.WriteString(w, "data: 2\n\n")
	}))
	defer up.Close()
	free := sync.OnceFunc(func() { close(release) })
	defer free()
	addresses, err := process.FreeAddresses(0, 0)
	require.NoError(t, err)
	listen, admin := addresses[0], addresses[1]
	s, err := sidecar.Proxy(t.Context(), run(t), bin, "friday", strings.TrimPrefix(up.URL, "http://"), listen, admin)
	require.NoError(t, err)
	resp, err := http.Get("http://" + listen)
	require.NoError(t, err)
	defer resp.Body.Close()
	<-asked // the answer has begun
	require.NoError(t, syscall.Kill(s.PID(), syscall.SIGTERM))
	require.Eventually(t, func() bool { // the door stays open and says so
		r, err := http.Get("http://" + admin + "/ready")
		if err != nil {
			return false
		}
		defer r.Body.Close()
		return r.StatusCode == http.StatusServiceUnavailable
	}, patience, 10*time.Millisecond)
	free()
	b, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, "data: 1\n\ndata: 2\n\n", string(b))
	ended(t, s)
	require.NoError(t, s.Stop(patience))
}

func TestUsedWrongly(t *testing.T) {
	bin := build(t)
	bad := filepath.Join(t.TempDir(), "bad.yaml")
	require.NoError(t, os.WriteFile(bad, []byte("static_resources:\n  listeners:\n  - name: x\n    addresss: {}\n"), 0o600))
	unfit, idle := filepath.Join(t.TempDir(), "unfit.yaml"), filepath.Join(t.TempDir(), "idle.yaml")
	require.NoError(t, os.WriteFile(unfit, []byte("node: {id: me}\nhds_config: {api_type: GRPC}\nlayered_runtime: {}\n"), 0o600))
	require.NoError(t, os.WriteFile(idle, []byte("{}\n"), 0o600))
	own := tlstest.NewCA(t).Issue("127.0.0.1")
	cert, key, none := filepath.Join(t.TempDir(), "tls.crt"), filepath.Join(t.TempDir(), "tls.key"), filepath.Join(t.TempDir(), "none.crt")
	require.NoError(t, os.WriteFile(cert, own.Chain, 0o600))
	require.NoError(t, os.WriteFile(key, own.Key, 0o600))
	require.NoError(t, os.WriteFile(none, nil, 0o600))
	for _, tc := range []struct {
		args string
		code int
		says string
	}{
		{"proxy --nope", 2, "-nope"},
		{"proxy", 2, "--upstream"},
		{"proxy --upstream a:1 --xds b:1", 2, "exclude"},
		{"proxy --xds b:1 --listen c:1", 2, "--listen"},
		{"proxy --upstream 127.0.0.1:1 --log-level loud", 2, "loud"},
		{"proxy --upstream 127.0.0.1:1 --max-body many", 2, "many"},
		{"proxy --upstream 127.0.0.1:1 --concurrency -1", 2, "--concurrency -1: must not be negative"},
		{"proxy --upstream https://127.0.0.1:1/v1", 2, "path"},
		{"proxy -c /does/not/exist", 2, "/does/not/exist"},
		{"proxy -c " + bad, 1, "friday proxy: " + bad + ": static_resources"},
		{"check -c " + bad, 1, "\n" + bad + ": static_resources.listeners[0].addresss: unknown field\n"},
		{"check " + bad, 1, "\n" + bad + ": static_resources.listeners[0].addresss: unknown field\n"},
		{"check " + unfit, 1, "\n" + unfit + ": bootstrap \"me\": hds_config: not supported\n" + unfit + ": bootstrap \"me\": layered_runtime: not supported\n"},
		{"check " + idle, 1, "\n" + idle + ": nothing to do: "},
		{"check " + bad + " " + idle, 2, "one file at a time"},
		{"check -c " + bad + " " + idle, 2, "one file at a time"},
		{"check", 2, "a file is needed"},
		{"check /does/not/exist", 2, "/does/not/exist"},
		{"proxy --mode sideways --upstream 127.0.0.1:1", 2, "--mode \"sideways\": neither port nor redirect"},
		{"proxy --mode redirect --xds b:1", 2, "exclude"},
		{"proxy --mode redirect -c " + idle, 2, "--config excludes --mode"},
		{"proxy --mode redirect --upstream https://127.0.0.1:1", 2, "https is not supported with --mode redirect"},
		{"proxy --mode redirect --listen 127.0.0.1:0", 2, "friday redirect --to"},
		{"proxy --tls-cert a --xds b:1", 2, "--tls-cert, --tls-key and --tls-client-ca go with --upstream"},
		{"proxy --tls-cert a --tls-key b --mode redirect", 2, "without --mode redirect"},
		{"proxy --tls-cert a --upstream 127.0.0.1:1", 2, "--tls-cert and --tls-key need each other"},
		{"proxy --tls-client-ca a --upstream 127.0.0.1:1", 2, "--tls-client-ca goes with --tls-cert"},
		{"proxy --tls-cert /does/not/exist --tls-key /nor/this --upstream 127.0.0.1:1", 2, "--tls-cert \"/does/not/exist\", --tls-key \"/nor/this\": open /does/not/exist"},
		{"proxy --tls-cert " + cert + " --tls-key " + key + " --tls-client-ca " + none + " --upstream 127.0.0.1:1", 2, "--tls-client-ca \"" + none + "\": trusted_ca: no certificate in PEM"},
		{"proxy --hold-timeout 1s --xds b:1", 2, "--hold-timeout go with"},
		{"proxy --hold-timeout -1s --upstream 127.0.0.1:1", 2, "must be 0 to 24h"},
		{"redirect", 2, "--ports is needed"},
		{"redirect --ports 0", 2, "--ports: \"0\": not a port of 1 to 65535"},
		{"redirect --ports 19000-19100", 2, "port 19080 is the one to redirect to"},
		{"redirect --ports 8000 --to 70000", 2, "--to 70000: not a port"},
		{"redirect --ports 8000 --uid no-such-user", 2, "--uid no-such-user: "},
		{"redirect --ports 8000 --uid 4294967296", 2, "not a number of 0 to"},
		{"redirect --ports 8000 --uid ,", 2, "Friday would call itself"},
		{"redirect --ports 8000 --firewall ipfw", 2, "neither auto nor nftables nor iptables"},
		{"redirect --ports 8000,8002-8004 --dry-run", 0, "elements = { 8000, 8002-8004 }"},
		{"redirect --ports 8000 --uid root --dry-run --firewall iptables", 0, "-A FRIDAY_OUTPUT -m owner --uid-owner 0 -j RETURN"},
		{"redirect --undo --dry-run", 0, "delete table inet friday"},
		{"redirect --help", 0, "--if-listening"},
		{"proxy --help", 0, "  -c, --config FILE\n        Envoy bootstrap FILE, YAML or JSON"},
		{"drain --admin 127.0.0.1:1", 1, "the admin door at 127.0.0.1:1: "},
		{"frobnicate", 2, "frobnicate"},
		{"version", 0, "friday"},
	} {
		t.Run(tc.args, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			cmd := exec.CommandContext(ctx, filepath.Join(bin, "friday"), strings.Fields(tc.args)...)
			out, err := cmd.CombinedOutput()
			require.Equal(t, tc.code, cmd.ProcessState.ExitCode(), "%v: %s", err, out)
			require.Contains(t, "\n"+string(out), tc.says)
		})
	}
}
