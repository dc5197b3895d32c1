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
	// an open loop the most requests in flight, for which as many connections are
	// opened as it takes. At least 1.
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
	var callers []*caller
	if o.Rate > 0 {
		callers = r.open(ctx)
	} else {
		callers = r.closed(ctx)
	}
	total := &Result{Elapsed: time.Duration(clock.Now() - r.start)}
	for _, c := range callers {
		c.seen.Connections = c.link.Dialled()
		total.Merge(&c.seen)
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

// closed runs a closed loop and returns its callers.
func (r *runner) closed(ctx context.Context) []*caller {
	callers := make([]*caller, r.Concurrency)
	var wg sync.WaitGroup
	for i := range callers {
		c := r.caller()
		callers[i] = c
		wg.Go(func() {
			defer c.link.Close()
			for n, ok := r.next(ctx); ok; n, ok = r.next(ctx) {
				c.ask(ctx, n, 0)
			}
		})
	}
	wg.Wait()
	return callers
}

// caller sends one request at a time.
type caller struct {
	*runner
	link         Link
	seen         Result
	body, header []byte
}

func (r *runner) caller() *caller {
	dial := r.Target.Dial
	if dial == nil {
		dial = HTTP
	}
	return &caller{runner: r, link: dial(&r.Target, r.Timeout)}
}

// ask makes request n, whose time counts from at; 0: from now.
func (c *caller) ask(ctx context.Context, n uint64, at int64) {
	c.body = c.Workload.AppendBody(c.body[:0], n)
	headed, _ := c.Workload.(Headed)
	if headed != nil {
		c.header = headed.AppendHeader(c.header[:0], n, c.body)
	} else {
		c.header = append(c.header[:0], jsonHeader...)
	}
	if at == 0 {
		at = clock.Now()
	}
	leaver, _ := c.link.(leaver)
	leaves := c.Leave > 0 && leaver != nil && rand.Float64() < c.Leave // #nosec G404 -- a load, not a secret
	if leaves {
		within := max(c.seen.Latency.Mean(), 100*time.Microsecond) * 3 / 2
		leaver.leaveAfter(1 + time.Duration(rand.Float64()*float64(within))) // #nosec G404 -- as above
	}
	answer, err := c.link.Call(ctx, c.Workload.Path(), c.header, c.body)
	if leaves {
		leaver.leaveAfter(0)
	}
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
	if headed != nil {
		err = headed.CheckAnswer(n, answer)
	} else {
		err = c.Workload.Check(n, answer.Body)
	}
	if err != nil {
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
