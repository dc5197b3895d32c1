package admission

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/fridaymesh/friday/filters/admission/gate"
	"github.com/fridaymesh/friday/proxy"
	"github.com/fridaymesh/friday/proxy/span"
)

// door drives the gate of a cluster.
type door struct {
	// Set once.
	state                  *state
	limit, flying, queued  prometheus.Gauge
	wait                   prometheus.Observer
	admitted, full, late   prometheus.Counter
	gone, requests, tokens prometheus.Counter

	mu   sync.Mutex
	gate *gate.Gate // guarded by mu
}

func newDoor(s *state, cluster string) *door {
	m := s.metrics
	result := func(name string) prometheus.Counter { return m.AdmissionRequests.WithLabelValues(cluster, name) }
	return &door{
		state: s, gate: gate.New(),
		limit: m.AdmissionLimit.WithLabelValues(cluster), flying: m.AdmissionInFlight.WithLabelValues(cluster),
		queued: m.AdmissionQueued.WithLabelValues(cluster), wait: m.AdmissionWait.WithLabelValues(cluster),
		admitted: result("admitted"), full: result("full"), late: result("late"), gone: result("gone"),
		requests: result("requests_per_minute"), tokens: result("tokens_per_minute"),
	}
}

// visit is a request at a door.
type visit struct {
	gate.Ticket

	door *door
	span *span.Span // of the request
	// ready delivers once, where it waits and does not leave: admitted or refused.
	ready chan gate.Verdict
	ended sync.Once
}

// enter returns when v is let in, refused or its caller has gone (an error).
func (d *door) enter(ctx context.Context, v *visit) (gate.Verdict, error) {
	verdict, deadline := d.ask(v)
	if verdict == gate.Waiting {
		var err error
		waits := v.span.Child("admission", span.Internal)
		verdict, err = d.await(ctx, v, deadline)
		waits.End()
		if err != nil {
			d.gone.Inc()
			return verdict, err
		}
	}
	d.wait.Observe((d.state.now() - v.Entered).Seconds())
	switch verdict {
	case gate.Admitted:
		d.admitted.Inc()
	case gate.Full:
		d.full.Inc()
	case gate.Late:
		d.late.Inc()
	case gate.Waiting:
	}
	return verdict, nil
}

// ask enters v; deadline is in how long it has to leave, 0: never.
func (d *door) ask(v *visit) (verdict gate.Verdict, deadline time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.state.now()
	verdict, evicted := d.gate.Enter(now, &v.Ticket)
	if evicted != nil {
		evicted.Owner.(*visit).ready <- gate.Full //nolint:forcetypeassert // this package's own
	}
	if at, ok := v.Deadline(); ok {
		deadline = max(1, at-now)
	}
	d.show(now, v.Rules)
	return verdict, deadline
}

func (d *door) await(ctx context.Context, v *visit, deadline time.Duration) (gate.Verdict, error) {
	var late <-chan time.Time
	if deadline > 0 {
		timer := time.NewTimer(deadline)
		defer timer.Stop()
		late = timer.C
	}
	select {
	case verdict := <-v.ready:
		return verdict, nil
	case <-late:
		if d.leave(v) {
			return gate.Late, nil
		}
		return <-v.ready, nil
	case <-ctx.Done():
		if !d.leave(v) && <-v.ready == gate.Admitted {
			v.end(gate.Sample{})
		}
		return gate.Waiting, proxy.AsError(ctx, context.Cause(ctx))
	}
}

func (d *door) leave(v *visit) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	left := d.gate.Leave(&v.Ticket)
	d.show(d.state.now(), v.Rules)
	return left
}

// begun tells what became of v's request.
func (v *visit) begun(s gate.Sample) {
	d := v.door
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.state.now()
	d.gate.Begun(now, &v.Ticket, s)
	d.pump(now)
}

// end gives v's place to others, once.
func (v *visit) end(s gate.Sample) {
	v.ended.Do(func() {
		d := v.door
		d.mu.Lock()
		defer d.mu.Unlock()
		now := d.state.now()
		if s != (gate.Sample{}) {
			d.gate.Begun(now, &v.Ticket, s)
		}
		d.gate.End(now, &v.Ticket)
		d.pump(now)
		d.show(now, v.Rules)
	})
}

// pump lets in who may be. REQUIRES: mu is held.
func (d *door) pump(now gate.Instant) {
	for {
		t, verdict := d.gate.Next(now)
		if t == nil {
			return
		}
		t.Owner.(*visit).ready <- verdict //nolint:forcetypeassert // this package's own
	}
}

// retryAfter is in what time a request like v, which was refused, could be let in.
func (d *door) retryAfter(v *visit) time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.gate.RetryAfter(&v.Ticket)
}

// show brings the gauges up to date. REQUIRES: mu is held.
func (d *door) show(now gate.Instant, r *gate.Rules) {
	level, flying, queued := d.gate.Seen(now, r)
	d.limit.Set(float64(level))
	d.flying.Set(float64(flying))
	d.queued.Set(float64(queued))
}
