//go:build interop

package interop_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/bench/process"
	"github.com/fridaymesh/friday/bench/realserver"
	"github.com/fridaymesh/friday/bench/sidecar"
)

// house is what the clients talk to.
type house struct {
	ctx    context.Context //nolint:containedctx // a test's own
	bin    string
	group  *process.Group
	python *realserver.Venv
}

// patience is for one test; a cold llama.cpp takes most of it.
const patience = 40 * time.Minute

func newHouse(t *testing.T) *house {
	t.Helper()
	h := bareHouse(t)
	python, err := realserver.PrepareVenv(h.ctx, "tritonclient, openai and pytest", realserver.ClientRequirements, func(s string) { t.Log(s) })
	require.NoError(t, err)
	h.python = python
	return h
}

// bareHouse is one without clients in Python.
func bareHouse(t *testing.T) *house {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	group, err := process.NewGroup(t.TempDir())
	require.NoError(t, err)
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(group.Tails(20))
		}
		group.Close()
	})
	return &house{ctx: ctx, bin: binaries(ctx, t), group: group}
}

// binaries builds the programs, or takes those that FRIDAY_BIN names.
func binaries(ctx context.Context, t *testing.T) string {
	t.Helper()
	if dir := os.Getenv("FRIDAY_BIN"); dir != "" {
		bin, err := sidecar.Binaries(dir)
		require.NoError(t, err)
		return bin
	}
	dir := t.TempDir()
	out, err := exec.CommandContext(ctx, "go", "build", "-o", dir+string(filepath.Separator),
		"github.com/fridaymesh/friday/cmd/friday", "github.com/fridaymesh/friday/cmd/fridayctl", "github.com/fridaymesh/friday/cmd/fridayd", "github.com/fridaymesh/friday/bench/cmd/standin").CombinedOutput()
	require.NoError(t, err, "%s", out)
	return dir
}

// proxy puts Friday, with its defaults, in front of a server.
func (h *house) proxy(t *testing.T, upstream string) *sidecar.Sidecar {
	t.Helper()
	addresses, err := process.FreeAddresses(0, 0)
	require.NoError(t, err)
	s, err := sidecar.Proxy(h.ctx, h.group, h.bin, "friday of "+strings.ReplaceAll(t.Name(), "/", " "), upstream, addresses[0], addresses[1])
	require.NoError(t, err)
	return s
}

// pytest runs one file of client tests and reports what it says.
func (h *house) pytest(t *testing.T, file string, env ...string) {
	t.Helper()
	h.pytestBy(t, nil, file, env...)
}

// pytestBy is pytest through a program that runs others.
func (h *house) pytestBy(t *testing.T, by []string, file string, env ...string) {
	t.Helper()
	words := slices.Concat(by, []string{
		h.python.Bin("python"), "-m", "pytest",
		"-p", "no:cacheprovider", "--no-header", "--tb=short", "-rP", "-v", filepath.Join("python", file),
	})
	cmd := exec.CommandContext(h.ctx, words[0], words[1:]...)
	cmd.Env = append(append(os.Environ(), "PYTHONDONTWRITEBYTECODE=1", "NO_COLOR=1"), env...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 5 * time.Second
	out, err := cmd.CombinedOutput()
	passed := bytes.Count(out, []byte(" PASSED"))
	t.Logf("\n%s", strings.TrimSpace(string(out)))
	require.NoError(t, err, "%s", file)
	require.Positive(t, passed, "%s ran no test", file)
	t.Logf("summary: %s: %d of %d client tests passed", file, passed, passed)
}

// The official Triton client speaks the Open Inference Protocol to a real
// MLServer.
func TestTritonClient(t *testing.T) {
	h := newHouse(t)
	assets, err := realserver.Prepare(h.ctx, func(s string) { t.Log(s) })
	require.NoError(t, err)
	server, err := assets.Start(h.ctx, h.group, t.TempDir())
	require.NoError(t, err)
	friday := h.proxy(t, server.Address)

	before, err := friday.Batches(h.ctx)
	require.NoError(t, err)
	h.pytest(t, "test_tritonclient.py",
		"DIRECT="+server.Address, "FRIDAY="+friday.Listen, "DIGITS="+assets.DigitsFile)
	after, err := friday.Batches(h.ctx)
	require.NoError(t, err)
	sent := after.Sub(before)
	t.Logf("Friday sent %.0f items in %.0f calls: %.1f at a time", sent.Items, sent.Calls, sent.Mean())
	require.Greater(t, sent.Mean(), 1.5, "nothing was batched, so batching was not tested")
}

// The official openai SDK talks to the stand-in.
func TestOpenAISDK(t *testing.T) {
	h := newHouse(t)
	addresses, err := process.FreeAddresses(0)
	require.NoError(t, err)
	direct := addresses[0]
	p, err := h.group.Start("stand-in", nil, filepath.Join(h.bin, "standin"), "--listen", direct)
	require.NoError(t, err)
	require.NoError(t, p.Await(h.ctx, 10*time.Second, process.OK("http://"+direct+"/health")))
	friday := h.proxy(t, direct)

	h.pytest(t, "test_openai_sdk.py", "DIRECT="+direct, "FRIDAY="+friday.Listen)
}
