package exchange

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/fridaymesh/friday/proxy"
	"github.com/fridaymesh/friday/proxy/config"
)

// still ends an exchange in which nothing moves any more.
type still struct {
	after     atomic.Int64 // a time.Duration
	timer     *time.Timer
	receiving atomic.Bool // somebody waits for the request's body

	mu   sync.Mutex
	over bool // the exchange has finished
}

// Stuck is a codec whose write may wait for its caller for ever.
type Stuck interface {
	// Stuck ends that write. It is called from any goroutine.
	Stuck()
}

// Watch ends the request's context when nothing has moved (Moved) for as long as the
// listener allows, and has stuck, which may be nil, end its write. It is called after
// Begin, and does nothing where there is no such limit; a route's may come later.
func (x *Exchange) Watch(stuck Stuck) {
	x.stuck = stuck
	x.LimitIdle(x.Active.HTTP.Limits.StreamIdleTimeout)
}

// LimitIdle is Watch with another limit; 0: none.
func (x *Exchange) LimitIdle(d time.Duration) {
	if d <= 0 || d >= config.Unlimited {
		d = config.Unlimited
	}
	if x.still != nil {
		x.still.after.Store(int64(d))
		x.still.timer.Reset(d)
		return
	}
	if d == config.Unlimited {
		return
	}
	s := &still{}
	s.after.Store(int64(d))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.timer = time.AfterFunc(d, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.over {
			return
		}
		if s.receiving.Load() {
			x.cancel(ErrBodyIdle)
		} else {
			x.cancel(proxy.ErrStreamIdle)
		}
		if x.stuck != nil {
			x.stuck.Stuck()
		}
	})
	x.still = s
}

// Moved says that a piece of the request or of its answer has come or gone. Anybody
// may call it, at any time.
func (x *Exchange) Moved() {
	if x.still != nil {
		x.still.timer.Reset(time.Duration(x.still.after.Load()))
	}
}

// Receiving says whether somebody waits for the request's body, which is then what does
// not move.
func (x *Exchange) Receiving(on bool) {
	if x.still != nil {
		x.still.receiving.Store(on)
		x.Moved()
	}
}

// ErrBodyIdle is of a request whose body does not come.
var ErrBodyIdle error = &proxy.Error{ //nolint:errname // an error like another, with a status
	Status: fasthttp.StatusRequestTimeout, Flag: proxy.FlagTimeout, Message: "request body timeout",
}

func (s *still) end() {
	if s == nil {
		return
	}
	s.timer.Stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = true
}
