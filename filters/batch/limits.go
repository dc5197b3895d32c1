package batch

import (
	"context"
	"math"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
	"go.uber.org/zap"

	"github.com/fridaymesh/friday/filters/inference"
)

const (
	// askFor bounds the time in which a server is asked for its limits.
	askFor = 2 * time.Second
	// askAgain is after how long it is asked again: models are loaded anew, with
	// other limits.
	askAgain = 5 * time.Minute
	// askLater is after how long it is asked again where it did not tell, and after
	// each time that it did not, twice as long, up to askSeldom: most servers of
	// OpenAI's API have nothing to tell.
	askLater, askSeldom = time.Minute, 16 * time.Minute
)

// limits are what a model's server says of how it may be batched. A guess would cost
// callers: a call that is larger than the server allows fails, and is sent again in
// smaller parts.
type limits struct {
	// due is the Instant from which on a request has the server asked; while it is
	// being asked, and where there is nothing to ask, math.MaxInt64.
	due atomic.Int64
	// most is how many items one call may hold; 0: as many as are configured.
	most atomic.Int64
	// apart: the server says that the model's items cannot share a call.
	apart atomic.Bool

	// The asking goroutine's; there is one at a time.
	told     inference.Limits
	failures int
}

// most is how many items a call of the group may hold.
func (g *group) most() int {
	if n := int(g.model.limits.most.Load()); n > 0 {
		return min(n, g.config.MaxBatchSize)
	}
	return g.config.MaxBatchSize
}

// refuses says that e is more than the server says that it takes at once.
func (g *group) refuses(e *entry) bool {
	n := int(g.model.limits.most.Load())
	return n > 0 && e.call.Items > n
}

// askLimits has the server asked for its limits if it is time to. The request that e
// is does not wait for that; REQUIRES: it has not been sent yet.
func (g *group) askLimits(e *entry) {
	m, l := g.model, &g.model.limits
	due := l.due.Load()
	if int64(e.arrived.Sub(g.state.epoch)) < due || e.call.GRPC || e.req.Protocol != "http1" {
		return
	}
	if !l.due.CompareAndSwap(due, math.MaxInt64) {
		return
	}
	questions := e.call.Questions()
	if len(questions) == 0 {
		return
	}
	q := g.state.newErrand(e.req, e.next, g.config.GroupByHeaders)
	if !g.state.background(func(ctx context.Context) {
		again := m.learnLimits(ctx, q, questions)
		l.due.Store(int64(m.state.now() + again))
	}) {
		l.due.Store(due)
	}
}

// learnLimits asks one question after the other. It returns after how long to do so
// again.
func (m *model) learnLimits(ctx context.Context, q *errand, questions []inference.Question) time.Duration {
	ctx, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	l := &m.limits
	for _, question := range questions {
		status, answer, err := q.ask(ctx, question.Path, nil)
		if ctx.Err() != nil {
			break
		}
		if err != nil || status != fasthttp.StatusOK {
			continue
		}
		if told, err := question.Read(answer); err == nil {
			m.heed(told, question.Path)
			l.failures = 0
			return askAgain
		}
	}
	later := min(askSeldom, askLater<<l.failures)
	l.failures = min(l.failures+1, 8)
	return later
}

// heed follows what the server told.
func (m *model) heed(told inference.Limits, path string) {
	l := &m.limits
	if told != l.told {
		l.told = told
		m.state.log.Info("the server tells how a model may be batched",
			zap.String("cluster", m.key.cluster), zap.String("model", m.key.model), zap.String("path", path),
			zap.Int("max_items", told.MaxItems), zap.Bool("batchable", told.Batchable != inference.BatchableNo),
			zap.Bool("batches_itself", told.SelfBatching))
	}
	l.most.Store(int64(told.MaxItems))
	l.apart.Store(told.Batchable == inference.BatchableNo)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.pool.Most = told.MaxItems
	m.pump(m.state.now())
}
