package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/proxy"
)

// A reader that stalls holds back its own server, and nobody else's.
func TestStalledReader(t *testing.T) {
	pairs(t, func(t *testing.T, client *http.Client, p proxy.UpstreamProtocol) {
		var written atomic.Int64
		piece := "data: " + strings.Repeat("x", 8<<10) + "\n\n"
		h := streaming(t, client, p, "", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			for r.URL.Path == "/endless" {
				n, err := io.WriteString(w, piece)
				if err != nil {
					return
				}
				written.Add(int64(n))
				w.(http.Flusher).Flush()
			}
			_, _ = io.WriteString(w, piece)
		})
		stalled := ask(t, client, h, "/endless")
		_, err := io.ReadFull(stalled.Body, make([]byte, len(piece)))
		require.NoError(t, err)
		// The server stands still once all buffers are full: those of the kernel, and of
		// Friday a few hundred KiB.
		last := int64(-1)
		require.Eventually(t, func() bool {
			before := last
			last = written.Load()
			return before == last
		}, patience, 200*time.Millisecond)
		t.Logf("written before it stood still: %d KiB", last>>10)
		require.Less(t, last, int64(32<<20), "somebody collects it")
		for range 50 {
			b, err := io.ReadAll(ask(t, client, h, "/one").Body)
			require.NoError(t, err)
			require.Len(t, b, len(piece))
		}
		for want := last + 1<<20; written.Load() < want; { // and on it goes
			_, err := io.ReadFull(stalled.Body, make([]byte, len(piece)))
			require.NoError(t, err)
		}
		require.NoError(t, stalled.Body.Close())
	})
}

// A thousand callers leave at random, over both protocols, before both kinds of
// servers: nothing of theirs is left behind.
func TestThousandLeave(t *testing.T) {
	before := descriptors(t)
	t.Run("", func(t *testing.T) {
		pairs(t, func(t *testing.T, client *http.Client, p proxy.UpstreamProtocol) {
			var running atomic.Int64
			h := streaming(t, client, p, "", func(w http.ResponseWriter, r *http.Request) {
				running.Add(1)
				defer running.Add(-1)
				_, _ = io.Copy(io.Discard, r.Body)
				w.Header().Set("Content-Type", "text/event-stream")
				pace := time.NewTicker(time.Millisecond)
				defer pace.Stop()
				for i := range 100 {
					select {
					case <-r.Context().Done():
						return
					case <-pace.C:
					}
					if _, err := fmt.Fprintf(w, "data: %d\n\n", i); err != nil {
						return
					}
					w.(http.Flusher).Flush()
				}
			})
			var wg sync.WaitGroup
			var whole atomic.Int64
			for i := range 250 {
				wg.Go(func() {
					if stays := i%10 == 0; leaveStream(t, client, h.address(), stays) {
						whole.Add(1)
					} else if stays {
						t.Error("a stream of one who stayed was cut")
					}
				})
			}
			wg.Wait()
			t.Logf("%d streams to their ends", whole.Load())
			require.Eventually(t, func() bool { return running.Load() == 0 }, patience, time.Millisecond, "work that nobody waits for")
			client.CloseIdleConnections()
			require.NoError(t, h.Close())
			h.closed.Store(true)
			require.Eventually(t, func() bool {
				return testutil.ToFloat64(h.Metrics().UpstreamOpen.WithLabelValues("up")) == 0 &&
					testutil.ToFloat64(h.Metrics().DownstreamActive.WithLabelValues("in")) == 0
			}, patience, time.Millisecond)
		})
	})
	require.Eventually(t, func() bool { return descriptors(t) <= before }, patience, time.Millisecond, "descriptors left behind")
}

// leaveStream asks for a stream and leaves at some moment; true where it was read to its end.
func leaveStream(t *testing.T, client *http.Client, address string, stays bool) bool {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if !stays {
		time.AfterFunc(time.Duration(rand.IntN(150))*time.Millisecond, cancel) // #nosec G404 -- a moment
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+address+"/v1/chat/completions", strings.NewReader(`{"stream":true}`))
	if err != nil {
		return false
	}
	resp, err := client.Do(req)
	if err == nil {
		_, err = io.Copy(io.Discard, resp.Body)
		err = errors.Join(err, resp.Body.Close())
	}
	if stays && err != nil {
		t.Log(err)
	}
	return err == nil
}

// descriptors is how many this process has open; 0 where that cannot be told.
func descriptors(t *testing.T) int {
	t.Helper()
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0
	}
	return len(open)
}
