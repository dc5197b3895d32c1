package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/bench/load"
	"github.com/fridaymesh/friday/bench/process"
	"github.com/fridaymesh/friday/bench/sidecar"
)

const patience = time.Minute

// mesh is fridayd and a sidecar of it, as processes, before three servers: blue
// and green are right, red errs.
type mesh struct {
	t                     *testing.T
	bin, file, listen     string
	xds, control, history string
	group                 *process.Group
	fridayd               *process.Process
	policy                string
}

func startMesh(t *testing.T) *mesh {
	t.Helper()
	m := &mesh{t: t, bin: t.TempDir(), history: t.TempDir(), file: filepath.Join(t.TempDir(), "digits.yaml")}
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", m.bin, "../friday", "../fridayd", ".").CombinedOutput()
	require.NoError(t, err, "%s", out)
	red := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "out of memory", http.StatusInternalServerError)
	}))
	t.Cleanup(red.Close)
	addresses, err := process.FreeAddresses(0, 0, 0, 0)
	require.NoError(t, err)
	m.listen, m.xds, m.control = addresses[0], addresses[1], addresses[2]
	host, port, _ := strings.Cut(m.listen, ":")
	m.policy = fmt.Sprintf(`apiVersion: friday.dev/v1alpha1
kind: InferencePolicy
metadata: {name: digits}
spec:
  address: %s
  port: %s
  servers:
    blue: {endpoints: [%q]}
    green: {endpoints: [%q]}
    red: {endpoints: [%q]}
  weights: {blue: 100}
`, host, port, hostOf(stand(t)), hostOf(stand(t)), hostOf(red.URL))
	m.write("")
	m.group, err = process.NewGroup(t.TempDir())
	require.NoError(t, err)
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(m.group.Tails(30))
		}
		m.group.Close()
	})
	m.start()
	_, err = sidecar.Meshed(t.Context(), m.group, m.bin, "sidecar-1", m.xds, t.TempDir(), m.listen, addresses[3])
	require.NoError(t, err)
	return m
}

func hostOf(url string) string { return strings.TrimPrefix(url, "http://") }

func (m *mesh) write(extra string) {
	m.t.Helper()
	require.NoError(m.t, os.WriteFile(m.file, []byte(m.policy+extra), 0o600))
}

// start starts fridayd.
func (m *mesh) start() {
	m.t.Helper()
	var err error
	m.fridayd, err = m.group.Start("fridayd", nil, filepath.Join(m.bin, "fridayd"),
		"--policies", filepath.Dir(m.file), "--history", m.history, "--listen", m.xds, "--admin", m.control)
	require.NoError(m.t, err)
	require.NoError(m.t, m.fridayd.Await(m.t.Context(), patience, process.OK("http://"+m.control+"/ready")))
}

// ctl runs fridayctl and returns what it says.
func (m *mesh) ctl(code int, args ...string) string {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(m.t.Context(), 2*patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(m.bin, "fridayctl"), args...)
	cmd.Env = append(os.Environ(), "FRIDAY_CONTROL="+m.control)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	_ = cmd.Run() // the exit code tells
	require.Equal(m.t, code, cmd.ProcessState.ExitCode(), out.String())
	return out.String()
}

// under has callers ask while do is done, and returns what they saw.
func (m *mesh) under(do func()) *load.Result {
	m.t.Helper()
	workload, err := load.Workloads("openai", 1)
	require.NoError(m.t, err)
	target, err := load.ParseTarget("http://" + m.listen)
	require.NoError(m.t, err)
	ctx, cancel := context.WithCancel(m.t.Context())
	done := make(chan *load.Result, 1)
	go func() {
		r, err := load.Run(ctx, load.Options{Target: target, Workload: workload, Concurrency: 4, Duration: time.Hour})
		if err != nil {
			m.t.Error(err)
		}
		done <- r
	}()
	do()
	cancel()
	return <-done
}

// Requests move from one server to another, and back where the other errs;
// nothing fails but what the erring server was given.
func TestShiftUnderLoad(t *testing.T) {
	m := startMesh(t)
	r := m.under(func() {
		out := m.ctl(0, "shift", "digits", "--to", "green=100", "--over", "3s", "--steps", "3")
		require.Contains(t, out, "step 3 of 3: blue=0,green=100")
		require.Contains(t, out, "Done: digits has blue=0,green=100,red=0.")
	})
	t.Logf("shift: %d requests, %d failed, %d wrong", r.Requests, r.Failures(), r.Wrong)
	require.True(t, r.Clean(), r.Trouble())
	require.Contains(t, m.ctl(0, "clusters"), "digits 100%")
	require.Contains(t, m.ctl(0, "history"), "shift: digits to blue=0,green=100,red=0")

	var took time.Duration
	r = m.under(func() {
		start := time.Now()
		out := m.ctl(1, "shift", "digits", "--to", "red=50", "--over", "60s", "--steps", "3")
		took = time.Since(start)
		require.Contains(t, out, "aborted at step 1 of 3: ")
		require.Contains(t, out, "requests to digits.red failed")
		require.Contains(t, out, "digits has its old weights, blue=0,green=100,red=0")
	})
	t.Logf("abort after %v: %d requests, %d failed", took, r.Requests, r.Failures())
	require.Positive(t, r.Failures(), "those that red was given")
	require.True(t, m.under(func() { m.ctl(0, "history") }).Clean())
	require.Contains(t, m.ctl(0, "shift"), "aborted")

	// The weights outlive fridayd.
	require.NoError(t, m.fridayd.Stop(patience))
	m.start()
	require.Contains(t, m.ctl(0, "shift", "-o", "json"), `"green": 100`)
	require.Eventually(t, func() bool { return strings.Contains(m.ctl(0, "dump"), "current") }, patience, 50*time.Millisecond)
	require.True(t, m.under(func() { m.ctl(0, "clusters") }).Clean())

	// A rollback goes back before the shift.
	require.Contains(t, m.ctl(0, "rollback", "--to", "1"), "which is version 1 once more")
	require.Contains(t, m.ctl(0, "history"), "The rollback to version 1 holds")
	require.Contains(t, m.ctl(0, "dump", "sidecar-1"), `"digits.blue"`)
	require.Contains(t, m.ctl(0, "diff"), "-# shifted: digits: blue=0,green=100,red=0")
	require.Contains(t, m.ctl(0, "rollback", "--release"), "Released")
	m.write("  timeout: 20s\n")
	require.Eventually(t, func() bool { return strings.Contains(m.ctl(0, "diff"), "+  timeout: 20s") }, patience, 50*time.Millisecond)
}
