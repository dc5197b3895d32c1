package load

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fridaymesh/friday/bench/clock"
)

// Workload is a kind of request and what is right as its answer. Safe for
// concurrent use.
type Workload interface {
	// Path is where the requests are POSTed to.
	Path() string
	// AppendBody appends the body of request n. Equal numbers make equal bodies.
	AppendBody(dst []byte, n uint64) []byte
	// Check says what is wrong with body as the answer to request n; nil: nothing.
	Check(n uint64, body []byte) error
}

// Refusing is a Workload some of whose requests the server has to refuse.
type Refusing interface {
	Workload
	// Refusal says with which status request n has to fail, and what the body
	// must hold; an empty status: it has to be answered.
	Refusal(n uint64) (status, holds string)
}

// Options says what load to make. The run ends when Duration has passed and
// Requests have been sent, whichever is later.
type Options struct {
	Target   Target
	Workload Workload
	// Concurrency is the number of callers, each with a connection of its own; in
	// an open loop the most requests in flight. At least 1.
	Concurrency int
	// Duration is how long new requests are sent.
	Duration time.Duration
	// Requests is how many are sent at least.
	Requests uint64
	// Rate makes an open loop of so many requests a second. 0: a closed loop.
	Rate float64
	// Timeout is for one answer. Default 60 s.
	Timeout time.Duration
	// First is the number of the first request.
	First uint64
	// Leave is the share of the requests, 0 to 1, whose caller closes its
	// connection at a random moment, unless the answer is there before; mostly
	// within the time that answers take.
	Leave float64
}

// Run makes the load and returns what it has seen, also where ctx ended it early.
// An error says that the options make no sense; failing requests are no error.
func Run(ctx context.Context, o Options) (*Result, error) {
	switch {
	case o.Workload == nil:
		return nil, errors.New("load: Workload: is missing")
	case o.Concurrency < 1:
		return nil, fmt.Errorf("load: Concurrency: %d is below 1", o.Concurrency)
	case o.Leave < 0 || o.Leave > 1:
		return nil, fmt.Errorf("load: Leave: %v is not from 0 to 1", o.Leave)
	case o.Rate < 0:
		return nil, fmt.Errorf("load: Rate: %v is negative", o.Rate)
	case o.Duration <= 0 && o.Requests == 0:
		return nil, errors.New("load: neither Duration nor Requests is set")
	}
	if o.Timeout <= 0 {
		o.Timeout = time.Minute
	}
	r := &runner{Options: o, start: clock.Now()}
	r.end = r.start + int64(o.Duration)
	callers := make([]caller, o.Concurrency)
	due := r.due(ctx)
	var wg sync.WaitGroup
	for i := range callers {
		c := &callers[i]
		c.runner = r
		c.link = link{target: &r.Target, timeout: o.Timeout}
		wg.Go(func() { c.loop(ctx, due) })
	}
	wg.Wait()

	total := &Result{Elapsed: time.Duration(clock.Now() - r.start)}
	for i := range callers {
		callers[i].seen.Connections = callers[i].link.dialled
		total.Merge(&callers[i].seen)
	}
	return total, nil
}

// runner is what the callers of one run share.
type runner struct {
	Options
	start, end int64
	sent       atomic.Uint64
}

// next is the number of the next request; false: the run is over.
func (r *runner) next(ctx context.Context) (uint64, bool) {
	if ctx.Err() != nil {
		return 0, false
	}
	n := r.sent.Add(1)
	if n > r.Requests && clock.Now() >= r.end {
		return 0, false
	}
	return r.First + n - 1, true
}

// arrival is a request of an open loop and when it is due.
type arrival struct {
	n  uint64
	at int64
}

// due makes the arrivals of an open loop, nil for a closed one. Those that nobody
// is free to send wait in the channel and then in its sender, without moving the
// moments at which they and all later ones are due.
func (r *runner) due(ctx context.Context) <-chan arrival {
	if r.Rate == 0 {
		return nil
	}
	arrivals := make(chan arrival, 1024)
	go func() {
		defer close(arrivals)
		random := rand.New(rand.NewPCG(r.First, uint64(r.Concurrency))) // #nosec G115 G404 -- a repeatable load, not a secret
		for at := float64(r.start); ; {
			at += random.ExpFloat64() / r.Rate * 1e9
			n := r.sent.Add(1)
			if n > r.Requests && int64(at) >= r.end || clock.SleepUntil(ctx, int64(at)) != nil {
				return
			}
			select {
			case arrivals <- arrival{r.First + n - 1, int64(at)}:
			case <-ctx.Done():
				return
			}
		}
	}()
	return arrivals
}

// caller sends one request at a time.
type caller struct {
	*runner
	link          link
	seen          Result
	body, request []byte
}

func (c *caller) loop(ctx context.Context, due <-chan arrival) {
	defer c.link.close()
	if due != nil {
		for a := range due {
			c.ask(ctx, a.n, a.at)
		}
		return
	}
	for n, ok := c.next(ctx); ok; n, ok = c.next(ctx) {
		c.ask(ctx, n, 0)
	}
}

// ask makes request n, whose time counts from at; 0: from now.
func (c *caller) ask(ctx context.Context, n uint64, at int64) {
	c.body = c.Workload.AppendBody(c.body[:0], n)
	c.request = c.Target.appendRequest(c.request[:0], c.Workload.Path(), c.body)
	if at == 0 {
		at = clock.Now()
	}
	leaves := c.Leave > 0 && rand.Float64() < c.Leave // #nosec G404 -- a load, not a secret
	if leaves {
		within := max(c.seen.Latency.Mean(), 100*time.Microsecond) * 3 / 2
		c.link.leave = 1 + time.Duration(rand.Float64()*float64(within)) // #nosec G404 -- as above
	}
	answer, err := c.link.call(ctx, c.request)
	c.link.leave = 0
	took := time.Duration(clock.Now() - at)
	status, holds := c.refusal(n)
	if err != nil {
		f, ok := errors.AsType[*failure](err)
		switch {
		case leaves && ok && f.kind == "timeout":
			c.seen.Left++
		case status != "" && ok && f.kind == status && strings.Contains(f.err.Error(), holds):
			c.seen.Refused++
		case ctx.Err() == nil: // what the run's own end cut off is nobody's failure
			c.seen.note(err)
			c.rest(ctx, err)
		}
		return
	}
	c.seen.Requests++
	if status != "" {
		c.seen.Wrong++
		c.seen.sample(fmt.Sprintf("request %d: has to be refused with %s and was answered", n, status))
		return
	}
	if err := c.Workload.Check(n, answer); err != nil {
		c.seen.Wrong++
		c.seen.sample(fmt.Sprintf("request %d: %v", n, err))
		return
	}
	c.seen.Latency.Add(took)
}

// refusal is Refusing's, where the workload is.
func (c *caller) refusal(n uint64) (status, holds string) {
	if r, ok := c.Workload.(Refusing); ok {
		return r.Refusal(n)
	}
	return "", ""
}

// rest lets a caller that cannot connect try a hundred times a second, rather than
// as fast as the machine can refuse it.
func (c *caller) rest(ctx context.Context, err error) {
	if f, ok := errors.AsType[*failure](err); ok && f.kind == "connect" {
		_ = clock.WaitUntil(ctx, clock.Now()+int64(10*time.Millisecond))
	}
}

// note counts a request that failed.
func (r *Result) note(err error) {
	kind := "protocol"
	if f, ok := errors.AsType[*failure](err); ok {
		kind = f.kind
	}
	r.fail(kind, 1)
	r.sample(err.Error())
}

func (r *Result) sample(s string) {
	if r.Sample == "" {
		r.Sample = s
	}
}
