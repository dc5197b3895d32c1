package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/bench/process"
	"github.com/fridaymesh/friday/bench/sidecar"
)

// answer is what a door answers.
func answer(t *testing.T, method, url string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, http.NoBody)
	require.NoError(t, err)
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, string(b)
}

// drainable starts a sidecar and returns its addresses: for callers, for operators,
// and for whoever asks for its status.
func drainable(t *testing.T, bin string, delay time.Duration) (s *sidecar.Sidecar, public string) {
	t.Helper()
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "served") }))
	t.Cleanup(up.Close)
	addresses, err := process.FreeAddresses(0, 0, 0)
	require.NoError(t, err)
	s, err = sidecar.Proxy(t.Context(), run(t), bin, "friday", strings.TrimPrefix(up.URL, "http://"), addresses[0], addresses[1],
		"--status", addresses[2], "--drain-delay", delay.String(), "--drain-timeout", "10s")
	require.NoError(t, err)
	return s, addresses[2]
}

func drainBy(t *testing.T, bin, admin string) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), filepath.Join(bin, "friday"), "drain", "--admin", admin).CombinedOutput()
	require.NoError(t, err, "%s", out)
}

// The status door answers others than this host, and orders nothing; friday drain
// begins the delay, in which everything is served, and SIGTERM does not cut it short.
func TestStatusDoorAndDrain(t *testing.T) {
	bin := build(t)
	s, public := drainable(t, bin, time.Hour)
	for path, want := range map[string]int{
		"/ready": http.StatusOK, "/live": http.StatusOK, "/metrics": http.StatusOK, "/config_dump": http.StatusNotFound, "/debug/pprof/": http.StatusNotFound,
	} {
		got, body := answer(t, http.MethodGet, "http://"+public+path)
		require.Equal(t, want, got, "%s: %s", path, body)
	}
	code, _ := answer(t, http.MethodPost, "http://"+public+"/quitquitquit")
	require.Equal(t, http.StatusNotFound, code)

	drainBy(t, bin, s.Admin)
	require.NoError(t, syscall.Kill(s.PID(), syscall.SIGTERM)) // as the kubelet does after the hook
	require.Eventually(t, func() bool { return strings.Contains(s.Tail(5), "draining begins after the delay") }, patience, 10*time.Millisecond)
	code, body := answer(t, http.MethodGet, "http://"+public+"/ready")
	require.Equal(t, http.StatusServiceUnavailable, code)
	require.Contains(t, body, "DRAINING")
	code, body = answer(t, http.MethodGet, "http://"+s.Listen)
	require.Equal(t, fmt.Sprint(http.StatusOK, "served"), fmt.Sprint(code, body))
	code, _ = answer(t, http.MethodGet, "http://"+public+"/live")
	require.Equal(t, http.StatusOK, code)
	require.NoError(t, syscall.Kill(s.PID(), syscall.SIGKILL)) // nobody waits an hour
	<-s.Done()

	const delay = time.Second
	s, _ = drainable(t, bin, delay)
	began := time.Now()
	drainBy(t, bin, s.Admin)
	require.NoError(t, s.Stop(patience))
	require.GreaterOrEqual(t, time.Since(began), delay)
}
