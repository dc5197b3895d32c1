package upstream

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/proxy"
	"github.com/fridaymesh/friday/proxy/telemetry"
	"github.com/fridaymesh/friday/proxy/tlscontext"
)

// answering answers every request at once.
func answering(extra string) func(int, *peer) {
	return func(_ int, p *peer) {
		for p.head() != "" {
			p.send("HTTP/1.1 200 OK\r\n" + extra + "Content-Length: 2\r\n\r\nok")
		}
	}
}

// held answers when it is told to, and tells when a request has come. It lets go at
// the test's end, however that comes.
func held(came chan<- struct{}, answer <-chan struct{}) func(int, *peer) {
	return func(_ int, p *peer) {
		for p.head() != "" {
			select {
			case came <- struct{}{}:
			case <-p.t.Context().Done():
				return
			}
			select {
			case <-answer:
			case <-p.t.Context().Done():
				return
			}
			p.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		}
	}
}

func limited(t *testing.T, address string, config Config) (*Transport, *telemetry.Metrics) {
	t.Helper()
	m := telemetry.New(prometheus.NewRegistry())
	config.Cluster = "c"
	tr := New(address, config, m)
	t.Cleanup(func() {
		require.NoError(t, tr.Close())
		require.Eventually(t, func() bool { return tr.pool.open.Load() == 0 }, 10*time.Second, time.Millisecond)
		require.Zero(t, testutil.ToFloat64(m.UpstreamOpen.WithLabelValues("c")))
		require.Zero(t, testutil.ToFloat64(m.UpstreamPending.WithLabelValues("c")))
	})
	return tr, m
}

func TestServerSaysHowLongItKeepsConnections(t *testing.T) {
	t.Parallel()
	tr, _ := transport(t, serve(t, answering("Keep-Alive: timeout=3\r\n")))
	roundTrip(t.Context(), t, tr, get(t))
	tr.pool.mu.Lock()
	defer tr.pool.mu.Unlock()
	require.Equal(t, 2250*time.Millisecond, tr.pool.life.usable())
}

// The server closes every connection at some age; soon none is used near it.
func TestAgeAtCloseIsLearned(t *testing.T) {
	t.Parallel()
	const age = 400 * time.Millisecond
	tr, m := transport(t, serve(t, func(_ int, p *peer) {
		for p.head() != "" {
			p.send("HTTP/1.1 204 No Content\r\n\r\n")
			if p.SetReadDeadline(time.Now().Add(age)) != nil {
				return
			}
		}
	}))
	usable := func() time.Duration {
		tr.pool.mu.Lock()
		defer tr.pool.mu.Unlock()
		return tr.pool.life.usable()
	}
	require.Eventually(t, func() bool {
		if idle, _ := tr.pool.count(time.Now()); idle == 0 {
			roundTrip(t.Context(), t, tr, get(t))
		}
		return usable() < age
	}, 20*time.Second, 10*time.Millisecond)
	require.Greater(t, usable(), age/4)
	require.Less(t, usable(), age)

	// One that is about to die is left alone, and watched on.
	roundTrip(t.Context(), t, tr, get(t))
	before := testutil.ToFloat64(m.UpstreamConnections.WithLabelValues("c"))
	tr.pool.mu.Lock()
	tr.pool.idle[0].idleSince = time.Now().Add(-tr.pool.life.usable())
	tr.pool.mu.Unlock()
	require.Nil(t, tr.pool.get())
	roundTrip(t.Context(), t, tr, get(t))
	require.InDelta(t, before+1, testutil.ToFloat64(m.UpstreamConnections.WithLabelValues("c")), 0)
}

func TestLimitsConnectionsAndPending(t *testing.T) {
	t.Parallel()
	came, answer := make(chan struct{}), make(chan struct{})
	limits := NewLimits(2, 3)
	tr, m := limited(t, serve(t, held(came, answer)), Config{Limits: limits})
	var wg sync.WaitGroup
	call := func() { roundTrip(t.Context(), t, tr, get(t)) }
	for range 2 {
		wg.Go(call)
		<-came
	}
	for range 3 {
		wg.Go(call)
	}
	require.Eventually(t, func() bool {
		return limits.Pending() == 3 && testutil.ToFloat64(m.UpstreamPending.WithLabelValues("c")) == 3
	}, 10*time.Second, time.Millisecond)
	_, err := tr.Handle(t.Context(), get(t))
	pe, ok := errors.AsType[*proxy.Error](err)
	require.True(t, ok)
	require.Equal(t, 503, pe.Status)
	require.Equal(t, proxy.FlagOverflow, pe.Flag)
	require.Equal(t, "upstream connect error or disconnect/reset before headers. reset reason: overflow", pe.Message)
	require.False(t, pe.Unsent)
	for range 3 {
		answer <- struct{}{}
		<-came // the next in line has got the connection
	}
	close(answer)
	wg.Wait()
	require.InDelta(t, 2, testutil.ToFloat64(m.UpstreamConnections.WithLabelValues("c")), 0)
}

// A place that becomes free at another endpoint serves who waits here, over either
// protocol.
func TestPlaceOfAnotherEndpoint(t *testing.T) {
	t.Parallel()
	for name, two := range map[string]bool{"HTTP1": false, "HTTP2": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			release := make(chan struct{})
			handler := func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/hold" {
					<-release
				}
			}
			limits := NewLimits(2, 10)
			endpoint := func() (proxy.Handler, io.Closer) {
				if !two {
					tr, _ := limited(t, server2Of(t, 1, handler), Config{Limits: limits})
					return tr, tr
				}
				m, _ := multiplexer(t, server2Of(t, 1, handler), Config{Limits: limits})
				return m, m
			}
			here, _ := endpoint()
			there, closer := endpoint()
			var wg sync.WaitGroup
			ask := func(ctx context.Context, h proxy.Handler, head string) {
				resp, err := h.Handle(ctx, request(t, head, proxy.NoBody))
				if ctx.Err() == nil && assert.NoError(t, err) {
					assert.NoError(t, resp.Close())
				}
			}
			hold, quick := "GET /hold HTTP/1.1\r\nHost: h\r\n\r\n", "GET / HTTP/1.1\r\nHost: h\r\n\r\n"
			wg.Go(func() { ask(t.Context(), here, hold) })
			require.Eventually(t, func() bool { return limits.Connections() == 1 }, 10*time.Second, time.Millisecond)
			gone, leave := context.WithCancelCause(t.Context())
			wg.Go(func() { ask(gone, there, hold) })
			require.Eventually(t, func() bool { return limits.Connections() == 2 && limits.Pending() == 0 }, 10*time.Second, time.Millisecond)
			wg.Go(func() {
				defer close(release) // what is held would be the other way out
				ask(t.Context(), here, quick)
			})
			require.Eventually(t, func() bool { return limits.Pending() == 1 }, 10*time.Second, time.Millisecond)
			leave(proxy.ErrCallerGone)
			require.NoError(t, closer.Close())
			wg.Wait()
		})
	}
}

// Who waits leaves without a trace, and a place that becomes free by a connection's
// end serves the next.
func TestWaitingEnds(t *testing.T) {
	t.Parallel()
	came, answer := make(chan struct{}), make(chan struct{})
	limits := NewLimits(1, 10)
	tr, m := limited(t, serve(t, held(came, answer)), Config{Limits: limits})
	first, cancelFirst := context.WithCancelCause(t.Context())
	ended := make(chan error)
	one, two, three := get(t), get(t), get(t)
	go func() {
		_, err := tr.Handle(first, one)
		ended <- err
	}()
	<-came
	second, cancelSecond := context.WithCancelCause(t.Context())
	go func() {
		_, err := tr.Handle(second, two)
		ended <- err
	}()
	require.Eventually(t, func() bool { return limits.Pending() == 1 }, 10*time.Second, time.Millisecond)
	cancelSecond(proxy.ErrCallerGone)
	require.ErrorContains(t, <-ended, "caller gone")
	require.Zero(t, limits.Pending())

	done := make(chan error)
	go func() {
		resp, err := tr.Handle(t.Context(), three)
		if err == nil {
			_, _ = io.Copy(io.Discard, resp.Body)
			err = resp.Close()
		}
		done <- err
	}()
	require.Eventually(t, func() bool { return limits.Pending() == 1 }, 10*time.Second, time.Millisecond)
	cancelFirst(proxy.ErrCallerGone) // closes the only connection
	require.ErrorContains(t, <-ended, "caller gone")
	answer <- struct{}{} // the first's, which nobody hears
	<-came
	close(answer)
	require.NoError(t, <-done)
	require.InDelta(t, 2, testutil.ToFloat64(m.UpstreamConnections.WithLabelValues("c")), 0)
}

// Every endpoint may have one connection, whatever the limit of all together.
func TestOneConnectionIsAlwaysAllowed(t *testing.T) {
	t.Parallel()
	limits := NewLimits(1, 10)
	a, _ := limited(t, serve(t, answering("")), Config{Limits: limits})
	b, _ := limited(t, serve(t, answering("")), Config{Limits: limits})
	roundTrip(t.Context(), t, a, get(t))
	roundTrip(t.Context(), t, b, get(t))
	require.EqualValues(t, 2, limits.Connections())
	require.NoError(t, a.Close())
	require.NoError(t, b.Close())
	require.Zero(t, limits.Connections())
}

func TestPreconnect(t *testing.T) {
	t.Parallel()
	tr, m := limited(t, serve(t, answering("")), Config{Preconnect: 2.5})
	roundTrip(t.Context(), t, tr, get(t))
	ready := func() int {
		_, n := tr.pool.count(time.Now())
		return n
	}
	// 2.5 for the one that ran, rounded up.
	require.Eventually(t, func() bool { return ready() == 3 }, 10*time.Second, time.Millisecond)
	fresh := m.UpstreamRequests.WithLabelValues("c", "false")
	require.InDelta(t, 1, testutil.ToFloat64(fresh), 0)
	for range 3 {
		roundTrip(t.Context(), t, tr, get(t))
	}
	require.InDelta(t, 3, testutil.ToFloat64(m.UpstreamConnections.WithLabelValues("c")), 0)
}

// A connection made ahead that the server closes at once harms nobody.
// A server's TLS says something by itself, on a connection that has served nothing yet:
// it has not ended.
func TestPreconnectInTLS(t *testing.T) {
	t.Parallel()
	up := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer up.Close()
	client := tlscontext.NewClient(&tlscontext.Upstream{}, "", nil)
	tr, m := limited(t, up.Listener.Addr().String(), Config{Preconnect: 3, TLS: client})
	ready := func() int {
		_, n := tr.pool.count(time.Now())
		return n
	}
	for range 5 {
		roundTrip(t.Context(), t, tr, get(t))
		require.Eventually(t, func() bool { return ready() >= 3 }, 10*time.Second, time.Millisecond)
	}
	time.Sleep(3 * lookEvery) // the reaper looks at them
	require.GreaterOrEqual(t, ready(), 3)
	roundTrip(t.Context(), t, tr, get(t))
	require.LessOrEqual(t, testutil.ToFloat64(m.UpstreamConnections.WithLabelValues("c")), 5.0)
}

func TestPreconnectedAndClosed(t *testing.T) {
	t.Parallel()
	closed := make(chan struct{}, 100)
	tr, _ := limited(t, serve(t, func(n int, p *peer) {
		if n == 1 || n == 2 {
			p.Close()
			closed <- struct{}{}
			return
		}
		answering("")(n, p)
	}), Config{Preconnect: 3})
	roundTrip(t.Context(), t, tr, get(t))
	<-closed
	<-closed
	for range 20 {
		roundTrip(t.Context(), t, tr, get(t))
	}
}

// Many callers over few connections, some of whom leave: nobody is left behind.
func TestPoolUnderLoad(t *testing.T) {
	t.Parallel()
	limits := NewLimits(5, 1000)
	tr, m := limited(t, serve(t, answering("")), Config{Limits: limits})
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			for n := range 40 {
				ctx, cancel := context.WithCancelCause(t.Context())
				if (i+n)%10 == 0 {
					time.AfterFunc(time.Duration(n)*20*time.Microsecond, func() { cancel(proxy.ErrCallerGone) })
				}
				resp, err := tr.Handle(ctx, get(t))
				if err == nil {
					_, _ = io.Copy(io.Discard, resp.Body)
					_ = resp.Close()
				} else if ctx.Err() == nil {
					t.Error(err)
				}
				cancel(nil)
			}
		})
	}
	wg.Wait()
	require.Zero(t, limits.Pending())
	require.LessOrEqual(t, testutil.ToFloat64(m.UpstreamOpen.WithLabelValues("c")), 5.0)
}
