package exchange

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/fridaymesh/friday/proxy"
	"github.com/fridaymesh/friday/proxy/config"
)

// still ends an exchange in which nothing moves any more. Where its timer was stopped in
// time another exchange has it next.
type still struct {
	timer     *time.Timer  // set once
	after     atomic.Int64 // a time.Duration
	receiving atomic.Bool  // somebody waits for the request's body

	mu sync.Mutex
	x  *Exchange // nil: it has finished
}

var stills = sync.Pool{New: func() any { //nolint:gochecknoglobals // a pool is shared by nature
	s := &still{}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.timer = time.AfterFunc(config.Unlimited, s.fire)
	s.timer.Stop()
	return s
}}

// begin watches x.
func (s *still) begin(x *Exchange, d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.x = x
	s.after.Store(int64(d))
	s.receiving.Store(false)
	s.timer.Reset(d)
}

// fire is the timer's.
func (s *still) fire() {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.x == nil:
		return
	case s.receiving.Load():
		s.x.cancel(ErrBodyIdle)
	default:
		s.x.cancel(proxy.ErrStreamIdle)
	}
	if s.x.stuck != nil {
		s.x.stuck.Stuck()
	}
}

// end is called once, when nobody moves any more.
func (s *still) end() {
	if s == nil {
		return
	}
	stopped := s.timer.Stop()
	s.mu.Lock()
	s.x = nil
	s.mu.Unlock()
	if stopped {
		stills.Put(s)
	}
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
	x.still = stills.Get().(*still) //nolint:forcetypeassert // the pool holds nothing else
	x.still.begin(x, d)
}

// Moved says that a piece of the request or of its answer has come or gone. Anybody
// may call it, until Finish.
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
