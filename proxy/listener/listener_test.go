package listener

import (
	"context"
	"io"
	"net"
	"os"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 10 * time.Second

func open(t *testing.T) *Listener {
	t.Helper()
	w, err := NewWatch()
	require.NoError(t, err)
	l, err := Listen(t.Context(), "127.0.0.1:0", w, zap.NewNop())
	require.NoError(t, err)
	t.Cleanup(func() {
		l.Close()
		l.Abort()
		require.NoError(t, l.Wait(context.Background()))
		require.NoError(t, w.Close())
	})
	return l
}

// accepted serves l and hands each connection to the test, which ends it.
func accepted(t *testing.T, l *Listener) chan *Conn {
	t.Helper()
	conns, end := make(chan *Conn), make(chan struct{})
	done := make(chan error, 1)
	go func() {
		done <- l.Serve(func(c *Conn) {
			conns <- c
			<-end
		})
	}()
	t.Cleanup(func() {
		close(end)
		l.Close()
		require.NoError(t, <-done)
	})
	return conns
}

func dial(t *testing.T, l *Listener) *net.TCPConn {
	t.Helper()
	c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", l.Addr().String())
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	return c.(*net.TCPConn)
}

func TestGone(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("noticed on Linux only")
	}
	for name, leave := range map[string]func(c *net.TCPConn) error{
		"close":       func(c *net.TCPConn) error { return c.Close() },
		"reset":       func(c *net.TCPConn) error { return errorsOf(c.SetLinger(0), c.Close()) },
		"half-close":  func(c *net.TCPConn) error { return c.CloseWrite() },
		"behind data": func(c *net.TCPConn) error { _, err := io.WriteString(c, "unread"); return errorsOf(err, c.Close()) },
	} {
		t.Run(name, func(t *testing.T) {
			l := open(t)
			conns := accepted(t, l)
			caller := dial(t, l)
			c := <-conns
			gone := make(chan struct{})
			c.OnGone(func() { close(gone) })
			select {
			case <-gone:
				t.Fatal("told before")
			default:
			}
			require.NoError(t, leave(caller))
			select {
			case <-gone:
			case <-time.NewTimer(patience).C:
				t.Fatal("not told")
			}
			late := false
			c.OnGone(func() { late = true })
			require.True(t, late, "whoever asks later is told at once")
		})
	}
}

func errorsOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func TestNotToldWhenTakenBack(t *testing.T) {
	l := open(t)
	conns := accepted(t, l)
	caller, other := dial(t, l), dial(t, l)
	a, b := <-conns, <-conns
	if a.RemoteAddr().String() != caller.LocalAddr().String() {
		a, b = b, a
	}
	var told atomic.Bool
	a.OnGone(func() { told.Store(true) })
	a.OnGone(nil)
	gone := make(chan struct{})
	b.OnGone(func() { close(gone) })
	require.NoError(t, caller.Close())
	require.NoError(t, other.Close())
	if runtime.GOOS == "linux" {
		<-gone
	}
	require.False(t, told.Load())
}

func TestAbortAndWait(t *testing.T) {
	l := open(t)
	served := make(chan struct{})
	go l.Serve(func(c *Conn) {
		close(served)
		io.Copy(io.Discard, c) // until it is closed
	})
	dial(t, l)
	<-served
	require.Equal(t, 1, l.Connections())
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(os.ErrDeadlineExceeded)
	require.ErrorIs(t, l.Wait(ctx), os.ErrDeadlineExceeded)
	require.NoError(t, l.Close())
	l.Abort()
	require.NoError(t, l.Wait(t.Context()))
	require.Zero(t, l.Connections())
}
