//go:build interop

package interop_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/bench/process"
	"github.com/fridaymesh/friday/bench/realserver"
	"github.com/fridaymesh/friday/bench/sidecar"
)

// jobs puts Friday with the jobs filter in front of a server.
func (h *house) jobs(t *testing.T, upstream string) *sidecar.Sidecar {
	t.Helper()
	addresses, err := process.FreeAddresses(0, 0)
	require.NoError(t, err)
	s, err := sidecar.WithJobs(h.ctx, h.group, h.bin, "friday of "+strings.ReplaceAll(t.Name(), "/", " "), upstream, addresses[0], addresses[1],
		filepath.Join(t.TempDir(), "jobs.db"))
	require.NoError(t, err)
	return s
}

// standin starts the stand-in.
func (h *house) standin(t *testing.T) (address string) {
	t.Helper()
	addresses, err := process.FreeAddresses(0)
	require.NoError(t, err)
	p, err := h.group.Start("stand-in", nil, filepath.Join(h.bin, "standin"), "--listen", addresses[0])
	require.NoError(t, err)
	require.NoError(t, p.Await(h.ctx, 30*time.Second, process.OK("http://"+addresses[0]+"/health")))
	return addresses[0]
}

// The official openai SDK for Python hands batches over, before the stand-in.
func TestOpenAIBatches(t *testing.T) {
	h := newHouse(t)
	friday := h.jobs(t, h.standin(t))
	h.pytest(t, "test_jobs.py", "FRIDAY="+friday.Listen, "MODEL=standin", "ENDPOINT=/v1/embeddings", "LINES=1000")
	h.pytest(t, "test_jobs.py", "FRIDAY="+friday.Listen, "MODEL=standin", "ENDPOINT=/v1/chat/completions", "LINES=100")
}

// goSDK is the version of OpenAI's SDK for Go.
const goSDK = "github.com/openai/openai-go/v3@v3.96.0"

// The official openai SDK for Go does, too. It is fetched into a module of its own.
func TestOpenAIBatchesGo(t *testing.T) {
	h := newHouse(t)
	dir := t.TempDir()
	text, err := os.ReadFile(filepath.Join("testdata", "openaigo", "main.go"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "main.go"), text, 0o600))
	friday := h.jobs(t, h.standin(t))
	for _, args := range [][]string{{"mod", "init", "openaigo"}, {"get", goSDK}, {"run", "."}} {
		ctx, cancel := context.WithTimeout(h.ctx, 15*time.Minute)
		cmd := exec.CommandContext(ctx, "go", args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "FRIDAY="+friday.Listen, "MODEL=standin", "LINES=1000", "GOFLAGS=-mod=mod", "GOWORK=off")
		out, err := cmd.CombinedOutput()
		cancel()
		require.NoError(t, err, "go %v: %s", args, out)
		t.Logf("go %v: %s", args, out)
	}
}

// A thousand embeddings by a real model.
func TestLlamaBatches(t *testing.T) {
	needLlama(t)
	h := newHouse(t)
	llama, err := realserver.PrepareLlama(h.ctx, func(s string) { t.Log(s) })
	require.NoError(t, err)
	server, err := llama.Start(h.ctx, h.group)
	require.NoError(t, err)
	friday := h.jobs(t, server.Address)
	h.pytest(t, "test_jobs.py", "FRIDAY="+friday.Listen, "MODEL="+realserver.MiniLMModel, "ENDPOINT=/v1/embeddings", "LINES=1000")
}

// A hundred chats with a real model.
func TestLlamaChatBatches(t *testing.T) {
	needLlama(t)
	h := newHouse(t)
	chat, err := realserver.PrepareChat(h.ctx, func(s string) { t.Log(s) })
	require.NoError(t, err)
	server, err := chat.Start(h.ctx, h.group)
	require.NoError(t, err)
	friday := h.jobs(t, server.Address)
	h.pytest(t, "test_jobs.py", "FRIDAY="+friday.Listen, "MODEL="+realserver.SmolLMModel, "ENDPOINT=/v1/chat/completions", "LINES=100")
}
