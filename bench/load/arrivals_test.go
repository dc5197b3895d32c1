package load

import (
	"math"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/bench/clock"
)

func TestArrivalsArePoissonAndRepeatable(t *testing.T) {
	const rate, count, start = 50.0, 20000, int64(1e12)
	a, same, other := newArrivals(start, 7, rate), newArrivals(start, 7, rate), newArrivals(start, 8, rate)
	before, sum, squares, differ := start, 0.0, 0.0, 0
	for range count {
		at := a.next()
		require.Equal(t, at, same.next())
		if at != other.next() {
			differ++
		}
		gap := float64(at-before) / 1e9
		require.GreaterOrEqual(t, gap, 0.0)
		sum += gap
		squares += gap * gap
		before = at
	}
	mean := sum / count
	require.Greater(t, differ, count/2)
	require.InEpsilon(t, 1/rate, mean, 0.03)
	// The gaps of a Poisson process are exponential: their deviation is their mean.
	require.InEpsilon(t, mean, math.Sqrt(squares/count-mean*mean), 0.05)
}

// A connection that has lain unused for long is not used again: the server may be
// closing it.
func TestStaleConnectionsAreNotUsed(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { require.NoError(t, ln.Close()) }()
	served := make(chan struct{})
	go func() {
		defer close(served)
		for range 2 {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			defer func() { _ = nc.Close() }()
			_, _ = nc.Write([]byte("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"))
		}
	}()
	target := &Target{Address: ln.Addr().String()}
	l := &httpLink{link: link{target: target, timeout: time.Minute}}
	defer l.Close()
	for i := range uint64(2) {
		answer, err := l.Call(t.Context(), "/", nil, nil)
		require.NoError(t, err)
		require.Equal(t, "ok", string(answer.Body))
		require.Equal(t, i+1, l.Dialled())
		l.used = clock.Now() - int64(freshness) - 1
	}
	<-served
}
