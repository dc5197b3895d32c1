package jobs

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fridaymesh/friday/filters/jobs/store"
	"github.com/fridaymesh/friday/proxy"
)

// worker runs the lines of one origin.
type worker struct {
	*state

	origin string
	rest   proxy.Handler
	pace   *pace
	config atomic.Pointer[Config] // of the newest filter

	// run's own: when it has claimed last, and how many lines it keeps in hand.
	claimedAt time.Time
	more      int

	woken    chan struct{}
	caring   chan struct{}
	outcomes chan outcome

	mu      sync.Mutex
	queue   []*flight // claimed, in order
	flights map[flightKey]*flight
	running int
	jobs    map[int64]*errand
}

type flightKey struct{ job, n int64 }

// flight is a line under a lease of ours.
type flight struct {
	store.Line

	ctx    context.Context //nolint:containedctx // ends with the lease
	cancel context.CancelFunc
}

func newFlight(ctx context.Context, l store.Line) *flight {
	ctx, cancel := context.WithCancel(ctx)
	return &flight{Line: l, ctx: ctx, cancel: cancel}
}

// errand is what lines of a job have in common.
type errand struct {
	kind        store.Kind
	endpoint    string
	headers     [][2]string
	creator     string // its span
	maxAttempts int
}

func newWorker(s *state, origin string, rest proxy.Handler) *worker {
	return &worker{
		state: s, origin: origin, rest: rest, pace: newPace(),
		woken: make(chan struct{}, 1), caring: make(chan struct{}, carers), outcomes: make(chan outcome, claimed),
		flights: make(map[flightKey]*flight), jobs: make(map[int64]*errand),
	}
}

// claimed is how many lines are claimed at most, and so in memory.
const claimed = 2 * mostLimit

// run claims lines and starts them, until the state is closed.
func (w *worker) run() {
	select {
	case <-w.opened:
	case <-w.ctx.Done():
		return
	}
	st := w.store.Load()
	var wg sync.WaitGroup
	wg.Go(func() { w.collect(st) })
	wg.Go(func() { w.beat(st) })
	for range carers {
		wg.Go(func() { w.careFor(st) })
	}
	tick := time.NewTicker(w.poll)
	defer tick.Stop()
	for w.ctx.Err() == nil {
		if !w.pump(st) {
			select {
			case <-w.woken:
			case <-tick.C:
			case <-w.ctx.Done():
			}
		}
	}
	wg.Wait()
	w.putBackAll(st)
}

// wakeUp has the loop look for lines.
func (w *worker) wakeUp() {
	select {
	case w.woken <- struct{}{}:
	default:
	}
}

// pump starts what may run, claiming more where little is left, and says whether to call
// it again at once.
func (w *worker) pump(st *store.Store) bool {
	allowed := w.pace.allowed(int(w.live.Load()))
	w.metrics.JobLinesLimit.WithLabelValues().Set(float64(w.pace.now()))
	w.mu.Lock()
	for len(w.queue) > 0 && w.running < allowed {
		f := w.queue[0]
		w.queue = w.queue[1:]
		if f.ctx.Err() != nil { // dropped, or its lease is lost
			delete(w.flights, flightKey{f.Job, f.N})
			continue
		}
		w.running++
		e := w.jobs[f.Job]
		w.wg.Go(func() { w.fly(f, e) })
	}
	w.metrics.JobLinesRunning.WithLabelValues().Set(float64(w.running))
	want := min(w.ahead(2*allowed, time.Now()), claimed-len(w.flights)) - len(w.queue)
	enough := len(w.queue) >= (allowed+1)/2
	w.mu.Unlock()
	if enough || want <= 0 {
		return false
	}
	w.claimedAt = time.Now()
	lines, err := st.Claim(w.ctx, w.origin, want, w.claimedAt, w.lease)
	if err != nil {
		w.failed("lines cannot be claimed", err)
		return false
	}
	if len(lines) == 0 || !w.learn(st, lines) {
		return false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, l := range lines {
		f := newFlight(w.ctx, l)
		w.flights[flightKey{l.Job, l.N}] = f
		w.queue = append(w.queue, f)
	}
	return true
}

const (
	// soonGone and longKept are when what was claimed was too little, and too much.
	soonGone, longKept = 50 * time.Millisecond, 500 * time.Millisecond
	// mostAhead is how many lines are claimed ahead at most.
	mostAhead = 256
)

// ahead is how many lines are to be in hand: at least as many again as run, since a claim
// costs a wait for the disk, and more while they are gone in no time. What takes long is
// left to others who may have time for it sooner. REQUIRES: mu is held; only run calls it.
func (w *worker) ahead(least int, now time.Time) int {
	if len(w.queue) <= least/4 && !w.claimedAt.IsZero() {
		switch since := now.Sub(w.claimedAt); {
		case since < soonGone:
			w.more = min(2*max(w.more, least), mostAhead)
		case since > longKept:
			w.more /= 2
		}
	}
	return max(least, w.more)
}

// mostErrands is how many jobs are known at once, unless more are being run.
const mostErrands = 1024

// learn reads what is not known of the jobs that lines are of. Where that fails the lines
// wait for their leases to end.
func (w *worker) learn(st *store.Store, lines []store.Line) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.jobs) > mostErrands {
		clear(w.jobs)
		for key := range w.flights { // those are asked for again
			lines = append(lines, store.Line{Job: key.job})
		}
	}
	for _, l := range lines {
		if w.jobs[l.Job] != nil {
			continue
		}
		j, err := st.JobOf(w.ctx, l.Job)
		if err != nil {
			w.failed("a job cannot be read", err)
			return false
		}
		w.jobs[l.Job] = &errand{kind: j.Kind, endpoint: j.Endpoint, headers: j.Headers, creator: j.Creator, maxAttempts: j.MaxAttempts}
	}
	return true
}

// drop has no more lines of a job run.
func (w *worker) drop(job int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for key, f := range w.flights {
		if key.job == job {
			f.cancel()
		}
	}
}

// forget is for flights whose outcome is in the store, or is of no use.
func (w *worker) forget(job, n, token int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if f := w.flights[flightKey{job, n}]; f != nil && f.Token == token {
		f.cancel()
		delete(w.flights, flightKey{job, n})
	}
}

// beat lengthens the leases of all lines in our hands.
func (w *worker) beat(st *store.Store) {
	for w.sleep(w.lease / 3) {
		w.mu.Lock()
		leases := make([]store.Lease, 0, len(w.flights))
		for _, f := range w.flights {
			leases = append(leases, store.Lease{Job: f.Job, N: f.N, Token: f.Token})
		}
		w.mu.Unlock()
		if len(leases) == 0 {
			continue
		}
		lost, err := st.Heartbeat(w.ctx, leases, time.Now().Add(w.lease))
		if err != nil {
			w.failed("leases cannot be lengthened", err)
			continue
		}
		w.mu.Lock()
		for _, l := range lost {
			if f := w.flights[flightKey{l.Job, l.N}]; f != nil && f.Token == l.Token {
				f.cancel()
			}
		}
		w.mu.Unlock()
	}
}

// putBackAll lets others have the lines that were not done.
func (w *worker) putBackAll(st *store.Store) {
	w.mu.Lock()
	back := make([]store.Return, 0, len(w.flights))
	for _, f := range w.flights {
		back = append(back, store.Return{Job: f.Job, N: f.N, Token: f.Token, NotBefore: time.Now(), Unsent: true})
	}
	clear(w.flights)
	w.mu.Unlock()
	if len(back) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), parting)
	defer cancel()
	if err := st.PutBack(ctx, back); err != nil {
		w.log.Warn("lines wait for their leases to end, since they could not be put back") // whoever comes next waits for that
	}
}

// parting bounds what is written when the state is closed.
const parting = 3 * time.Second
