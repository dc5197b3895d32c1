package h2

import (
	"sync/atomic"
	"time"

	"github.com/fridaymesh/friday/proxy/config"
	"github.com/fridaymesh/friday/proxy/exchange"
)

// maxIdleBody is how long a request's body may be silent, where stream_idle_timeout
// does not say less: as in HTTP/1.1. A gRPC stream may be silent, as long as its
// answer is not, too.
const maxIdleBody = 5 * time.Minute

// late ends a Read of a request's body that waits too long.
type late struct {
	idle  time.Duration
	until time.Time // when all of it must have come; zero: none
	timer *time.Timer
	fired atomic.Bool
}

func newLate(l *config.Limits, start time.Time, grpc bool, end func()) *late {
	t := &late{idle: maxIdleBody}
	if grpc || l.StreamIdleTimeout <= maxIdleBody { // what ends an exchange that stands still ends its body as well
		t.idle = config.Unlimited
	}
	if l.RequestTimeout < config.Unlimited {
		t.until = start.Add(l.RequestTimeout)
	}
	t.timer = time.AfterFunc(config.Unlimited, func() {
		t.fired.Store(true)
		end()
	})
	t.timer.Stop()
	return t
}

// begin is called before a Read, end behind it.
func (t *late) begin() {
	d := t.idle
	if !t.until.IsZero() {
		d = min(d, time.Until(t.until))
	}
	t.timer.Reset(d)
}

func (t *late) end() {
	t.timer.Stop()
}

// err is not nil where a Read has waited too long.
func (t *late) err() error {
	if !t.fired.Load() {
		return nil
	}
	return exchange.ErrBodyIdle
}
