package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/bench/exposition"
	"github.com/fridaymesh/friday/bench/process"
	"github.com/fridaymesh/friday/bench/sidecar"
)

// predictor is a model server that can be batched: of each instance, which is a number,
// it makes the same number, one call after the other.
type predictor struct {
	turn sync.Mutex
	seen sync.Map // the instances that have reached it
}

const predict = "/v1/models/m:predict"

func (p *predictor) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var call struct{ Instances []int64 }
	if r.URL.Path != predict || json.NewDecoder(r.Body).Decode(&call) != nil {
		http.NotFound(w, r)
		return
	}
	for _, n := range call.Instances {
		p.seen.Store(n, nil)
	}
	p.turn.Lock()
	time.Sleep(5 * time.Millisecond) // what a call costs
	p.turn.Unlock()
	json.NewEncoder(w).Encode(map[string][]int64{"predictions": call.Instances})
}

// podCallers ask for numbers until they are told to leave.
type podCallers struct {
	wg       sync.WaitGroup
	leave    atomic.Bool
	next     atomic.Int64
	answered sync.Map // the numbers that came back
	good     atomic.Int64

	mu       sync.Mutex
	failed   map[string]int // answers that were none, by what they were
	unheard  int            // no answer at all
	statuses map[int]int
}

func callPod(url string, n int) *podCallers {
	c := &podCallers{failed: map[string]int{}, statuses: map[int]int{}}
	for range n {
		c.wg.Go(func() {
			tr := &http.Transport{}
			defer tr.CloseIdleConnections()
			client := &http.Client{Transport: tr, Timeout: patience}
			for !c.leave.Load() {
				if !c.once(client, url, c.next.Add(1)) {
					return
				}
			}
		})
	}
	return c
}

// once makes one request; it says false where nobody is there any more.
func (c *podCallers) once(client *http.Client, url string, n int64) bool {
	resp, err := client.Post(url+predict, "application/json", strings.NewReader(fmt.Sprintf(`{"instances":[%d]}`, n)))
	if err != nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.unheard++
		return !errors.Is(err, syscall.ECONNREFUSED)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	want := fmt.Sprintf(`{"predictions":[%d]}`, n)
	c.mu.Lock()
	c.statuses[resp.StatusCode]++
	if err != nil || resp.StatusCode != http.StatusOK || strings.TrimSpace(string(b)) != want {
		c.failed[fmt.Sprintf("%d %q %v", resp.StatusCode, b, err)]++
		c.mu.Unlock()
		return true
	}
	c.mu.Unlock()
	c.answered.Store(n, nil)
	c.good.Add(1)
	return true
}

// more waits until n more have been answered.
func (c *podCallers) more(t *testing.T, n int64) {
	t.Helper()
	until := c.good.Load() + n
	require.Eventually(t, func() bool { return c.good.Load() >= until }, patience, time.Millisecond)
}

// kept says that whatever has reached the server has been answered to its caller.
func (c *podCallers) kept(t *testing.T, p *predictor) {
	t.Helper()
	p.seen.Range(func(n, _ any) bool {
		_, ok := c.answered.Load(n)
		require.True(t, ok, "%v was accepted and not answered; answers: %v, unheard: %d", n, c.failed, c.unheard)
		return true
	})
	t.Logf("%d answered, %d not taken any more, others: %v", c.good.Load(), c.unheard, c.failed)
}

// TestPod plays the beginnings and ends of a pod with processes.
func TestPod(t *testing.T) {
	bin := build(t)
	for name, test := range map[string]func(*testing.T, string){
		"server starts late": serverStartsLate, "server is away": serverIsAway,
		"sidecar ends first": sidecarEndsFirst, "server ends first": serverEndsFirst, "server ends under load": serverEndsUnderLoad,
	} {
		t.Run(name, func(t *testing.T) { test(t, bin) })
	}
}

// pod starts Friday before a server that need not be there.
func pod(t *testing.T, bin, server string, args ...string) *sidecar.Sidecar {
	t.Helper()
	addresses, err := process.FreeAddresses(0, 0)
	require.NoError(t, err)
	p, err := run(t).Start("friday", nil, filepath.Join(bin, "friday"), append([]string{
		"proxy", "--upstream", server, "--listen", addresses[0], "--admin", addresses[1],
	}, args...)...)
	require.NoError(t, err)
	require.NoError(t, p.Await(t.Context(), patience, process.Listening(addresses[0])))
	return &sidecar.Sidecar{Process: p, Listen: addresses[0], Admin: addresses[1]}
}

func statusOf(t *testing.T, url string) int {
	t.Helper()
	resp, err := http.Get(url)
	require.NoError(t, err)
	resp.Body.Close()
	return resp.StatusCode
}

// serverStartsLate: requests wait for it where they are told to, and are
// answered 503 where not. /ready says what is true.
func serverStartsLate(t *testing.T, bin string) {
	t.Helper()
	addresses, err := process.FreeAddresses(0)
	require.NoError(t, err)
	server := addresses[0]
	s := pod(t, bin, server, "--hold-timeout", "10m")
	require.Equal(t, 503, statusOf(t, "http://"+s.Admin+"/ready"))

	const n = 20
	var wg sync.WaitGroup
	c := &podCallers{failed: map[string]int{}, statuses: map[int]int{}}
	for i := range int64(n) {
		wg.Go(func() { c.once(&http.Client{Timeout: 2 * patience}, "http://"+s.Listen, i+1) })
	}
	require.Eventually(t, func() bool {
		text, err := process.Get(t.Context(), "http://"+s.Admin+"/metrics")
		return err == nil && exposition.Sum(string(text), "friday_downstream_requests_active") == n &&
			exposition.Sum(string(text), "friday_upstream_retries_total", `reason="connect-failure"`) > 0
	}, patience, 10*time.Millisecond, "they do not wait")

	p := &predictor{}
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", server)
	require.NoError(t, err)
	hs := &http.Server{Handler: p}
	go hs.Serve(ln)
	defer hs.Close()
	wg.Wait()
	require.EqualValues(t, n, c.good.Load(), "%v, unheard: %d", c.failed, c.unheard)
	require.Equal(t, 200, statusOf(t, "http://"+s.Admin+"/ready"))
	require.NoError(t, s.Stop(patience))
}

// serverIsAway: without being told to wait, nobody does.
func serverIsAway(t *testing.T, bin string) {
	t.Helper()
	addresses, err := process.FreeAddresses(0)
	require.NoError(t, err)
	s := pod(t, bin, addresses[0])
	require.Equal(t, 503, statusOf(t, "http://"+s.Listen+"/"))
	require.NoError(t, s.Stop(patience))
}

// sidecarEndsFirst: Friday gets SIGTERM under load, and the server only when it has ended. Whatever
// was accepted is answered.
func sidecarEndsFirst(t *testing.T, bin string) {
	t.Helper()
	p := &predictor{}
	server := httptest.NewServer(p)
	defer server.Close()
	s := pod(t, bin, strings.TrimPrefix(server.URL, "http://"))
	c := callPod("http://"+s.Listen, 8)
	c.more(t, 200)
	require.NoError(t, s.Stop(patience), "exit code 0")
	c.wg.Wait()
	require.Empty(t, c.failed, "an answer that was none")
	c.kept(t, p)
}

// serverEndsFirst: as it does beside a sidecar that Kubernetes knows as one:
// preStop has Friday say that it is not ready, callers leave, and then nothing has
// failed.
func serverEndsFirst(t *testing.T, bin string) {
	t.Helper()
	p := &predictor{}
	server := httptest.NewServer(p)
	defer server.Close()
	s := pod(t, bin, strings.TrimPrefix(server.URL, "http://"), "--drain-delay", "2s")
	require.NoError(t, s.Await(t.Context(), patience, process.OK("http://"+s.Admin+"/ready")))
	c := callPod("http://"+s.Listen, 8)
	c.more(t, 200)
	resp, err := http.Post("http://"+s.Admin+"/drain_listeners?graceful", "", nil)
	require.NoError(t, err)
	resp.Body.Close()
	require.Equal(t, 503, statusOf(t, "http://"+s.Admin+"/ready"))
	c.more(t, 200) // is served as before
	c.leave.Store(true)
	c.wg.Wait()
	require.Empty(t, c.failed)
	require.Zero(t, c.unheard)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	require.NoError(t, server.Config.Shutdown(ctx))
	require.NoError(t, s.Stop(patience), "the delay has begun before, what is left of it is waited for")
	c.kept(t, p)
}

// serverEndsUnderLoad: it goes under the feet of everybody. What had reached it is answered, and the
// others are told so that they may ask elsewhere, in whole answers.
func serverEndsUnderLoad(t *testing.T, bin string) {
	t.Helper()
	p := &predictor{}
	server := httptest.NewServer(p)
	defer server.Close()
	s := pod(t, bin, strings.TrimPrefix(server.URL, "http://"))
	c := callPod("http://"+s.Listen, 8)
	c.more(t, 200)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	require.NoError(t, server.Config.Shutdown(ctx))
	require.Eventually(t, func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.statuses[503] > 0
	}, patience, time.Millisecond)
	c.leave.Store(true)
	c.wg.Wait()
	for what := range c.failed {
		require.True(t, strings.HasPrefix(what, `503 "upstream connect error`), what)
	}
	require.Zero(t, c.unheard, "Friday is there, and answers")
	c.kept(t, p)
	require.NoError(t, s.Stop(patience))
}
