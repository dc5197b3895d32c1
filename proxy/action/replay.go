package action

import (
	"errors"
	"io"
	"sync"

	"github.com/valyala/fasthttp"

	"github.com/fridaymesh/friday/proxy"
)

// replay lets a body be read more than once while it arrives. It is read from the caller
// as the attempt at hand asks for it, so its back-pressure is the server's, and kept up
// to a limit; past that only the attempt at hand can go on.
//
// A goroutine of its own reads: an attempt that is given up must not wait for a caller
// who sends nothing, and what the caller sends later belongs to the next attempt.
type replay struct {
	source proxy.Body
	limit  int

	mu     sync.Mutex
	wake   *sync.Cond
	buf    []byte
	err    error // of source, io.EOF at its end
	wanted bool  // somebody waits for more
	lost   bool  // more than limit: no second reading
	at     *attemptBody
	pump   bool
	done   bool
}

func newReplay(source proxy.Body, limit int) *replay {
	r := &replay{source: source, limit: limit}
	r.wake = sync.NewCond(&r.mu)
	return r
}

// body is the body for one more attempt, from its beginning; nil where it cannot be had
// any more. An earlier attempt's body fails from now on.
func (r *replay) body() proxy.Body {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.lost {
		return nil
	}
	r.at = &attemptBody{r: r}
	r.wake.Broadcast()
	return r.at
}

// whole is the whole body, where it has been read and kept.
func (r *replay) whole() ([]byte, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.buf, !r.lost && errors.Is(r.err, io.EOF)
}

// close ends the reading; the source is its owner's to close.
func (r *replay) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.done = true
	r.wake.Broadcast()
}

func (r *replay) run() {
	p := make([]byte, 16<<10)
	for {
		r.mu.Lock()
		for !r.wanted && !r.done {
			r.wake.Wait()
		}
		if r.done {
			r.pump = false
			r.mu.Unlock()
			return
		}
		r.mu.Unlock()
		n, err := r.source.Read(p)
		r.mu.Lock()
		r.buf = append(r.buf, p[:n]...)
		r.wanted = false
		if err != nil {
			r.err, r.done = err, true
		}
		r.wake.Broadcast()
		r.mu.Unlock()
	}
}

// attemptBody is the body as one attempt reads it.
type attemptBody struct {
	r      *replay
	off    int
	closed bool
}

var _ proxy.Body = (*attemptBody)(nil)

var errSuperseded = errors.New("the attempt is over")

func (b *attemptBody) Read(p []byte) (int, error) {
	r := b.r
	r.mu.Lock()
	defer r.mu.Unlock()
	for {
		switch {
		case b.closed || r.at != b:
			return 0, errSuperseded
		case b.off < len(r.buf):
			n := copy(p, r.buf[b.off:])
			b.off += n
			if len(r.buf) > r.limit {
				r.lost = true
			}
			if r.lost { // nobody will ask for it again
				r.buf = append(r.buf[:0], r.buf[b.off:]...)
				b.off = 0
			}
			return n, nil
		case r.err != nil:
			return 0, r.err
		case r.done:
			return 0, io.ErrUnexpectedEOF
		}
		r.wanted = true
		if !r.pump {
			r.pump = true
			go r.run()
		}
		r.wake.Broadcast()
		r.wake.Wait()
	}
}

// Close ends this attempt's reading only.
func (b *attemptBody) Close() error {
	b.r.mu.Lock()
	defer b.r.mu.Unlock()
	b.closed = true
	b.r.wake.Broadcast()
	return nil
}

func (b *attemptBody) Len() int64 { return b.r.source.Len() }

func (b *attemptBody) Trailer() *fasthttp.ResponseHeader {
	b.r.mu.Lock()
	defer b.r.mu.Unlock()
	if !errors.Is(b.r.err, io.EOF) || b.off < len(b.r.buf) {
		return nil
	}
	return b.r.source.Trailer()
}
