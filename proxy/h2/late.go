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

// newLate returns nil where there is no limit.
func newLate(l *config.Limits, start time.Time, grpc bool, end func()) *late {
	t := &late{idle: min(l.StreamIdleTimeout, maxIdleBody)}
	if grpc {
		t.idle = l.StreamIdleTimeout
	}
	if l.RequestTimeout < config.Unlimited {
		t.until = start.Add(l.RequestTimeout)
	} else if t.idle >= config.Unlimited {
		return nil
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
	if t == nil {
		return
	}
	d := t.idle
	if !t.until.IsZero() {
		d = min(d, time.Until(t.until))
	}
	t.timer.Reset(d)
}

func (t *late) end() {
	if t != nil {
		t.timer.Stop()
	}
}

// err is not nil where a Read has waited too long.
func (t *late) err() error {
	if t == nil || !t.fired.Load() {
		return nil
	}
	return exchange.ErrBodyIdle
}
