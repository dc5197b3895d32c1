package stream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/fridaymesh/friday/proxy"
)

// watched is a stream on its way. The timeouts run only while a Read waits for
// the server: a caller that is slow to read is no fault of the server's.
type watched struct {
	proxy.Body

	// Set once.
	ctx     context.Context //nolint:containedctx // the request's, to tell why a Read failed
	config  *Config
	meter   *meter
	kind    kind
	end     context.CancelCauseFunc // nil: nothing to end
	firstBy time.Time               // zero: no deadline
	start   time.Time

	// The reader's.
	last  time.Time // of the last chunk; zero before the first
	tail  [2]byte   // the last two bytes that passed
	timer *time.Timer
	said  []byte // what is left to say of the stream's bad end
	// over is what further Reads return.
	over error

	// late is set by the timer, done by whoever ends the stream first.
	late atomic.Bool
	done atomic.Bool
}

var _ proxy.Body = (*watched)(nil)

func (f *filter) watch(ctx context.Context, req *proxy.Request, body proxy.Body, k kind) *watched {
	start := req.Start
	if start.IsZero() {
		start = time.Now()
	}
	return &watched{
		Body: body, ctx: ctx, config: f.config, kind: k, start: start,
		meter: f.meters.of(req.Cluster, req.Trace.Model),
	}
}

// Read passes on what is ready.
func (w *watched) Read(p []byte) (int, error) {
	if w.over != nil {
		n := copy(p, w.said)
		w.said = w.said[n:]
		if n > 0 {
			return n, nil
		}
		return 0, w.over
	}
	if len(p) > w.config.MaxBufferBytes {
		p = p[:w.config.MaxBufferBytes]
	}
	limit := w.limit()
	if limit != 0 {
		w.arm(limit)
	}
	n, err := w.Body.Read(p)
	if limit != 0 {
		w.timer.Stop()
	}
	if n > 0 {
		w.passed(p[:n])
	}
	switch {
	case err == nil:
		return n, nil
	case errors.Is(err, io.EOF):
		w.over = io.EOF
		w.finish(false)
	case w.late.Load():
		w.over = w.complain()
		w.finish(false)
		if n == 0 && len(w.said) > 0 {
			return w.Read(p)
		}
		if len(w.said) > 0 {
			return n, nil
		}
	default:
		w.over = err
		w.finish(w.ctx.Err() != nil && gone(context.Cause(w.ctx)))
	}
	return n, w.over
}

func gone(cause error) bool {
	return errors.Is(cause, proxy.ErrCallerGone) || errors.Is(cause, context.Canceled)
}

// limit is how long the next Read may take; 0: for ever. What is past is over at
// once.
func (w *watched) limit() time.Duration {
	if w.last.IsZero() {
		if w.firstBy.IsZero() {
			return 0
		}
		return max(time.Until(w.firstBy), 1)
	}
	return w.config.IdleChunkTimeout
}

func (w *watched) arm(limit time.Duration) {
	if w.timer == nil {
		w.timer = time.AfterFunc(limit, w.expire)
		return
	}
	w.timer.Reset(limit)
}

// expire makes the Read in flight return. The bytes that came in the same moment
// still pass.
func (w *watched) expire() {
	w.late.Store(true)
	_ = w.Body.Close() // the Read tells
}

// passed takes note of a chunk.
func (w *watched) passed(chunk []byte) {
	now := time.Now()
	if w.last.IsZero() {
		w.meter.first.Observe(now.Sub(w.start).Seconds())
	} else {
		w.meter.gap.Observe(now.Sub(w.last).Seconds())
	}
	w.last = now
	if len(chunk) == 1 {
		w.tail[0], w.tail[1] = w.tail[1], chunk[0]
		return
	}
	w.tail = [2]byte(chunk[len(chunk)-2:])
}

// complain says why the stream ends before its end: in the stream itself where
// its format has words for that, as an error of the body elsewhere. The format is
// the HTML standard's, section 9.2; the words within are OpenAI's.
func (w *watched) complain() error {
	text := "upstream idle for " + w.config.IdleChunkTimeout.String()
	if w.last.IsZero() {
		text = "no answer within " + w.config.FirstChunkTimeout.String()
	}
	if w.kind != events {
		return &proxy.Error{Status: 504, Flag: proxy.FlagTimeout, Message: text, Err: proxy.ErrTimeout}
	}
	// An event that was cut off must not swallow this one.
	begin := "\n\n"
	if w.last.IsZero() || w.tail == [2]byte{'\n', '\n'} {
		begin = ""
	}
	w.said = fmt.Appendf(nil, "%sevent: error\ndata: {\"error\":{\"message\":%q,\"type\":\"timeout\",\"code\":504}}\n\n", begin, text)
	return io.EOF
}

// Close gives up what is left.
func (w *watched) Close() error {
	err := w.Body.Close()
	w.finish(true)
	return err
}

// finish notes the end, once.
func (w *watched) finish(cancelled bool) {
	if !w.done.CompareAndSwap(false, true) {
		return
	}
	if cancelled {
		w.meter.cancelled.Inc()
	}
	if w.end != nil {
		w.end(nil)
	}
}

// Ready is how many bytes Read would return without waiting, where that is known.
func (w *watched) Ready() int { return ready(w.Body) }
