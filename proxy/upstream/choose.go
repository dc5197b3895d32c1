package upstream

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// choice is the protocol that an endpoint has chosen by ALPN. It is found out by the
// first connection, which is then the first that is used.
type choice struct {
	learned atomic.Int32

	mu      sync.Mutex
	finding *finding // nil where nobody asks just now
	spare   net.Conn // the connection that found out, until it is taken
	since   time.Time
}

// finding is a handshake that some wait for.
type finding struct {
	done  chan struct{}
	http2 bool
	err   error
}

// What has been learned.
const (
	notLearned int32 = iota
	chosenHTTP1
	chosenHTTP2
)

// isHTTP2 says what the endpoint has chosen. All who come before that is known wait
// for one handshake, which goes on where one of them leaves.
func (c *choice) isHTTP2(ctx context.Context, d *door) (bool, error) {
	if now := c.learned.Load(); now != notLearned {
		return now == chosenHTTP2, nil
	}
	c.mu.Lock()
	f := c.finding
	if f == nil {
		f = &finding{done: make(chan struct{})}
		c.finding = f
		// #nosec G118 -- it is for all who wait
		go c.find(f, d) //nolint:contextcheck // as above
	}
	c.mu.Unlock()
	select {
	case <-f.done:
		return f.http2, f.err
	case <-ctx.Done():
		return false, ctx.Err()
	}
}

func (c *choice) find(f *finding, d *door) {
	nc, err := d.dial(context.Background(), forBoth)
	f.err = err
	if s, ok := nc.(*secureConn); ok && err == nil {
		chosen := s.ConnectionState().NegotiatedProtocol
		f.http2 = chosen == "h2" || chosen == "istio-h2"
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.finding = nil
	if err == nil {
		c.spare, c.since = nc, time.Now()
		c.learned.Store(chosenHTTP1)
		if f.http2 {
			c.learned.Store(chosenHTTP2)
		}
	}
	close(f.done)
}

// take returns the connection that found out, once; nil where there is none.
func (c *choice) take() net.Conn {
	if c == nil || c.learned.Load() == notLearned {
		return nil
	}
	nc, age := c.takeAny()
	if nc != nil && age > maxSpare {
		_ = nc.Close() // the server may have closed it
		return nil
	}
	return nc
}

// maxSpare is how long a connection that nobody watches can be used.
const maxSpare = time.Second

// forget has it found out anew: the endpoint does not speak any more what it chose.
func (c *choice) forget() {
	if c == nil {
		return
	}
	c.learned.Store(notLearned)
	if nc, _ := c.takeAny(); nc != nil {
		_ = nc.Close() // there is nobody to tell
	}
}

func (c *choice) takeAny() (nc net.Conn, age time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	nc, c.spare = c.spare, nil
	return nc, time.Since(c.since)
}
