package models

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/fridaymesh/friday/proxy"
	"github.com/fridaymesh/friday/proxy/span"
)

// queue counts the requests that wait for the models of a cluster.
type queue struct {
	gauge prometheus.Gauge

	mu       sync.Mutex
	requests int
	bytes    int64
}

// heldFor is how many wait for m.
func (q *queue) heldFor(m *model) int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return m.held
}

// wakeAll has all who wait look again.
func (q *queue) wakeAll(models map[string]*model) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, m := range models {
		close(m.wake)
		m.wake = make(chan struct{})
	}
}

// waker is closed when who waits for m should look again.
func (q *queue) waker(m *model) <-chan struct{} {
	q.mu.Lock()
	defer q.mu.Unlock()
	return m.wake
}

// enter takes a place, or says which bound is reached.
func (q *queue) enter(m *model, bytes int64, c *Config) (bound string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.requests >= c.MaxHeld:
		return "requests"
	case q.bytes+bytes > c.MaxHeldBytes:
		return "bytes"
	}
	q.requests++
	q.bytes += bytes
	m.held++
	q.gauge.Inc()
	return ""
}

func (q *queue) leave(m *model, bytes int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.requests--
	q.bytes -= bytes
	m.held--
	q.gauge.Dec()
}

// maxRetryAfter is the longest that callers are told to stay away: SDKs of OpenAI's give
// up where it is longer.
const maxRetryAfter = 2 * time.Minute

// hold waits until m is ready and counts the request at the version that is; nil: the
// model is looked after no longer. The error is a 503, or why ctx has ended.
func (f *fleet) hold(ctx context.Context, m *model, req *proxy.Request) (*version, error) {
	c := f.config.Load()
	bytes := int64(0)
	if whole, ok := req.Body.(*proxy.BytesBody); ok {
		bytes = whole.Len()
	}
	began := time.Now()
	if bound := f.queue.enter(m, bytes, c); bound != "" {
		return nil, f.refusal(bound, fmt.Sprintf("model %s is not ready, and as many requests wait as may", m.name), m.remains())
	}
	defer f.queue.leave(m, bytes)
	waits := req.Span.Child("model hold", span.Internal)
	waits.Set("gen_ai.request.model", m.name)
	defer func() { waits.End() }()
	f.nudge()
	timer := time.NewTimer(c.HoldTimeout)
	defer timer.Stop()
	for {
		wake := f.queue.waker(m)
		if v := m.enter(); v != nil {
			f.metrics.ModelHoldSeconds.WithLabelValues(f.cluster, m.name).Observe(time.Since(began).Seconds())
			return v, nil
		}
		if m.removed.Load() {
			return nil, nil
		}
		if r := m.refusal.Load(); r != nil && (r.hopeless || r.until.After(began.Add(c.HoldTimeout))) {
			return nil, f.refusal("failed", fmt.Sprintf("model %s: %s", m.name, r.words), time.Until(r.until))
		}
		select {
		case <-wake:
		case <-timer.C:
			return nil, f.refusal("timeout", fmt.Sprintf("model %s is not ready", m.name), m.remains())
		case <-ctx.Done():
			return nil, proxy.AsError(ctx, context.Cause(ctx))
		}
	}
}

// remains is about how long bringing the model up takes.
func (m *model) remains() time.Duration {
	if took := time.Duration(m.took.Load()); took > 0 {
		return took
	}
	return 5 * time.Second
}

func (f *fleet) refusal(reason, words string, after time.Duration) error {
	f.metrics.ModelRefused.WithLabelValues(f.cluster, reason).Inc()
	return &proxy.Error{
		Status: http.StatusServiceUnavailable, Flag: proxy.FlagOverflow, Message: words,
		RetryAfter: min(max(after, time.Second), maxRetryAfter),
	}
}

// refuse tells those who wait for a model that has failed when it is tried again.
func (f *fleet) refuse() {
	now := time.Now()
	for _, m := range f.ordered {
		v, old := m.current, m.refusal.Load()
		if v == nil || v.state != failed || !now.Before(v.retryAt) {
			if old != nil {
				m.refusal.Store(nil)
			}
			continue
		}
		f.at(v.retryAt)
		if old == nil || !old.until.Equal(v.retryAt) {
			// The reason may name what callers should not know: it is for operators.
			m.refusal.Store(&refusal{until: v.retryAt, words: "it has failed to load", hopeless: v.attempts > hopeful && !v.missed})
			f.queue.wakeAll(map[string]*model{m.name: m})
		}
	}
}
