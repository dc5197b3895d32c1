package jobs

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/fridaymesh/friday/filters/jobs/store"
	"github.com/fridaymesh/friday/proxy"
	"github.com/fridaymesh/friday/proxy/telemetry"
)

// tempo is how long things take. Tests have other times.
type tempo struct {
	// window is OpenAI's completion window.
	window time.Duration
	// lease is how long a line is its worker's without a sign of life.
	lease time.Duration
	// poll is how often workers look for what nobody told them of.
	poll time.Duration
	// sweep is how often what is past its time is looked for.
	sweep time.Duration
	// least and most bound the waits between attempts.
	least, most time.Duration
	// open is how often opening the store is tried, patience how long a request waits for
	// it.
	open, patience time.Duration
}

func usual() tempo {
	return tempo{
		window: 24 * time.Hour, lease: 15 * time.Second, poll: time.Second, sweep: 10 * time.Second,
		least: time.Second, most: 30 * time.Second, open: 2 * time.Second, patience: 5 * time.Second,
	}
}

// state is one store with what works for it. It outlives configurations.
type state struct {
	// Set once.
	tempo
	log     *zap.Logger
	metrics *telemetry.Metrics
	place   place
	ctx     context.Context //nolint:containedctx // ends with the state
	cancel  context.CancelFunc
	wg      sync.WaitGroup
	begin   sync.Once
	opened  chan struct{} // closed when store is set

	store atomic.Pointer[store.Store]
	live  atomic.Int64

	mu      sync.Mutex
	workers map[string]*worker  // by origin
	hooks   map[string]*webhook // by origin; those of the newest filters
	closed  bool
}

var _ io.Closer = (*state)(nil)

func newState(env proxy.Env, at place) *state { return newStateAt(env, at, usual()) }

func newStateAt(env proxy.Env, at place, t tempo) *state {
	s := &state{
		tempo: t, log: env.Log.Named("jobs"), metrics: telemetry.New(env.Metrics), place: at,
		opened: make(chan struct{}), workers: make(map[string]*worker), hooks: make(map[string]*webhook),
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	// They begin at 0: of a series that begins with its first failure Prometheus sees no
	// increase, and no alert tells of it.
	s.metrics.JobsStoreErrors.WithLabelValues()
	for _, result := range []string{"completed", "failed"} {
		s.metrics.JobLines.WithLabelValues(result)
	}
	return s
}

// InForce opens the store: what is built only to see whether it can be touches none.
func (s *state) InForce() { s.begin.Do(func() { s.wg.Go(s.open) }) }

// open opens the store, however long it takes: a disk or a database that is away is no reason not to
// serve what needs none.
func (s *state) open() {
	for {
		st, err := s.place.open(s.ctx)
		if err == nil {
			s.store.Store(st)
			s.mu.Lock()
			s.notify(st)
			s.mu.Unlock()
			close(s.opened)
			s.wg.Go(func() { s.tell(st) })
			s.tidy()
			return
		}
		if s.ctx.Err() != nil {
			return
		}
		s.failed("the store cannot be opened", err)
		if !s.sleep(s.tempo.open) {
			return
		}
	}
}

// sleep waits; false: the state has been closed.
func (s *state) sleep(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-s.ctx.Done():
		return false
	}
}

// failed says that the store has.
func (s *state) failed(what string, err error) {
	if s.ctx.Err() != nil {
		return
	}
	s.metrics.JobsStoreErrors.WithLabelValues().Inc()
	s.log.Error(what, zap.Stringer("store", s.place), zap.Error(err))
}

// away is the answer while there is no store.
func away(err error) *refusal {
	return &refusal{status: 503, kind: "server_error", code: "store_unavailable", message: "the store of jobs and files is not available; try again later", retry: 5, err: err}
}

// use returns the store, and waits a little for one that is being opened.
func (s *state) use(ctx context.Context) (*store.Store, error) {
	if st := s.store.Load(); st != nil {
		return st, nil
	}
	timer := time.NewTimer(s.patience)
	defer timer.Stop()
	select {
	case <-s.opened:
		return s.store.Load(), nil
	case <-timer.C:
		return nil, away(errors.New("not open"))
	case <-s.ctx.Done():
		return nil, away(errors.New("closed"))
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// serve has the lines of an origin answered by rest.
func (s *state) serve(origin string, rest proxy.Handler, c *Config) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.hooks[origin] = c.Webhook; c.Webhook == nil {
		delete(s.hooks, origin)
	}
	if st := s.store.Load(); st != nil {
		s.notify(st)
	}
	w := s.workers[origin]
	if w == nil && !s.closed {
		w = newWorker(s, origin, rest)
		w.config.Store(c)
		s.workers[origin] = w
		s.wg.Go(w.run)
	}
	if w != nil {
		w.pace.fix(c.Concurrency)
		w.config.Store(c)
	}
}

// wake tells an origin's worker that there is something to do.
func (s *state) wake(origin string) {
	s.mu.Lock()
	w := s.workers[origin]
	s.mu.Unlock()
	if w != nil {
		w.care()
	}
}

// dropped has an origin's worker run no more lines of a job that has been cancelled.
func (s *state) dropped(origin string, job int64) {
	s.mu.Lock()
	w := s.workers[origin]
	s.mu.Unlock()
	if w != nil {
		w.drop(job)
		w.care()
	}
}

// Close stops the workers, which put back what they have not done, and closes the store.
func (s *state) Close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.cancel()
	s.wg.Wait()
	if st := s.store.Load(); st != nil {
		return st.Close()
	}
	return nil
}

// wakeLines tells an origin's worker that there is a line to run.
func (s *state) wakeLines(origin string) {
	s.mu.Lock()
	w := s.workers[origin]
	s.mu.Unlock()
	if w != nil {
		w.wakeUp()
	}
}
