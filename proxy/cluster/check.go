package cluster

import (
	"context"
	"math/rand/v2"
	"reflect"
	"time"

	"go.uber.org/zap"

	"github.com/fridaymesh/friday/proxy/telemetry"
)

// immediateFail in an answer makes its endpoint unhealthy at once, degradedBy in a health
// check's answer makes it degraded.
const (
	immediateFail = "x-envoy-immediate-health-check-fail"
	degradedBy    = "x-envoy-degraded"
)

// checker asks one endpoint for its health, again and again. It holds no goroutine
// while it waits.
type checker struct {
	// Set once.
	c      *Cluster
	m      *member
	cfg    *Check
	base   *Config // of the cluster
	target EndpointConfig
	ctx    context.Context //nolint:containedctx // of all that the checker does
	cancel context.CancelFunc

	// Used by one check at a time.
	via    EndpointHandler // its own connections
	first  bool            // no check is over yet
	passed uint32          // in a row, while unhealthy
	failed uint32          // in a row, while healthy

	timer *time.Timer // guarded by Cluster.mu
}

// verdict is a check's.
type verdict int

const (
	fails    verdict = iota // counts towards UnhealthyAfter
	failsNow                // the endpoint says itself that it is not well
	passes
	passesDegraded
)

// checkAll begins and ends checks as the members and the configuration want.
//
// REQUIRES: c.mu is held.
func (c *Cluster) checkAll() {
	for _, m := range c.set.members {
		cfg := c.cfg.Check
		if m.config.Check != nil && m.config.Check.Disabled {
			cfg = nil
		}
		if old := m.check; old != nil {
			if cfg != nil && (old.cfg == cfg || reflect.DeepEqual(old.cfg, cfg)) && !dialDiffers(old.base, c.cfg) && reflect.DeepEqual(old.target, m.target()) {
				continue
			}
			c.stopCheck(m)
		}
		if cfg == nil {
			m.mark(failedActive|degradedActive|pendingActive|activeTimeout|excludedImmediate, 0)
			continue
		}
		c.startCheck(m, cfg)
	}
}

// target is whom to ask, and by what name.
func (m *member) target() EndpointConfig {
	t := EndpointConfig{Address: m.config.Address, Hostname: m.config.Hostname, Metadata: m.config.Metadata, Check: m.config.Check}
	if k := m.config.Check; k != nil {
		if k.Address != "" {
			t.Address = k.Address
		}
	}
	return t
}

func (c *Cluster) startCheck(m *member, cfg *Check) {
	ctx, cancel := context.WithCancel(context.Background())
	k := &checker{c: c, m: m, cfg: cfg, base: c.cfg, target: m.target(), ctx: ctx, cancel: cancel, first: true}
	if m.health()&(failedActive|pendingActive) == 0 {
		// Until it has shown that it is well it is not.
		m.mark(failedActive|pendingActive, failedActive|pendingActive)
	}
	c.asked++
	m.check = k
	wait := time.Duration(0)
	if cfg.InitialJitter > 0 {
		wait = time.Duration(rand.Int64N(int64(cfg.InitialJitter))) // #nosec G404 -- spreads load, guards nothing
	}
	k.timer = time.AfterFunc(wait, k.run)
}

func (c *Cluster) stopCheck(m *member) {
	k := m.check
	if k == nil {
		return
	}
	m.check = nil
	k.cancel()
	if k.timer.Stop() {
		k.close() // else the check that runs does
	}
	if k.first {
		k.first = false
		c.asked--
	}
}

func (k *checker) close() {
	if k.via != nil {
		_ = k.via.Close() // only idle connections
		k.via = nil
	}
}

// run makes one check.
func (k *checker) run() {
	ctx, cancel := context.WithTimeout(k.ctx, k.cfg.Timeout)
	v, err := k.ask(ctx)
	late := ctx.Err() != nil
	cancel()
	c := k.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if k.ctx.Err() != nil || c.closed {
		k.close()
		return
	}
	if k.cfg.NoReuse || v == fails {
		k.close()
	}
	changed := k.take(v, late, err)
	if k.first {
		k.first = false
		if c.asked--; c.asked == 0 && c.cold.Load() {
			c.look() // those who waited must see it
		}
		c.settle()
	}
	if k.m.check != k {
		k.close()
		return // that was its end
	}
	k.timer.Reset(k.pause(changed))
}

// take counts a verdict. REQUIRES: c.mu is held.
func (k *checker) take(v verdict, late bool, err error) (changed bool) {
	m, c := k.m, k.c
	ill := m.health()&failedActive != 0
	if v == passes || v == passesDegraded {
		c.metrics.checked("success")
		k.failed = 0
		degraded := flags(0)
		if v == passesDegraded {
			degraded = degradedActive
		}
		cleared := pendingActive | activeTimeout | excludedImmediate | degradedActive
		if k.passed++; ill && (k.first || k.passed >= k.cfg.HealthyAfter) {
			cleared |= failedActive
			changed = true
			m.since = time.Now()
			c.log.Info("endpoint passes its health check", zap.String(telemetry.FieldEndpoint, m.endpoint.Address))
		}
		if m.mark(cleared, degraded) {
			c.changed()
		}
		c.outliers.passed(m)
		return changed
	}
	c.metrics.checked("failure")
	k.passed = 0
	k.failed++
	set := flags(0)
	if late {
		set = activeTimeout
	}
	if !ill && (v == failsNow || k.failed >= k.cfg.UnhealthyAfter) {
		set |= failedActive
		changed = true
	}
	if changed || k.first || k.cfg.LogFailures {
		c.log.Warn("endpoint fails its health check", zap.String(telemetry.FieldEndpoint, m.endpoint.Address), zap.Error(err))
	}
	if m.mark(pendingActive|set, set) {
		c.changed()
	}
	if changed && m.health()&pendingRemoval != 0 {
		c.apply(false) // nothing keeps it any more
	}
	return changed
}

// pause is how long until the next check.
func (k *checker) pause(changed bool) time.Duration {
	cfg, ill := k.cfg, k.m.health()&failedActive != 0
	first := func(choices ...time.Duration) time.Duration {
		for _, d := range choices {
			if d > 0 {
				return d
			}
		}
		return time.Second
	}
	var d time.Duration
	switch {
	case !k.c.used.Load() && ill:
		d = first(cfg.NoTraffic, time.Minute)
	case !k.c.used.Load():
		d = first(cfg.NoTrafficHealthy, cfg.NoTraffic, time.Minute)
	case ill && changed:
		d = first(cfg.UnhealthyEdgeInterval, cfg.UnhealthyInterval, cfg.Interval)
	case ill:
		d = first(cfg.UnhealthyInterval, cfg.Interval)
	case changed:
		d = first(cfg.HealthyEdgeInterval, cfg.Interval)
	default:
		d = first(cfg.Interval)
	}
	jitter := cfg.Jitter + d*time.Duration(min(cfg.JitterPercent, 100))/100
	if jitter > 0 {
		d += time.Duration(rand.Int64N(int64(jitter))) // #nosec G404 -- spreads load, guards nothing
	}
	return d
}

// failImmediately is told that an endpoint's answer asks to be taken out.
func (c *Cluster) failImmediately(m *member) {
	go func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if m.check != nil && m.mark(failedActive|excludedImmediate, failedActive|excludedImmediate) {
			c.changed()
		}
	}()
}
