package takeover

import (
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/fridaymesh/friday/proxy/proxytest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// older is a process that listens on "a" and "b".
type older struct {
	mu   sync.Mutex
	lns  map[string]*net.TCPListener
	left chan int
}

func newOlder(t *testing.T) *older {
	t.Helper()
	o := &older{lns: map[string]*net.TCPListener{}, left: make(chan int, 1)}
	for _, name := range []string{"a", "b"} {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		t.Cleanup(func() { ln.Close() })
		o.lns[name] = ln.(*net.TCPListener)
	}
	return o
}

func (o *older) Sockets() map[string]syscall.Conn {
	o.mu.Lock()
	defer o.mu.Unlock()
	all := map[string]syscall.Conn{}
	for name, ln := range o.lns {
		all[name] = ln
	}
	return all
}

func (o *older) Leave(pid int) {
	for _, ln := range o.lns {
		ln.Close()
	}
	o.left <- pid
}

func offer(t *testing.T, path string, src Source) *Offer {
	t.Helper()
	o, err := NewOffer(path, src, zap.NewNop())
	require.NoError(t, err)
	t.Cleanup(func() { o.Close() })
	o.Open()
	return o
}

func socket(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "take") //nolint:usetesting // t.TempDir's are too long for a socket
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "s")
}

// Whoever waits in the queue of a socket that is handed over is served.
func TestNobodyIsLost(t *testing.T) {
	proxytest.Leaks(t)
	o, path := newOlder(t), socket(t)
	offer(t, path, o)
	var callers []net.Conn
	for _, ln := range o.lns {
		for range 20 { // nobody has accepted them
			c, err := net.Dial("tcp", ln.Addr().String())
			require.NoError(t, err)
			t.Cleanup(func() { c.Close() })
			callers = append(callers, c)
		}
	}
	claim, err := Take(t.Context(), path)
	require.NoError(t, err)
	defer claim.Close()
	if runtime.GOOS == "linux" {
		require.Equal(t, os.Getpid(), claim.Predecessor)
	}
	a, err := claim.Listener("a")
	require.NoError(t, err)
	none, err := claim.Listener("c")
	require.NoError(t, err)
	require.Nil(t, none)
	require.NoError(t, claim.Ready())
	<-o.left
	b, err := claim.Listener("b") // it came unasked
	require.NoError(t, err)
	require.NotNil(t, b)
	require.Empty(t, claim.Forget())
	for _, ln := range []net.Listener{a, b} {
		go func() {
			for {
				c, err := ln.Accept()
				if err != nil {
					return
				}
				io.WriteString(c, "served")
				c.Close()
			}
		}()
		t.Cleanup(func() { ln.Close() })
	}
	for _, c := range callers {
		require.NoError(t, c.SetDeadline(time.Now().Add(proxytest.Patience)))
		got, err := io.ReadAll(c)
		require.NoError(t, err)
		require.Equal(t, "served", string(got))
	}
}

// Who comes while one takes over from another finds somebody, and waits for it.
func TestSuccessorOfASuccessor(t *testing.T) {
	proxytest.Leaks(t)
	first, second, path := newOlder(t), newOlder(t), socket(t)
	o := offer(t, path, first)
	claim, err := Take(t.Context(), path)
	require.NoError(t, err)
	defer claim.Close()
	next, err := NewOffer(path, second, zap.NewNop())
	require.NoError(t, err)
	t.Cleanup(func() { next.Close() })
	type outcome struct {
		claim *Claim
		err   error
	}
	third := make(chan outcome, 1)
	go func() {
		c, err := Take(t.Context(), path)
		third <- outcome{c, err}
	}()
	require.NoError(t, claim.Ready())
	<-first.left
	require.NoError(t, o.Close())
	_, err = os.Lstat(path)
	require.NoError(t, err, "the name is the successor's")
	next.Open()
	got := <-third
	require.NoError(t, got.err)
	require.NotNil(t, got.claim)
	require.NoError(t, got.claim.Ready())
	<-second.left
	got.claim.Close()
}

func TestNothingHasHappenedBeforeReady(t *testing.T) {
	proxytest.Leaks(t)
	o, path := newOlder(t), socket(t)
	offer(t, path, o)
	for range 3 {
		var claim *Claim
		require.Eventually(t, func() bool { // the older one may take a moment to see the last one go
			var err error
			claim, err = Take(t.Context(), path)
			return err == nil
		}, proxytest.Patience, time.Millisecond)
		ln, err := claim.Listener("a")
		require.NoError(t, err)
		_, err = Take(t.Context(), path)
		require.ErrorContains(t, err, "is taking over just now")
		require.NoError(t, ln.Close())
		require.NoError(t, claim.Close())
	}
	require.Empty(t, o.left)
	c, err := net.Dial("tcp", o.lns["a"].Addr().String())
	require.NoError(t, err)
	c.Close()
}

func TestSocketsName(t *testing.T) {
	proxytest.Leaks(t)
	path := socket(t)
	claim, err := Take(t.Context(), path)
	require.NoError(t, err)
	require.Nil(t, claim, "nobody is there")
	first := offer(t, path, newOlder(t))
	info, err := os.Lstat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	second := offer(t, path, newOlder(t))
	require.NoError(t, first.Close(), "it leaves its successor's name alone")
	claim, err = Take(t.Context(), path)
	require.NoError(t, err)
	require.NoError(t, claim.Close())
	require.NoError(t, second.Close())
	_, err = os.Lstat(path)
	require.ErrorIs(t, err, os.ErrNotExist)
	// One that was killed leaves its name behind.
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	require.NoError(t, err)
	ln.SetUnlinkOnClose(false)
	require.NoError(t, ln.Close())
	claim, err = Take(t.Context(), path)
	require.NoError(t, err)
	require.Nil(t, claim)
	offer(t, path, newOlder(t))
}

func TestOlderGoes(t *testing.T) {
	proxytest.Leaks(t)
	path := socket(t)
	o := offer(t, path, newOlder(t))
	claim, err := Take(context.Background(), path)
	require.NoError(t, err)
	require.NoError(t, o.Close())
	_, err = claim.Listener("a")
	require.Error(t, err)
	require.Error(t, claim.Ready())
	require.NoError(t, claim.Close())
}

// FuzzMessage: what comes over the socket is a message or an error.
func FuzzMessage(f *testing.F) {
	for _, s := range []string{`{"ask":"hello","protocol":1}`, `{"ask":"take","name":"listener 0.0.0.0:1"}`, `{"found":true}`, `[]`, "{"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		var m message
		if decode(in, &m) == nil {
			require.LessOrEqual(t, len(m.Ask)+len(m.Name)+len(m.Error), 3*len(in))
		}
	})
}
