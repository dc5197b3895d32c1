package h2

import (
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fridaymesh/friday/proxy/config"
	"github.com/fridaymesh/friday/proxy/http2"
)

// conn is a caller's connection.
type conn struct {
	*http2.Conn

	nc      net.Conn
	begun   time.Time
	total   atomic.Int64   // requests ever
	serving sync.WaitGroup // requests that run
}

// last says whether the connection takes no more requests.
func (c *conn) last(l *config.Limits) bool {
	if l.MaxConnectionDuration < config.Unlimited && time.Since(c.begun) > l.MaxConnectionDuration {
		return true
	}
	return l.MaxRequestsPerConnection > 0 && c.total.Load() >= int64(l.MaxRequestsPerConnection)
}

// expire ends the connection where it serves nothing; else its next answer does.
func (c *conn) expire() {
	if c.InFlight() == 0 {
		c.Shutdown()
	}
}
