package load

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/fridaymesh/friday/bench/clock"
)

// freshness is how long a caller's connection may lie unused and still be trusted. A
// server may close it at any time after its own limit (uvicorn's is 5 s), and a
// request that is sent just then fails through nobody's fault.
const freshness = 2 * time.Second

// arrivals are the moments at which the requests of an open loop are due: a Poisson
// process, the same for the same seed.
type arrivals struct {
	random *rand.Rand
	rate   float64
	at     float64
}

func newArrivals(start int64, seed uint64, rate float64) *arrivals {
	return &arrivals{random: rand.New(rand.NewPCG(seed, 1)), rate: rate, at: float64(start)} // #nosec G404 -- a repeatable load, not a secret
}

func (a *arrivals) next() int64 {
	a.at += a.random.ExpFloat64() / a.rate * 1e9
	return int64(a.at)
}

// open runs an open loop and returns its callers. Requests are due whether or not the
// ones before are answered. Each takes the caller that was free last, so that as few
// connections are in use as the load needs and they do not grow stale, or a new one
// while there are fewer than Concurrency. Where all are busy a request waits for one;
// that moves neither the moment at which it was due nor those of the others.
func (r *runner) open(ctx context.Context) []*caller {
	var (
		wg   sync.WaitGroup
		all  []*caller
		idle = newPool(r.Concurrency)
		due  = newArrivals(r.start, r.First, r.Rate)
	)
	for {
		at := due.next()
		n := r.sent.Add(1)
		if n > r.Requests && at >= r.end || clock.SleepUntil(ctx, at) != nil {
			break
		}
		c, ok := idle.take(ctx)
		if !ok {
			break
		}
		if c == nil {
			c = r.caller()
			all = append(all, c)
		}
		wg.Go(func() {
			c.ask(ctx, r.First+n-1, at)
			idle.give(c)
		})
	}
	wg.Wait()
	for _, c := range all {
		c.link.Close()
	}
	return all
}

// pool holds the callers of an open loop that have nothing to do.
type pool struct {
	room chan struct{} // a token for each caller that is at work

	mu   sync.Mutex
	free []*caller
}

func newPool(most int) *pool { return &pool{room: make(chan struct{}, most)} }

// take returns the caller that was given back last; nil: there is none, make one. It
// waits while as many are at work as there may be; false: ctx has ended.
func (p *pool) take(ctx context.Context) (*caller, bool) {
	select {
	case p.room <- struct{}{}:
	case <-ctx.Done():
		return nil, false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.free) == 0 {
		return nil, true
	}
	c := p.free[len(p.free)-1]
	p.free = slices.Delete(p.free, len(p.free)-1, len(p.free))
	return c, true
}

func (p *pool) give(c *caller) {
	p.mu.Lock()
	p.free = append(p.free, c)
	p.mu.Unlock()
	<-p.room
}
