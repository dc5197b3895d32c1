package cache

import (
	"context"
	"errors"
	"io"
	"sync"

	"github.com/valyala/fasthttp"

	"github.com/fridaymesh/friday/proxy"
)

// maxTape is how much of a stream is held for those who read it.
const maxTape = 8 << 20

// tape is an answer that comes piece by piece, on its way to several callers, each at
// its own pace and from the beginning. As long as all of it is held it can be kept, and
// callers may join; where it grows too long, what everybody has read is let go of, and
// the server waits for the slowest.
type tape struct {
	length int64 // declared; -1: unknown

	mu      sync.Mutex
	held    []byte
	before  int64 // how much has been let go of
	end     error // nil: it goes on
	trailer *fasthttp.ResponseHeader
	readers map[*reel]struct{}
	moved   chan struct{} // closed, and made anew, when something has changed
}

func newTape(length int64) *tape {
	return &tape{length: length, readers: make(map[*reel]struct{}), moved: make(chan struct{})}
}

var errTapeLeft = errors.New("nobody reads")

// append adds a piece. It waits while there is no room, until ctx is done.
func (t *tape) append(ctx context.Context, p []byte) error {
	for {
		t.mu.Lock()
		if len(t.held)+len(p) > maxTape {
			t.trim()
		}
		if len(t.held) == 0 || len(t.held)+len(p) <= maxTape {
			t.held = append(t.held, p...)
			t.wake()
			t.mu.Unlock()
			return nil
		}
		moved := t.moved
		t.mu.Unlock()
		select {
		case <-moved:
		case <-ctx.Done():
			return errors.Join(errTapeLeft, context.Cause(ctx))
		}
	}
}

// trim lets go of what everybody has read. REQUIRES: mu is held.
func (t *tape) trim() {
	if len(t.readers) == 0 {
		return // they have not begun
	}
	slowest := t.before + int64(len(t.held))
	for r := range t.readers {
		slowest = min(slowest, r.at)
	}
	if n := slowest - t.before; n > 0 {
		t.held = append([]byte(nil), t.held[n:]...)
		t.before = slowest
	}
}

// wake tells those who wait. REQUIRES: mu is held.
func (t *tape) wake() {
	close(t.moved)
	t.moved = make(chan struct{})
}

// finish ends it, with io.EOF where it is whole.
func (t *tape) finish(end error, trailer *fasthttp.ResponseHeader) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.end, t.trailer = end, trailer
	t.wake()
}

// whole is all of it; false where some has been let go of.
func (t *tape) whole() ([]byte, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.held, t.before == 0
}

// read returns a body that begins at the beginning; nil where that is gone. left is
// called once, when it is closed.
func (t *tape) read(ctx context.Context, left func()) *reel {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.before > 0 {
		return nil
	}
	r := &reel{tape: t, ctx: ctx, left: left, closed: make(chan struct{})}
	t.readers[r] = struct{}{}
	return r
}

// reel is a caller's body: its place on a tape.
type reel struct {
	tape   *tape
	ctx    context.Context //nolint:containedctx // the caller's, which Read has to heed
	left   func()
	once   sync.Once
	closed chan struct{}
	at     int64 // guarded by tape.mu
}

var _ proxy.Body = (*reel)(nil)

func (r *reel) Read(p []byte) (int, error) {
	t := r.tape
	for {
		t.mu.Lock()
		if _, there := t.readers[r]; !there {
			t.mu.Unlock()
			return 0, io.ErrClosedPipe
		}
		if n := copy(p, t.held[r.at-t.before:]); n > 0 {
			r.at += int64(n)
			if len(t.held) > maxTape/2 {
				t.wake() // there may be room
			}
			t.mu.Unlock()
			return n, nil
		}
		end, moved := t.end, t.moved
		t.mu.Unlock()
		if end != nil || len(p) == 0 {
			return 0, end
		}
		select {
		case <-moved:
		case <-r.closed:
			return 0, io.ErrClosedPipe
		case <-r.ctx.Done():
			return 0, context.Cause(r.ctx)
		}
	}
}

func (r *reel) Close() error {
	r.once.Do(func() {
		close(r.closed)
		r.tape.mu.Lock()
		delete(r.tape.readers, r)
		r.tape.wake()
		r.tape.mu.Unlock()
		r.left()
	})
	return nil
}

func (r *reel) Len() int64 { return r.tape.length }

// Ready is how many bytes Read would return without waiting.
func (r *reel) Ready() int {
	r.tape.mu.Lock()
	defer r.tape.mu.Unlock()
	if _, there := r.tape.readers[r]; !there {
		return 0
	}
	return len(r.tape.held) - int(r.at-r.tape.before)
}

func (r *reel) Trailer() *fasthttp.ResponseHeader {
	r.tape.mu.Lock()
	defer r.tape.mu.Unlock()
	if r.tape.end == nil || !errors.Is(r.tape.end, io.EOF) || r.at != r.tape.before+int64(len(r.tape.held)) || r.tape.trailer == nil {
		return nil
	}
	own := new(fasthttp.ResponseHeader)
	r.tape.trailer.CopyTo(own)
	return own
}
