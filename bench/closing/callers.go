package closing

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
)

// Callers call a sidecar over kept connections of their own.
type Callers struct {
	Address string
	// Number at once.
	Number int
	// Slow callers beside them wait up to Pause between their requests.
	Slow int
	// Burst, where above 0, has all callers pause together, for up to Pause, after
	// between Burst/2 and Burst*3/2 requests of each.
	Burst int
	Pause time.Duration

	// Done and Errors count; the first few errors are kept.
	Done, Errors atomic.Int64

	mu    sync.Mutex
	first []error
}

// First are the first errors.
func (c *Callers) First() []error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.first
}

func (c *Callers) failed(err error) {
	c.Errors.Add(1)
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.first) < 5 {
		c.first = append(c.first, err)
	}
}

// Run makes about total requests.
func (c *Callers) Run(ctx context.Context, total int64) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var slow sync.WaitGroup
	for range c.Slow {
		slow.Go(func() {
			k := caller{c: c}
			defer k.close()
			for ctx.Err() == nil {
				k.call(ctx)
				pause(ctx, rand.N(c.Pause+1)) // #nosec G404 -- no secret
			}
		})
	}
	all := make([]caller, c.Number)
	for i := range all {
		all[i].c = c
	}
	defer func() {
		for i := range all {
			all[i].close()
		}
	}()
	for c.Done.Load() < total && ctx.Err() == nil {
		n := total/int64(c.Number) + 1
		if c.Burst > 0 {
			n = int64(c.Burst/2 + rand.IntN(c.Burst+1)) // #nosec G404 -- as above
		}
		var wg sync.WaitGroup
		for i := range all {
			wg.Go(func() {
				for range n {
					if ctx.Err() != nil || c.Done.Load() >= total {
						return
					}
					all[i].call(ctx)
				}
			})
		}
		wg.Wait()
		if c.Burst > 0 {
			pause(ctx, rand.N(c.Pause+1)) // #nosec G404 -- as above
		}
	}
	err := ctx.Err()
	cancel()
	slow.Wait()
	return err
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

var request = []byte("POST /v1/x HTTP/1.1\r\nHost: h\r\nContent-Type: text/plain\r\nContent-Length: 120\r\n\r\n" + strings.Repeat("y", 120)) //nolint:gochecknoglobals // immutable

// caller is one of them.
type caller struct {
	c  *Callers
	nc net.Conn
	br *bufio.Reader
}

func (k *caller) close() {
	if k.nc != nil {
		_ = k.nc.Close() // nobody cares
		k.nc = nil
	}
}

// call makes one request; one that was cut off by ctx does not count.
func (k *caller) call(ctx context.Context) {
	if err := k.try(ctx); err != nil {
		k.close()
		if ctx.Err() != nil {
			return
		}
		k.c.failed(err)
	}
	k.c.Done.Add(1)
}

func (k *caller) try(ctx context.Context) error {
	if k.nc == nil {
		nc, err := (&net.Dialer{}).DialContext(ctx, "tcp", k.c.Address)
		if err != nil {
			return err
		}
		k.nc, k.br = nc, bufio.NewReader(nc)
	}
	if err := k.nc.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		return err
	}
	if _, err := k.nc.Write(request); err != nil {
		return err
	}
	var h fasthttp.ResponseHeader
	if err := h.Read(k.br); err != nil {
		return err
	}
	n, err := io.CopyN(io.Discard, k.br, int64(max(0, h.ContentLength())))
	if err != nil {
		return err
	}
	if h.StatusCode() != fasthttp.StatusOK || n != answerSize {
		return fmt.Errorf("status %d with %d bytes", h.StatusCode(), n)
	}
	return nil
}
