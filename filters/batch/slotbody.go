package batch

import (
	"errors"
	"io"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/fridaymesh/friday/proxy"
)

const (
	// maxReadHere is the longest answer to a request alone that is read before it
	// is handed on.
	maxReadHere = 1 << 20
	// unreadFor is how long a caller may leave a longer one unread and keep its
	// slot: so many mean service times, and never less than unreadLeast.
	unreadFor   = 4
	unreadLeast = 100 * time.Millisecond
)

// arrived says that all of a body is there already.
func arrived(b proxy.Body) bool {
	switch b := b.(type) {
	case *proxy.BytesBody:
		return true
	case interface{ Ready() int }:
		n := b.(proxy.Body).Len() //nolint:forcetypeassert // it is one
		return n >= 0 && n <= int64(b.Ready())
	}
	return b == proxy.NoBody
}

// readHere reads a body of declared length into memory and closes it. The error is
// how it ended, if not well; whoever reads what is returned gets it at its place.
func readHere(b proxy.Body) (proxy.Body, error) {
	length := int(b.Len())
	buf := make([]byte, 0, length+1) // one more, so that the end is seen
	var err error
	for err == nil && len(buf) <= length {
		var n int
		n, err = b.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
	}
	trailer := b.Trailer()
	_ = b.Close() // at its end, or given up
	buf = buf[:min(len(buf), length)]
	if errors.Is(err, io.EOF) {
		err = nil
	}
	if err == nil && trailer == nil {
		return proxy.NewBytesBody(buf), nil
	}
	return &readBody{Body: proxy.NewBytesBody(buf), length: int64(length), end: err, trailer: trailer}, err
}

// readBody is a body that was read, and was cut short or has trailers.
type readBody struct {
	proxy.Body // what was read

	length  int64
	end     error // nil: io.EOF
	trailer *fasthttp.ResponseHeader
	ended   bool
}

var _ proxy.Body = (*readBody)(nil)

func (b *readBody) Read(p []byte) (int, error) {
	n, err := b.Body.Read(p)
	if err != nil {
		b.ended = true
		if b.end != nil {
			err = b.end
		}
	}
	return n, err
}

func (b *readBody) Len() int64 { return b.length }

func (b *readBody) Trailer() *fasthttp.ResponseHeader {
	if !b.ended {
		return nil
	}
	return b.trailer
}

// slotBody releases a slot at the end of an answer, or when its caller seems to
// have forgotten it: whoever reads slowly must not keep the others waiting. While a
// Read waits it is the server that is slow, and the slot is held.
type slotBody struct {
	proxy.Body

	slot     slot
	good     bool
	grpc     bool                     // the trailer says how it ended
	head     *fasthttp.ResponseHeader // where grpc
	patience time.Duration
	unread   *time.Timer // runs while no Read does
	released atomic.Bool
}

var _ proxy.Body = (*slotBody)(nil)

func newSlotBody(resp *proxy.Response, grpc bool, s slot, good bool) *slotBody {
	s.model.mu.Lock()
	patience := max(unreadFor*s.flight.Queue.Service(), unreadLeast)
	s.model.mu.Unlock()
	b := &slotBody{Body: resp.Body, slot: s, good: good, grpc: grpc, head: &resp.Header, patience: patience}
	b.unread = time.AfterFunc(patience, b.forgotten)
	return b
}

func (b *slotBody) Read(p []byte) (int, error) {
	b.unread.Stop()
	n, err := b.Body.Read(p)
	switch {
	case err != nil:
		b.release(errors.Is(err, io.EOF) && b.ended())
	case !b.released.Load():
		b.unread.Reset(b.patience)
	}
	return n, err
}

// ended says whether an answer that was read to its end was a good one.
func (b *slotBody) ended() bool {
	if !b.good || !b.grpc {
		return b.good
	}
	do, _ := judgeGRPC(b.head, b.Body.Trailer())
	return do == split
}

func (b *slotBody) Close() error {
	b.unread.Stop()
	err := b.Body.Close()
	b.release(false)
	return err
}

// Ready is how many bytes Read would return without waiting, where that is known.
func (b *slotBody) Ready() int {
	if r, ok := b.Body.(interface{ Ready() int }); ok {
		return r.Ready()
	}
	return 0
}

// forgotten releases the slot of a caller that is not expected back soon.
func (b *slotBody) forgotten() {
	if b.released.CompareAndSwap(false, true) {
		b.slot.release(0, false)
	}
}

func (b *slotBody) release(good bool) {
	if b.released.CompareAndSwap(false, true) {
		b.slot.release(1, good)
	}
}
