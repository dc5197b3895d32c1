package batch

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/valyala/fasthttp"
	"go.uber.org/zap"

	"github.com/fridaymesh/friday/filters/batch/schedule"
	"github.com/fridaymesh/friday/filters/inference"
	batchv1 "github.com/fridaymesh/friday/xds/api/friday/filters/http/batch/v1"
)

const (
	// maxCounted is how many questions one call may cost: some tokenizers take one text
	// each. They are asked one after another. So a call and its questions take no more
	// connections than its callers would have taken: a server that has a thread for each
	// connection, and no more threads than it expects callers, as llama.cpp's, leaves
	// those beyond alone until one that idles is closed, seconds later.
	maxCounted = 64
	// countsWait is how long an answer waits for its counts, which were asked for when
	// the call was sent.
	countsWait = 50 * time.Millisecond
	// maxMisses is how often in a row the counts may be of no use before nobody asks
	// for them for as long as missed.
	maxMisses = 3
	missed    = 5 * time.Minute
)

// usage is how a share of a call's token usage was found.
type usage string

const (
	usageExact        usage = "exact"
	usageProportional usage = "proportional"
)

// and is the usage of what is made of two parts.
func (u usage) and(other usage) usage {
	if u == usageProportional || other == "" {
		return u
	}
	return other
}

// tokenizer is what is known of where a model's server counts tokens.
type tokenizer struct {
	mu       sync.Mutex
	found    bool
	flavour  inference.Tokenizer
	looking  bool
	due      schedule.Instant // not before: to look, or to use what was found
	failures int              // to find one, or to be of use, in a row
}

// counting is the counts of a call's items: on their way, or, where no tokenizer was
// found yet, to be looked for when there is an answer to compare them with.
type counting struct {
	errand  *errand
	flavour inference.Tokenizer
	done    chan struct{} // closed when counts may be read; nil: nothing is on its way
	counts  []int         // nil: not told
}

// count has the items of a call that is about to be sent counted, where its answer is
// to be shared out by that. REQUIRES: the batch's mu is held.
func (g *group) count(m *merged, calls []*inference.Call) *counting {
	if len(calls) < 2 || !calls[0].Usage || g.config.Usage != batchv1.Batch_AUTO || m.grpc || m.req.Protocol != "http1" {
		return nil
	}
	flavour, found, due := g.model.tokens.ask(g.state.now())
	if !due {
		return nil
	}
	bodies, ok := flavour.Ask(calls)
	if !ok || found && len(bodies) > maxCounted {
		return nil
	}
	c := &counting{errand: g.state.newErrand(m.req, m.next, g.config.GroupByHeaders), flavour: flavour}
	if found {
		c.done = make(chan struct{})
		go func() {
			defer close(c.done)
			if counts, err := c.errand.count(m.ctx, flavour, m.items, bodies); err == nil {
				c.counts = counts
			}
		}()
	}
	return c
}

// await returns the counts, nil where they are not there in time.
func (c *counting) await(ctx context.Context) []int {
	if c == nil || c.done == nil {
		return nil
	}
	t := time.NewTimer(countsWait)
	defer t.Stop()
	select {
	case <-c.done:
		return c.counts
	case <-t.C:
	case <-ctx.Done():
	}
	return nil
}

// count asks for the tokens of so many items.
func (q *errand) count(ctx context.Context, t inference.Tokenizer, items int, bodies [][]byte) ([]int, error) {
	answers := make([][]byte, len(bodies))
	for i, body := range bodies {
		status, answer, err := q.ask(ctx, inference.TokenizePath, body)
		if err == nil && status != fasthttp.StatusOK {
			err = fmt.Errorf("status %d", status)
		}
		if err != nil {
			return nil, err
		}
		answers[i] = answer
	}
	return t.Count(items, answers)
}

// told says what the usage of a call that was split is worth: the counts may have
// been of use, or it may be time to look for a tokenizer. REQUIRES: the batch's mu is
// held, and the members are not answered yet.
func (b *batch) told(m *merged, calls []*inference.Call, answer []byte, exact bool) usage {
	if len(calls) < 2 || !calls[0].Usage {
		return ""
	}
	kind := usageProportional
	if exact {
		kind = usageExact
	}
	g := b.group
	g.state.metrics.BatchUsage.WithLabelValues(g.model.key.cluster, string(kind)).Add(float64(len(calls)))
	switch c := m.counting; {
	case c == nil:
	case c.done != nil:
		g.model.tokens.used(g.state.now(), exact)
	case g.model.tokens.look():
		b.lookForTokenizer(m, calls, answer)
	}
	return kind
}

// lookForTokenizer finds out, in a goroutine of its own, how the server counts: the
// right way gives what it said that the call cost.
func (b *batch) lookForTokenizer(m *merged, calls []*inference.Call, answer []byte) {
	own := make([]*inference.Call, len(calls))
	for i, e := range m.members {
		own[i] = calls[i]
		if !e.left { // else it is a copy
			own[i] = e.detach()
		}
		if own[i] == nil {
			b.group.model.tokens.lost(b.group.state.now())
			return
		}
	}
	model, items := b.group.model, m.items
	if !b.group.state.background(func(ctx context.Context) { model.findTokenizer(ctx, m.counting.errand, own, items, answer) }) {
		model.tokens.lost(model.state.now())
	}
}

func (m *model) findTokenizer(ctx context.Context, q *errand, calls []*inference.Call, items int, answer []byte) {
	ctx, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	for _, t := range [...]inference.Tokenizer{inference.TEI, inference.VLLM, inference.LlamaCPP} {
		bodies, ok := t.Ask(calls)
		if !ok || len(bodies) > maxCounted {
			continue
		}
		counts, err := q.count(ctx, t, items, bodies)
		if err != nil {
			continue
		}
		if _, exact, err := inference.SplitExact(calls, answer, counts); err != nil || !exact {
			continue
		}
		m.state.log.Info("the server counts tokens: usage is shared out exactly",
			zap.String("cluster", m.key.cluster), zap.String("model", m.key.model), zap.Stringer("tokenizer", t))
		m.tokens.find(t)
		return
	}
	m.tokens.lost(m.state.now())
}

// ask says which flavour there is, and whether it is time to use or to look for it.
func (t *tokenizer) ask(now schedule.Instant) (flavour inference.Tokenizer, found, due bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.flavour, t.found, now >= t.due && !t.looking
}

// look is true for one who may look.
func (t *tokenizer) look() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.looking || t.found {
		return false
	}
	t.looking = true
	return true
}

func (t *tokenizer) find(flavour inference.Tokenizer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.flavour, t.found, t.looking, t.failures = flavour, true, false, 0
}

// lost says that none was found.
func (t *tokenizer) lost(now schedule.Instant) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.looking = false
	t.due = now + min(askSeldom, askLater<<t.failures)
	t.failures = min(t.failures+1, 8)
}

// used says whether the counts were of use.
func (t *tokenizer) used(now schedule.Instant, exact bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if exact {
		t.failures = 0
		return
	}
	if t.failures++; t.failures >= maxMisses {
		// Then it is looked for anew: another server may be there by now.
		t.found, t.flavour, t.failures, t.due = false, inference.TEI, 0, now+missed
	}
}
