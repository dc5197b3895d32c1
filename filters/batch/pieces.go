package batch

import (
	"context"
	"errors"

	"github.com/fridaymesh/friday/filters/batch/schedule"
	"github.com/fridaymesh/friday/filters/inference"
	"github.com/fridaymesh/friday/proxy"
)

// errPiece says that a request has to be sent whole: a piece got no answer of its
// own.
var errPiece = errors.New("piece failed")

// serveInPieces serves a request that holds more items than a batch may. Its
// pieces stand in the queue as others' requests do, no more of them at once than
// there are slots, and may share calls. Where the server cannot serve one of them,
// the whole request is sent once, as it came: its answer is the one that the
// caller would have got. What is not about the items (401, 429, 503, a timeout) is
// the answer at once.
func (g *group) serveInPieces(ctx context.Context, e *entry) (*proxy.Response, error) {
	p := g.cut(e)
	if p.dear() {
		e.Solo, e.Why = true, schedule.Oversize
		return g.serve(ctx, e, false)
	}
	out, err := p.serve(ctx)
	if err == nil {
		g.model.wait.Observe(e.queued.Seconds())
		e.out.items, e.out.attempts, e.out.upstream, e.out.call = p.items, p.attempts, out.upstream, out.call
		e.trace()
		return e.response(out)
	}
	p.leave(ctx)
	if ctx.Err() != nil {
		return nil, proxy.AsError(ctx, context.Cause(ctx))
	}
	if !errors.Is(err, errPiece) {
		return nil, err
	}
	e.Solo, e.Why = true, schedule.Oversize
	return g.serve(ctx, e, true)
}

// pieces is a request that is cut. A piece is made when it goes into the queue and
// forgotten when it is answered, so that no more of them exist than there are slots.
type pieces struct {
	group   *group
	whole   *entry
	most    int      // items of a piece, whatever is learned in between
	entries []*entry // nil: not in the queue yet, or answered
	answers [][]byte

	size            int
	items, attempts int
}

func (g *group) cut(e *entry) *pieces {
	most := g.most()
	n := (e.call.Items + most - 1) / most
	return &pieces{group: g, whole: e, most: most, entries: make([]*entry, n), answers: make([][]byte, n)}
}

// maxRepeated is how much more than twice the request's length its pieces may
// repeat of what is not items.
const maxRepeated = 1 << 20

// dear says that the pieces would cost far more than the whole: each repeats what
// is not items, which may be nearly all of a long body.
func (p *pieces) dear() bool {
	call := p.whole.call
	return int64(len(p.entries))*int64(call.Repeated()) > 2*int64(len(call.Body))+maxRepeated
}

// before is how many items stand before piece i.
func (p *pieces) before(i int) int {
	return min(i*p.most, p.whole.call.Items)
}

// parts are the pieces as [inference.Join] wants to know them.
func (p *pieces) parts() []*inference.Call {
	out := make([]*inference.Call, len(p.entries))
	full := &inference.Call{Items: p.most}
	for i := range out {
		out[i] = full
	}
	last := len(out) - 1
	out[last] = &inference.Call{Items: p.before(last+1) - p.before(last)}
	return out
}

// serve has one piece after the other answered, and returns the answer to all.
func (p *pieces) serve(ctx context.Context) (*outcome, error) {
	window := p.group.window(p.whole.picker, p.whole.req.Endpoint)
	var first outcome
	sent := 0
	for i := range p.entries {
		for ; sent < len(p.entries) && sent < i+window; sent++ {
			if err := p.send(sent); err != nil {
				return nil, err
			}
		}
		e := p.entries[i]
		if !e.wait(ctx) {
			return nil, context.Cause(ctx)
		}
		p.entries[i] = nil
		out := e.out
		if i == 0 {
			first, p.whole.queued = out, e.queued
		}
		p.group.state.free(e)
		p.items, p.attempts = max(p.items, out.items), p.attempts+out.attempts
		if errors.Is(out.err, errPiece) {
			return nil, errPiece
		}
		if !out.good {
			p.leave(ctx)
			return &out, nil
		}
		if p.size += len(out.body); p.size > maxAnswerBytes {
			return nil, errPiece
		}
		p.answers[i] = out.body
		first.usage = first.usage.and(out.usage)
	}
	body, err := inference.Join(p.whole.call, p.parts(), p.answers)
	if err != nil {
		p.group.model.distrust(p.whole.arrived)
		p.group.state.metrics.BatchFallback.WithLabelValues(p.group.model.key.cluster, "mismatch").Inc()
		return nil, errPiece
	}
	first.body = body
	return &first, nil
}

// send puts a piece into the queue. Only the first can be refused.
func (p *pieces) send(i int) error {
	from := p.before(i)
	e := p.group.state.newEntry(p.whole.call.Slice(from, p.before(i+1)), p.whole.req, p.whole.next)
	e.piece, e.whole, e.from = true, p.whole.call, from
	e.picker = p.whole.picker
	if err := p.group.enter(e, i > 0); err != nil {
		return err
	}
	p.entries[i] = e
	return nil
}

// leave gives up the pieces that have no answer.
func (p *pieces) leave(ctx context.Context) {
	for i, e := range p.entries {
		if e != nil {
			p.group.leave(ctx, e)
			p.entries[i] = nil
		}
	}
}

// maxWindow bounds the pieces of a request that exist at once.
const maxWindow = 32

// window is how many pieces of a request are worth having in the queue.
func (g *group) window(picker proxy.Picker, pinned *proxy.Endpoint) int {
	g.model.mu.Lock()
	defer g.model.mu.Unlock()
	g.model.pin(pinned)
	g.model.serve(picker)
	return min(g.model.pool.Slots(g.queue), maxWindow)
}
