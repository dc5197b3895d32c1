package cluster

import (
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/fridaymesh/friday/proxy/telemetry"
)

// detector ejects endpoints for how they answer, as Envoy's outlier detection does
// (https://www.envoyproxy.io/docs/envoy/latest/intro/arch_overview/upstream/outlier):
// at once after so many failures in a row, and at the end of an interval those whose
// rate of success is too low.
//
// Requests only count; what they count to is looked at under mu, which nobody holds for
// long.
type detector struct {
	// Set once.
	c *Cluster

	// Atomic.
	config atomic.Pointer[Outliers] // nil: nobody is ejected
	hosts  atomic.Int64

	mu      sync.Mutex
	timer   *time.Timer
	ejected map[*member]bool
	closed  bool
	average [2]rating // of the last interval: of answers, of local failures
}

// rating is what the rates of success of an interval came to; negative: not known.
type rating struct{ average, threshold float64 }

// tally counts how an endpoint answers.
type tally struct {
	// Atomic: failures in a row, and requests of this interval.
	in5xx, inGateway, inLocal atomic.Uint32
	total, good               atomic.Uint64
	localTotal, localGood     atomic.Uint64
	rate, localRate           atomic.Uint64 // bits of the last interval's rates, as percentages, and 1; 0: not known
	ejections                 int           // guarded by detector.mu, as what follows
	backoff                   uint64        // how often in a row
	ejectedAt                 time.Time
	jitter                    time.Duration
}

// update makes o the configuration; nil ends it and lets everybody come back.
func (d *detector) update(o *Outliers) {
	d.config.Store(o)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
	if d.ejected == nil {
		d.ejected = map[*member]bool{}
		d.average = [2]rating{{-1, -1}, {-1, -1}}
	}
	if o == nil {
		for m := range d.ejected {
			d.readmit(m)
		}
		return
	}
	d.timer = time.AfterFunc(o.Interval, d.look)
}

func (d *detector) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	if d.timer != nil {
		d.timer.Stop()
	}
}

// forget is told that a member has gone.
func (d *detector) forget(m *member) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ejected[m] {
		delete(d.ejected, m)
	}
}

// outcome is how an attempt ended, as far as it tells of the endpoint.
type outcome struct {
	status int  // of the answer, gRPC's made one of HTTP; or what stands for the failure
	local  bool // there was no answer
	// connected says that it got as far as a connection, which is a success of its own.
	connected bool
}

// note counts an outcome.
func (d *detector) note(m *member, o outcome) {
	cfg := d.config.Load()
	if cfg == nil {
		return
	}
	t := &m.tally
	if cfg.SplitLocal {
		t.localTotal.Add(1)
		if o.local {
			if o.connected {
				t.inLocal.Store(0)
			}
			if t.inLocal.Add(1) == cfg.ConsecutiveLocal.Count {
				t.inLocal.Store(0)
				d.eject(m, cfg, cfg.ConsecutiveLocal.Enforce, "consecutive_local_origin_failure")
			}
			return
		}
		t.localGood.Add(1)
		if t.inLocal.Load() > 0 {
			t.inLocal.Store(0)
		}
	}
	t.total.Add(1)
	if o.status < 500 {
		t.good.Add(1)
		if t.in5xx.Load() > 0 {
			t.in5xx.Store(0)
			t.inGateway.Store(0)
		}
		return
	}
	if o.status >= 502 && o.status <= 504 {
		if t.inGateway.Add(1) == cfg.ConsecutiveGateway.Count {
			t.inGateway.Store(0)
			d.eject(m, cfg, cfg.ConsecutiveGateway.Enforce, "consecutive_gateway_failure")
		}
	} else {
		t.inGateway.Store(0)
	}
	if t.in5xx.Add(1) == cfg.Consecutive5xx.Count {
		t.in5xx.Store(0)
		d.eject(m, cfg, cfg.Consecutive5xx.Enforce, "consecutive_5xx")
	}
}

// eject sends m away for a while, unless too many are away already.
func (d *detector) eject(m *member, cfg *Outliers, enforce uint32, why string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ejectLocked(m, cfg, enforce, why)
}

func (d *detector) ejectLocked(m *member, cfg *Outliers, enforce uint32, why string) {
	if d.closed || d.ejected[m] {
		return
	}
	share := 100 * float64(len(d.ejected)+1) / float64(max(1, d.hosts.Load()))
	if share > float64(cfg.MaxPercent) && (!cfg.AlwaysOne || len(d.ejected) > 0) {
		d.c.metrics.ejection("overflow")
		return
	}
	if rand.Uint32N(100) >= enforce { // #nosec G404 -- an experiment's share needs no secrecy
		return
	}
	t := &m.tally
	t.ejections++
	t.ejectedAt = time.Now()
	t.jitter = 0
	if cfg.Jitter > 0 {
		t.jitter = time.Duration(rand.Int64N(int64(cfg.Jitter))) // #nosec G404 -- as above
	}
	if time.Duration(t.backoff)*cfg.BaseEjection < cfg.MaxEjection+cfg.BaseEjection { // #nosec G115 -- small
		t.backoff++
	}
	d.ejected[m] = true
	d.c.metrics.ejection(why)
	d.c.log.Warn("endpoint ejected", zap.String(telemetry.FieldEndpoint, m.endpoint.Address), zap.String("reason", why))
	if m.mark(failedOutlier, failedOutlier) {
		d.c.changed()
	}
}

// readmit lets m come back. REQUIRES: d.mu is held.
func (d *detector) readmit(m *member) {
	delete(d.ejected, m)
	t := &m.tally
	t.in5xx.Store(0)
	t.inGateway.Store(0)
	t.inLocal.Store(0)
	d.c.log.Info("endpoint readmitted", zap.String(telemetry.FieldEndpoint, m.endpoint.Address))
	if m.mark(failedOutlier, 0) {
		d.c.changed()
	}
}

// passed is told that a health check has succeeded.
func (d *detector) passed(m *member) {
	cfg := d.config.Load()
	if cfg == nil || cfg.NoUnejectByCheck {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ejected[m] {
		d.readmit(m)
	}
}

// look ends an interval: who has been away for long enough comes back, who did badly
// goes.
func (d *detector) look() {
	cfg := d.config.Load()
	members := d.c.view.Load().set.members
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed || cfg == nil {
		return
	}
	d.timer.Reset(cfg.Interval)
	now := time.Now()
	for _, m := range members {
		t := &m.tally
		switch away := min(time.Duration(t.backoff)*cfg.BaseEjection, cfg.MaxEjection) + t.jitter; { // #nosec G115 -- small
		case !d.ejected[m]:
			if t.backoff > 0 {
				t.backoff--
			}
		case now.Sub(t.ejectedAt) >= away:
			d.readmit(m)
		}
	}
	answers, local := make([]sample, len(members)), make([]sample, len(members))
	for i, m := range members {
		t := &m.tally
		answers[i] = sample{m, t.total.Swap(0), t.good.Swap(0)}
		local[i] = sample{m, t.localTotal.Swap(0), t.localGood.Swap(0)}
		t.rate.Store(math.Float64bits(1 + answers[i].rate(cfg.SuccessRate.Volume)))
		t.localRate.Store(math.Float64bits(1 + local[i].rate(cfg.LocalSuccessRate.Volume)))
	}
	d.average[0] = d.judge(cfg, answers, cfg.SuccessRate, cfg.FailureRate, "")
	if cfg.SplitLocal {
		d.average[1] = d.judge(cfg, local, cfg.LocalSuccessRate, cfg.LocalFailureRate, "local_origin_")
	}
}

// sample is what one endpoint did in an interval.
type sample struct {
	m           *member
	total, good uint64
}

// rate is the percentage of successes; negative: there were too few requests to tell.
func (s *sample) rate(volume uint32) float64 {
	if s.total == 0 || s.total < uint64(volume) {
		return -1
	}
	return 100 * float64(s.good) / float64(s.total)
}

// judge compares the endpoints with each other. REQUIRES: d.mu is held.
func (d *detector) judge(cfg *Outliers, samples []sample, success, failure Rate, kind string) rating {
	out := rating{-1, -1}
	var rates []float64
	for i := range samples {
		if r := samples[i].rate(success.Volume); r >= 0 {
			rates = append(rates, r)
		}
	}
	if n := float64(len(rates)); n > 0 && len(rates) >= int(success.Hosts) {
		sum, squares := 0.0, 0.0
		for _, r := range rates {
			sum += r
		}
		out.average = sum / n
		for _, r := range rates {
			squares += (r - out.average) * (r - out.average)
		}
		out.threshold = out.average - float64(success.Factor)/1000*math.Sqrt(squares/n)
		for i := range samples {
			if r := samples[i].rate(success.Volume); r >= 0 && r < out.threshold {
				d.ejectLocked(samples[i].m, cfg, success.Enforce, kind+"success_rate")
			}
		}
	}
	enough := 0
	for i := range samples {
		if samples[i].rate(failure.Volume) >= 0 {
			enough++
		}
	}
	if enough == 0 || enough < int(failure.Hosts) {
		return out
	}
	for i := range samples {
		if r := samples[i].rate(failure.Volume); r >= 0 && 100-r >= float64(failure.Threshold) {
			d.ejectLocked(samples[i].m, cfg, failure.Enforce, kind+"failure_percentage")
		}
	}
	return out
}
