package process_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/fridaymesh/friday/bench/process"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// gone says whether no process has this id any more.
func gone(pid int) bool { return errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) }

func TestCloseEndsEverything(t *testing.T) {
	g, err := process.NewGroup(t.TempDir())
	require.NoError(t, err)
	defer g.Close()
	ready := filepath.Join(t.TempDir(), "ready")
	polite, err := g.Start("polite one", []string{"READY=" + ready}, "sh", "-c", `trap 'echo ended; exit 3' TERM; echo begun >&2; touch "$READY"; while :; do sleep 0.05; done`)
	require.NoError(t, err)
	require.NoError(t, polite.Await(t.Context(), 10*time.Second, func(context.Context) error {
		_, err := os.Stat(ready)
		return err
	}))
	require.Contains(t, g.Tails(5), "--- polite one (running), the end of ")
	require.Contains(t, polite.Tail(1), "\nbegun\n")
	pid := polite.PID()
	g.Close()
	g.Close() // nothing is left to end
	<-polite.Done()
	require.True(t, gone(pid))
	require.ErrorContains(t, polite.Stop(time.Second), "exit status 3", "ended by SIGTERM, as it wants to be")
	require.Contains(t, polite.Tail(2), "begun\nended\n")
}

func TestStopInsists(t *testing.T) {
	g, err := process.NewGroup(t.TempDir())
	require.NoError(t, err)
	defer g.Close()
	ready := filepath.Join(t.TempDir(), "ready")
	stubborn, err := g.Start("stubborn", []string{"READY=" + ready}, "sh", "-c", `trap '' TERM; touch "$READY"; while :; do sleep 0.05; done`)
	require.NoError(t, err)
	require.NoError(t, stubborn.Await(t.Context(), 10*time.Second, func(context.Context) error {
		_, err := os.Stat(ready)
		return err
	}))
	require.ErrorContains(t, stubborn.Stop(10*time.Millisecond), "killed")
	require.True(t, gone(stubborn.PID()))
}

func TestAwaitGivesUp(t *testing.T) {
	g, err := process.NewGroup(t.TempDir())
	require.NoError(t, err)
	defer g.Close()
	never := func(context.Context) error { return errors.New("not yet") }

	short, err := g.Start("short", nil, "sh", "-c", "echo no such file; exit 1")
	require.NoError(t, err)
	err = short.Await(t.Context(), time.Minute, never)
	require.ErrorIs(t, err, process.ErrEnded)
	require.EqualError(t, err, "short: the program has ended (exit status 1)")
	require.Contains(t, short.Tail(3), "no such file")

	long, err := g.Start("long", nil, "sleep", "60")
	require.NoError(t, err)
	require.ErrorContains(t, long.Await(t.Context(), 20*time.Millisecond, never), "long: not ready after 20ms: not yet")

	_, err = g.Start("missing", nil, filepath.Join(t.TempDir(), "missing"))
	require.ErrorContains(t, err, "missing: ")
}

func TestReadiness(t *testing.T) {
	status := http.StatusServiceUnavailable
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = w.Write([]byte("hello"))
	}))
	address := srv.Listener.Addr().String()
	require.ErrorContains(t, process.OK(srv.URL)(t.Context()), "status 503: hello")
	status = http.StatusOK
	require.NoError(t, process.OK(srv.URL)(t.Context()))
	require.NoError(t, process.Listening(address)(t.Context()))
	srv.Close()
	require.Error(t, process.OK(srv.URL)(t.Context()))
	require.Error(t, process.Listening(address)(t.Context()))
}

func TestFreePorts(t *testing.T) {
	srv := httptest.NewServer(http.NotFoundHandler())
	defer srv.Close()
	taken, err := strconv.Atoi(srv.URL[len("http://127.0.0.1:"):])
	require.NoError(t, err)
	port, err := process.FreePort(taken)
	require.NoError(t, err)
	require.NotEqual(t, taken, port)

	addresses, err := process.FreeAddresses(port, port, 0)
	require.NoError(t, err)
	require.Len(t, addresses, 3)
	require.Equal(t, "127.0.0.1:"+strconv.Itoa(port), addresses[0])
	require.NotEqual(t, addresses[0], addresses[1])
	require.NotEqual(t, addresses[1], addresses[2])
}

func TestMachineAndCPU(t *testing.T) {
	require.Contains(t, process.Machine(), "cores")
	g, err := process.NewGroup(t.TempDir())
	require.NoError(t, err)
	defer g.Close()
	busy, err := g.Start("busy", nil, "sh", "-c", "while :; do :; done")
	require.NoError(t, err)
	if process.LoadAverage() < 0 {
		t.Skip("this system does not tell")
	}
	require.Eventually(t, func() bool { return busy.CPU() > 0 }, 20*time.Second, 10*time.Millisecond)
}
