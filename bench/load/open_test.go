package load_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/bench/load"
	"github.com/fridaymesh/friday/bench/standin"
)

// crowd is a server that answers nobody until so many are waiting.
func crowd(t *testing.T, size int64) string {
	t.Helper()
	var waiting atomic.Int64
	gathered := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if waiting.Add(1) == size {
			close(gathered)
		}
		select {
		case <-gathered:
			_, _ = w.Write([]byte(`{"predictions":[]}`))
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(srv.Close)
	return srv.Listener.Addr().String()
}

// plain is a workload to which every answer is right.
type plain struct{}

func (plain) Path() string                           { return "/" }
func (plain) AppendBody(dst []byte, n uint64) []byte { return strconv.AppendUint(dst, n, 10) }
func (plain) Check(uint64, []byte) error             { return nil }

func TestOpenLoopDoesNotWaitForAnswers(t *testing.T) {
	const requests = 100
	r, err := load.Run(t.Context(), load.Options{
		Target: load.Target{Address: crowd(t, requests)}, Workload: plain{},
		Concurrency: requests, Rate: 5000, Requests: requests,
	})
	require.NoError(t, err)
	require.True(t, r.Clean(), r.Trouble())
	require.Equal(t, uint64(requests), r.Requests)
	require.Equal(t, uint64(requests), r.Connections, "all were in flight at once")
}

// A server that is quick enough needs few connections, however many are allowed.
func TestOpenLoopUsesTheWarmestConnection(t *testing.T) {
	address, _ := stand(t, standin.Config{})
	r, err := load.Run(t.Context(), load.Options{
		Target: load.Target{Address: address}, Workload: workload(t, "openai", 1),
		Concurrency: 4096, Rate: 200, Requests: 60,
	})
	require.NoError(t, err)
	require.True(t, r.Clean(), r.Trouble())
	require.Less(t, r.Connections, uint64(20))
}

// moments is a way that answers at once and writes down when it was asked.
type moments struct {
	mu   *sync.Mutex
	seen *[]string
}

func (m moments) Call(_ context.Context, path string, header, body []byte) (load.Answer, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	*m.seen = append(*m.seen, path+" "+string(header)+string(body))
	return load.Answer{Header: http1{"x": "y"}, Body: body}, nil
}

func (moments) Dialled() uint64 { return 1 }
func (moments) Close()          {}

type http1 map[string]string

func (h http1) Peek(name string) []byte { return []byte(h[name]) }

// headed is a workload that has header lines and looks at the answer's.
type headed struct{ plain }

func (headed) AppendHeader(dst []byte, n uint64, _ []byte) []byte {
	return append(strconv.AppendUint(append(dst, "n: "...), n, 10), "\r\n"...)
}

func (headed) CheckAnswer(_ uint64, answer load.Answer) error {
	if string(answer.Header.Peek("x")) != "y" {
		return io.ErrUnexpectedEOF
	}
	return nil
}

func TestOtherProtocols(t *testing.T) {
	for _, rate := range []float64{0, 1000} {
		m := moments{mu: new(sync.Mutex), seen: new([]string)}
		r, err := load.Run(t.Context(), load.Options{
			Target: load.Target{Dial: func(*load.Target, time.Duration) load.Link { return m }}, Workload: headed{},
			Concurrency: 1, Rate: rate, Requests: 3, First: 7,
		})
		require.NoError(t, err)
		require.True(t, r.Clean(), r.Trouble())
		require.Equal(t, []string{"/ n: 7\r\n7", "/ n: 8\r\n8", "/ n: 9\r\n9"}, *m.seen)
		require.Equal(t, uint64(1), r.Connections)
	}
}

func TestHeadedOverHTTP(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X", "y")
		if r.Header.Get("N") != "0" || r.Header.Get("Content-Type") != "" {
			w.WriteHeader(http.StatusTeapot)
		}
	}))
	defer srv.Close()
	r, err := load.Run(t.Context(), load.Options{
		Target: load.Target{Address: srv.Listener.Addr().String()}, Workload: headed{}, Concurrency: 1, Requests: 1,
	})
	require.NoError(t, err)
	require.True(t, r.Clean(), r.Trouble())
}
