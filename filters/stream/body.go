package stream

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fridaymesh/friday/proxy"
	"github.com/fridaymesh/friday/proxy/stream"
)

// watched is a stream on its way. The timeouts run only while a Read waits for
// the server: a caller that is slow to read is no fault of the server's.
type watched struct {
	proxy.Body

	// Set once.
	ctx     context.Context //nolint:containedctx // the request's, to tell why a Read failed
	req     *proxy.Request
	config  *Config
	meters  *meters
	api     *api // nil: unknown
	kind    kind
	end     context.CancelCauseFunc // nil: nothing to end
	firstBy time.Time               // zero: no deadline

	// The reader's.
	meter *meter    // nil before the first content
	first time.Time // of the first content
	last  time.Time // of the last content
	left  time.Duration
	model string
	lines stream.Lines
	tail  *stream.Tail // nil where the stream is not text, and after its end
	timer *time.Timer
	said  []byte // what is left to say of the stream's bad end
	over  error  // what further Reads return

	// late is set by the timer, done by whoever ends the stream first.
	late atomic.Bool
	done atomic.Bool
}

var _ proxy.Body = (*watched)(nil)

// tails serve the streams of text.
var tails = sync.Pool{New: func() any { return new(stream.Tail) }} //nolint:gochecknoglobals // a pool is shared by nature

func (f *filter) watch(ctx context.Context, req *proxy.Request, body proxy.Body, k kind) *watched {
	w := &watched{
		Body: body, ctx: ctx, req: req, config: f.config, meters: f.meters, api: apiOf(req), kind: k,
		left: f.config.IdleChunkTimeout,
	}
	if w.api != nil {
		w.model = modelOf(req)
	} else {
		w.model = req.Trace.Model
	}
	if k != chunks {
		w.tail = tails.Get().(*stream.Tail) //nolint:forcetypeassert // the pool holds nothing else
	}
	return w
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
	n, err := w.wait(p)
	if err == nil {
		return n, nil
	}
	w.ended(err)
	if n == 0 {
		return w.Read(p)
	}
	if errors.Is(w.over, io.EOF) {
		return n, w.over
	}
	return n, nil // what is to say of the end comes next
}

// wait reads what comes before a timeout.
func (w *watched) wait(p []byte) (int, error) {
	limit := w.limit()
	if limit == 0 {
		n, err := w.Body.Read(p)
		if n > 0 {
			w.passed(p[:n], time.Now())
		}
		return n, err
	}
	begun := time.Now()
	w.arm(limit)
	n, err := w.Body.Read(p)
	w.timer.Stop()
	now := time.Now()
	if n == 0 || !w.passed(p[:n], now) {
		w.left -= now.Sub(begun)
		return n, err
	}
	w.left = w.config.IdleChunkTimeout
	return n, err
}

// limit is how long the server may go on without content; 0: for ever. What is past is
// over at once.
func (w *watched) limit() time.Duration {
	switch {
	case w.meter != nil && w.config.IdleChunkTimeout > 0:
		return max(w.left, 1)
	case w.meter == nil && !w.firstBy.IsZero():
		return max(time.Until(w.firstBy), 1)
	}
	return 0
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

// passed takes note of a piece, and says whether it has content.
func (w *watched) passed(piece []byte, now time.Time) bool {
	if w.kind != chunks {
		w.tail.Add(piece)
		if !w.content(piece) {
			return false
		}
	}
	if w.meter == nil {
		start := w.req.Start
		if start.IsZero() {
			start = now
		}
		w.meter = w.meters.of(w.req.Cluster, w.model)
		w.meter.first.Observe(now.Sub(start).Seconds())
		w.first = now
		if w.api != nil {
			w.meter.api(w.api).firstToken.Observe(now.Sub(start).Seconds())
		}
		w.req.Span.Event("first chunk")
	} else {
		w.meter.gap.Observe(now.Sub(w.last).Seconds())
	}
	w.last = now
	return true
}

// content looks for some in a piece of text. Once there was some, and where no timeout
// asks for more, a glance will do: what does not begin with a comment is content.
func (w *watched) content(piece []byte) bool {
	if w.meter != nil && w.config.IdleChunkTimeout == 0 {
		return piece[0] != ':'
	}
	for len(piece) > 0 {
		var line []byte
		if line, piece = w.lines.Next(piece); line == nil {
			break
		}
		payload, found := w.kind.content(line)
		if w.model == "" && len(payload) > 0 {
			w.model = modelIn(payload)
		}
		if found {
			w.lines.Skip(piece)
			return true
		}
	}
	return w.lines.Over() // nothing that is empty is so long
}

// ended takes note of the end.
func (w *watched) ended(err error) {
	w.over = err
	left := false
	switch {
	case errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF):
		w.over = io.EOF
	case w.late.Load():
		text := "upstream idle for " + w.config.IdleChunkTimeout.String()
		if w.meter == nil {
			text = noAnswer + w.config.FirstChunkTimeout.String()
		}
		w.over = &proxy.Error{Status: 504, Flag: proxy.FlagTimeout, Message: text, Err: proxy.ErrTimeout}
		w.said = w.complaint(w.over)
	case w.ctx.Err() != nil && gone(context.Cause(w.ctx)):
		left = true
	default:
		w.said = w.complaint(err)
	}
	if w.api != nil {
		w.count()
	}
	if w.tail != nil {
		w.tail.Reset()
		tails.Put(w.tail) // nobody else reads
		w.tail = nil
	}
	w.finish(left)
}

// count is ended for a stream of one of the APIs.
func (w *watched) count() {
	m := w.meters.of(w.req.Cluster, w.model)
	if !errors.Is(w.over, io.EOF) {
		m.failed(w.api, w.req.Start, errorType(w.ctx, w.over))
		return
	}
	of := m.api(w.api)
	of.seconds.Observe(since(w.req.Start))
	if w.tail == nil {
		return
	}
	u := w.api.usageIn(w.tail.Bytes())
	if u == (usage{-1, -1}) {
		return
	}
	m.use(w.api, u)
	traceUsage(w.req.Span, w.api, u)
	if u.output > 1 && w.meter != nil {
		of.outputToken.Observe(w.last.Sub(w.first).Seconds() / float64(u.output-1))
	}
}

// errorType is OpenTelemetry's error.type: Envoy's flag.
func errorType(ctx context.Context, err error) string { return string(proxy.AsError(ctx, err).Flag) }

const noAnswer = "no answer within "

func gone(cause error) bool {
	return errors.Is(cause, proxy.ErrCallerGone) || errors.Is(cause, context.Canceled)
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
		w.meters.of(w.req.Cluster, w.req.Trace.Model).cancelled.Inc()
	}
	if w.end != nil {
		w.end(nil)
	}
}

// Ready is how many bytes Read would return without waiting, where that is known.
func (w *watched) Ready() int {
	if w.over != nil {
		return len(w.said)
	}
	return ready(w.Body)
}
