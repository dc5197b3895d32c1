package main

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/bench/process"
)

// paper is what a person reads while it is being written.
type paper struct {
	mu sync.Mutex
	b  bytes.Buffer
}

var _ io.Writer = (*paper)(nil)

func (p *paper) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.b.Write(b)
}

func (p *paper) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.b.String()
}

// A server that starts after Friday: a person is told of it, and that it came.
func TestOwnServerStartsLater(t *testing.T) {
	bin := t.TempDir()
	built, err := exec.CommandContext(t.Context(), "go", "build", "-o", bin, "../../../cmd/friday").CombinedOutput()
	require.NoError(t, err, "%s", built)
	addresses, err := process.FreeAddresses(0)
	require.NoError(t, err)
	upstream := addresses[0]
	group, err := process.NewGroup(t.TempDir())
	require.NoError(t, err)
	defer group.Close()

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out := &paper{}
	d := &demo{options: &options{upstream: upstream}, bin: bin, group: group, out: out}
	done := make(chan error, 1)
	go func() { done <- d.own(ctx) }()
	says := func(text string) {
		t.Helper()
		require.Eventually(t, func() bool { return strings.Contains(out.String(), text) }, 30*time.Second, 10*time.Millisecond, "%q", text)
	}
	says(upstream + " is not there yet, callers get 503 until it is: dial tcp")
	require.Contains(t, out.String(), "x-friday-debug: 1")
	require.Contains(t, out.String(), "its admin page")
	require.NotContains(t, out.String(), "fridayctl")

	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	require.NoError(t, server.Listener.Close())
	server.Listener, err = (&net.ListenConfig{}).Listen(t.Context(), "tcp", upstream)
	require.NoError(t, err)
	server.Start()
	defer server.Close()
	says(upstream + " is there now.\n")
	says("Running until Ctrl-C.")
	cancel()
	require.NoError(t, <-done)
}

func TestOwnServerThatCannotBe(t *testing.T) {
	bin := t.TempDir()
	built, err := exec.CommandContext(t.Context(), "go", "build", "-o", bin, "../../../cmd/friday").CombinedOutput()
	require.NoError(t, err, "%s", built)
	var out, errs bytes.Buffer
	require.Equal(t, 1, run([]string{"--bin", bin, "--upstream", "ftp://127.0.0.1:1"}, &out, &errs))
	require.Contains(t, errs.String(), "neither http nor https")
}
