//go:build interop

package interop_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/fridaymesh/friday/bench/process"
	"github.com/fridaymesh/friday/bench/realserver"
	"github.com/fridaymesh/friday/bench/sidecar"
)

// The pod's addresses, and the client's, each in a network of its own.
const (
	pod4, client4 = "10.77.0.1", "10.77.0.2"
	pod6, client6 = "fd77::1", "fd77::2"
	podAdmin      = "127.0.0.1:19000"
	standinPort   = "8500"
)

// inPod is set in a process whose network is the pod's.
const inPod = "FRIDAY_TEST_POD"

// TestRedirected: unmodified clients call unmodified servers, at the servers' own
// addresses, and Friday is in between, in both families, from outside and from within
// the pod. The rules are made by uid 65534 with NET_ADMIN and NET_RAW only.
func TestRedirected(t *testing.T) {
	if os.Getenv(inPod) != "" {
		newPod(t).test(t)
		return
	}
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED, no connection was redirected: needs root")
	}
	for _, program := range []string{"ip", "setpriv"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("SKIPPED, no connection was redirected: %v", err)
		}
	}
	h := newHouse(t)
	_, err := realserver.Prepare(h.ctx, func(s string) { t.Log(s) }) // there is no way to an index from the pod
	require.NoError(t, err)
	for dir := h.bin; dir != os.TempDir() && os.Getenv("FRIDAY_BIN") == ""; dir = filepath.Dir(dir) {
		require.NoError(t, os.Chmod(dir, 0o755)) // for the users that it runs as
	}
	env := append(os.Environ(), inPod+"=1", "FRIDAY_BIN="+h.bin)
	if realserver.LlamaBuilt() && os.Getenv(llamaEnv) != "0" {
		_, err := realserver.PrepareChat(h.ctx, func(s string) { t.Log(s) }) // as above
		require.NoError(t, err)
	} else {
		env = append(env, llamaEnv+"=0")
	}
	cmd := exec.CommandContext(h.ctx, os.Args[0], "-test.run", "^TestRedirected$", "-test.v", "-test.count", "1")
	cmd.Env = env
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET, Pdeathsig: syscall.SIGTERM}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = io.MultiWriter(&out, os.Stdout), os.Stderr // as it happens
	require.NoError(t, cmd.Run())
	if strings.Contains(out.String(), "SKIPPED, no connection") {
		t.Skip("SKIPPED, see above")
	}
}

// pod is this process's network, with servers and Friday, and the client's beside it.
type pod struct {
	*house

	t       *testing.T
	outside string
	friday  *sidecar.Sidecar
}

func newPod(t *testing.T) *pod {
	t.Helper()
	p := &pod{house: newHouse(t), t: t, outside: fmt.Sprintf("friday-client-%d", os.Getpid())}
	ip := func(args string) {
		out, err := exec.CommandContext(p.ctx, "ip", strings.Fields(args)...).CombinedOutput()
		require.NoError(t, err, "ip %s: %s", args, out)
	}
	ip("netns add " + p.outside)
	t.Cleanup(func() { _ = exec.Command("ip", "netns", "delete", p.outside).Run() })
	ip("link set lo up")
	ip("-n " + p.outside + " link set lo up")
	ip("link add pod0 type veth peer name client0 netns " + p.outside)
	ip("address add " + pod4 + "/24 dev pod0")
	ip("-6 address add " + pod6 + "/64 dev pod0 nodad")
	ip("-n " + p.outside + " address add " + client4 + "/24 dev client0")
	ip("-n " + p.outside + " -6 address add " + client6 + "/64 dev client0 nodad")
	ip("link set pod0 up")
	ip("-n " + p.outside + " link set client0 up")
	return p
}

// as runs a program as a user with some capabilities and no other.
func as(uid, capabilities string) []string {
	return []string{
		"setpriv", "--reuid", uid, "--regid", uid, "--clear-groups", "--no-new-privs",
		"--inh-caps=-all" + capabilities, "--ambient-caps=-all" + capabilities, "--bounding-set=-all" + capabilities,
	}
}

// redirect runs `friday redirect` with as little as it needs.
func (p *pod) redirect(args ...string) {
	p.t.Helper()
	words := append(append(as("65534", ",+net_admin,+net_raw"), filepath.Join(p.bin, "friday"), "redirect"), args...)
	out, err := exec.CommandContext(p.ctx, words[0], words[1:]...).CombinedOutput()
	if err != nil && strings.Contains(string(out), "not supported by this kernel") {
		p.t.Skipf("SKIPPED, no connection was redirected: %s", out)
	}
	require.NoError(p.t, err, "%s", out)
	p.t.Logf("friday redirect: %s", out)
}

// start starts Friday as the image's user, with no capability.
func (p *pod) start(upstream string, args ...string) {
	p.t.Helper()
	words := append(append(as("65532", ""), filepath.Join(p.bin, "friday"), "proxy", "--mode", "redirect", "--upstream", upstream, "--drain-delay", "2s"), args...)
	f, err := p.group.Start("friday", nil, words[0], words[1:]...)
	require.NoError(p.t, err)
	p.friday = &sidecar.Sidecar{Process: f, Admin: podAdmin}
	require.NoError(p.t, f.Await(p.ctx, time.Minute, process.OK("http://"+podAdmin+"/ready")))
}

// from is an HTTP client in the client's network, or here.
func (p *pod) from(outside bool) *http.Client {
	dial := (&net.Dialer{}).DialContext
	if outside {
		dial = p.dialOutside
	}
	return &http.Client{Transport: &http.Transport{DialContext: dial}, Timeout: time.Minute}
}

// dialOutside dials from the client's network, in which a thread goes for a moment: it
// must not end, for the programs that it has started would end with it.
func (p *pod) dialOutside(ctx context.Context, network, address string) (nc net.Conn, err error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	home, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return nil, err
	}
	defer home.Close()
	away, err := os.Open("/run/netns/" + p.outside)
	if err != nil {
		return nil, err
	}
	defer away.Close()
	if err := unix.Setns(int(away.Fd()), unix.CLONE_NEWNET); err != nil {
		return nil, err
	}
	defer func() {
		if berr := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); berr != nil {
			panic(berr) // everything after it would be elsewhere
		}
	}()
	return (&net.Dialer{}).DialContext(ctx, network, address)
}

func (p *pod) test(t *testing.T) {
	assets, err := realserver.Prepare(p.ctx, func(s string) { t.Log(s) })
	require.NoError(t, err)
	assets.Host = "0.0.0.0"
	server, err := assets.Start(p.ctx, p.group, t.TempDir())
	require.NoError(t, err)
	port := func(address string) string { return address[strings.LastIndexByte(address, ':')+1:] }
	s, err := p.group.Start("stand-in", nil, filepath.Join(p.bin, "standin"), "--listen", "[::]:"+standinPort)
	require.NoError(t, err)
	require.NoError(t, s.Await(p.ctx, time.Minute, process.OK("http://[::1]:"+standinPort+"/health")))
	loopback, err := p.group.Start("stand-in on loopback", nil, filepath.Join(p.bin, "standin"), "--listen", "127.0.0.1:8501")
	require.NoError(t, err)
	require.NoError(t, loopback.Await(p.ctx, time.Minute, process.OK("http://127.0.0.1:8501/health")))

	ports := strings.Join([]string{port(server.Address), port(server.GRPC), standinPort, "8501"}, ",")
	p.redirect("--ports", ports)
	p.redirect("--ports", ports)
	p.start(server.Address, "--health-path", "/v2/health/ready")

	t.Run("MLServer from outside", func(t *testing.T) {
		address := pod4 + ":" + port(server.Address)
		p.batched(t, func() {
			p.pytestBy(t, []string{"ip", "netns", "exec", p.outside}, "test_tritonclient.py",
				"DIRECT="+address, "FRIDAY="+address, "DIGITS="+assets.DigitsFile)
		})
	})
	t.Run("MLServer from within", func(t *testing.T) {
		p.batched(t, func() {
			p.pytest(t, "test_tritonclient.py",
				"DIRECT="+server.Address, "FRIDAY="+server.Address, "DIGITS="+assets.DigitsFile)
		})
	})
	t.Run("MLServer in gRPC", func(t *testing.T) {
		address := pod4 + ":" + port(server.GRPC)
		p.batched(t, func() {
			p.pytestBy(t, []string{"ip", "netns", "exec", p.outside}, "test_inference.py",
				"FORM=grpc", "DIRECT="+address, "FRIDAY="+address, "DIGITS="+assets.DigitsFile,
				"MODEL="+realserver.DigitsModel, "INPUT=predict", "OUTPUT=predict")
		})
	})
	for _, where := range []struct {
		name    string
		outside bool
		host    string
	}{
		{"IPv4 from outside", true, pod4},
		{"IPv6 from outside", true, "[" + pod6 + "]"},
		{"IPv4 from within", false, "127.0.0.1"},
		{"IPv6 from within", false, "[::1]"},
		{"IPv6 from within, by the pod's address", false, "[" + pod6 + "]"},
	} {
		t.Run(where.name, func(t *testing.T) {
			client := p.from(where.outside)
			p.batched(t, func() { p.embeddings(t, client, where.host+":"+standinPort) })
			p.stream(t, client, where.host+":"+standinPort)
			resp, err := client.Get("http://" + where.host + ":19080/")
			require.NoError(t, err)
			resp.Body.Close()
			require.Equal(t, http.StatusMisdirectedRequest, resp.StatusCode)
		})
	}
	t.Run("loopback only", func(t *testing.T) {
		_, err := p.from(true).Get("http://" + pod4 + ":8501/health")
		require.ErrorIs(t, err, unix.ECONNREFUSED, "as without Friday")
	})
	t.Run("llama.cpp", func(t *testing.T) { p.llama(t, ports) })
	t.Run("server ends first", func(t *testing.T) {
		p.ends(t, "http://"+pod4+":"+port(server.Address), assets, func() {
			require.NoError(t, server.Stop(time.Minute))
			require.NoError(t, p.friday.Stop(time.Minute))
		})
	})
	server, err = assets.Start(p.ctx, p.group, t.TempDir())
	require.NoError(t, err)
	p.redirect("--ports", port(server.Address)+","+standinPort)
	p.start(server.Address, "--health-path", "/v2/health/ready")
	t.Run("sidecar ends first", func(t *testing.T) {
		p.ends(t, "http://"+pod4+":"+port(server.Address), assets, func() {
			require.NoError(t, p.friday.Stop(time.Minute))
			require.NoError(t, server.Stop(time.Minute))
		})
	})
	t.Run("undone", func(t *testing.T) {
		_, err := p.from(true).Get("http://" + pod4 + ":" + standinPort + "/health")
		require.ErrorIs(t, err, unix.ECONNREFUSED, "Friday is gone, the rules are not")
		p.redirect("--undo")
		p.redirect("--undo")
		p.embeddings(t, p.from(true), "["+pod6+"]:"+standinPort)
	})
}

// batched says that the batcher has put together what do asks for.
func (p *pod) batched(t *testing.T, do func()) {
	t.Helper()
	before, err := p.friday.Batches(p.ctx)
	require.NoError(t, err)
	do()
	after, err := p.friday.Batches(p.ctx)
	require.NoError(t, err)
	sent := after.Sub(before)
	t.Logf("Friday sent %.0f items in %.0f calls: %.1f at a time", sent.Items, sent.Calls, sent.Mean())
	require.Greater(t, sent.Mean(), 1.2, "nothing was batched, or it went past Friday")
}

// embeddings asks for some, from several callers at once.
func (p *pod) embeddings(t *testing.T, client *http.Client, address string) {
	t.Helper()
	var wg sync.WaitGroup
	var failed atomic.Int64
	for caller := range 8 {
		wg.Go(func() {
			for i := range 20 {
				resp, err := client.Post("http://"+address+"/v1/embeddings", "application/json",
					strings.NewReader(fmt.Sprintf(`{"model":"m","input":"%d of %d"}`, i, caller)))
				if err != nil {
					failed.Add(1)
					continue
				}
				b, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				if err != nil || resp.StatusCode != http.StatusOK || !strings.Contains(string(b), `"embedding"`) {
					failed.Add(1)
				}
			}
		})
	}
	wg.Wait()
	require.Zero(t, failed.Load())
}

// stream reads one, and says that its pieces came one by one.
func (p *pod) stream(t *testing.T, client *http.Client, address string) {
	t.Helper()
	start := time.Now()
	resp, err := client.Post("http://"+address+"/v1/chat/completions", "application/json",
		strings.NewReader(`{"model":"m","stream":true,"max_tokens":50,"messages":[{"role":"user","content":"hi"}]}`))
	require.NoError(t, err)
	defer resp.Body.Close()
	var first time.Duration
	pieces, done := 0, false
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
			if pieces++; first == 0 {
				first = time.Since(start)
			}
			done = data == "[DONE]"
		}
	}
	require.True(t, done)
	require.Greater(t, pieces, 50)
	require.Less(t, first, time.Since(start), "the first piece came with the last")
	t.Logf("%d pieces, the first after %v, the last after %v", pieces, first, time.Since(start))
}

// llama has the official openai SDK chat with llama.cpp, where it was built before.
func (p *pod) llama(t *testing.T, ports string) {
	t.Helper()
	needLlama(t)
	chat, err := realserver.PrepareChat(p.ctx, func(s string) { t.Log(s) })
	if err != nil {
		t.Skipf("SKIPPED, llama.cpp was not called: %v", err)
	}
	chat.Host = "0.0.0.0"
	server, err := chat.Start(p.ctx, p.group)
	require.NoError(t, err)
	_, port, err := net.SplitHostPort(server.Address)
	require.NoError(t, err)
	p.redirect("--ports", ports+","+port)
	p.pytest(t, "test_llama_chat.py", "MODEL="+realserver.SmolLMModel, "DIRECT="+server.Address,
		"FRIDAY="+server.Address, "ADMIN="+podAdmin)
	require.NoError(t, server.Stop(time.Minute))
}

// ends runs a load from outside while end ends the pod. Friday says first that it is not
// ready, and callers leave, as when a pod is deleted: then no request fails.
func (p *pod) ends(t *testing.T, url string, assets *realserver.Assets, end func()) {
	t.Helper()
	row := strings.ReplaceAll(strings.Trim(fmt.Sprint(assets.Digits.Rows[0]), "[]"), " ", ",")
	body := fmt.Sprintf(`{"inputs":[{"name":"predict","shape":[1,%d],"datatype":"FP32","data":[%s]}]}`, len(assets.Digits.Rows[0]), row)
	var wg sync.WaitGroup
	var good, bad atomic.Int64
	var leave atomic.Bool
	var first atomic.Pointer[string]
	for range 8 {
		client := p.from(true)
		wg.Go(func() {
			defer client.CloseIdleConnections()
			for !leave.Load() {
				resp, err := client.Post(url+"/v2/models/"+realserver.DigitsModel+"/infer", "application/json", strings.NewReader(body))
				what := fmt.Sprint(err)
				if err == nil {
					b, rerr := io.ReadAll(resp.Body)
					resp.Body.Close()
					if rerr == nil && resp.StatusCode == http.StatusOK {
						good.Add(1)
						continue
					}
					what = fmt.Sprintf("%d %q %v", resp.StatusCode, b, rerr)
				}
				bad.Add(1)
				first.CompareAndSwap(nil, &what)
			}
		})
	}
	enough := func(n int64) {
		until := good.Load() + n
		require.Eventually(t, func() bool { return good.Load() >= until }, 2*time.Minute, 10*time.Millisecond)
	}
	enough(100)
	_, err := process.Get(p.ctx, "http://"+podAdmin+"/ready")
	require.NoError(t, err)
	resp, err := http.Post("http://"+podAdmin+"/drain_listeners?graceful", "", nil)
	require.NoError(t, err)
	resp.Body.Close()
	leave.Store(true)
	wg.Wait()
	end()
	if what := first.Load(); what != nil {
		t.Logf("first failure: %s", *what)
	}
	t.Logf("%d answered, %d failed", good.Load(), bad.Load())
	require.Zero(t, bad.Load())
}
