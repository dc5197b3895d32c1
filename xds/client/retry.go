package client

import (
	"time"

	"go.uber.org/zap"

	"github.com/fridaymesh/friday/proxy/telemetry"
)

// retry is what the data plane has refused and may take later. What it refuses
// need not be wrong: a port that was busy may be free by now, and a control plane
// that has heard a NACK has nothing more to send. So the last response of each
// kind that was refused in this way is tried again, with the waits of backoff,
// until the data plane takes it, another one of its kind comes, or a new stream
// opens, on which the control plane sends it again. The zero value holds nothing.
type retry struct {
	updates map[part]*update
	// waited says that the data plane has refused what follows from waiting, which
	// no response brings back.
	waited   bool
	failures int // in a row
	at       time.Time
}

func (r *retry) empty() bool { return !r.waited && len(r.updates) == 0 }

// refused notes u. A version that was refused before is not a reason to begin
// anew with short waits.
func (r *retry) refused(source string, u *update, now time.Time) {
	p := part{u.kind, source}
	if old := r.updates[p]; old != nil && old.version != u.version {
		r.failures = 0
	}
	if r.updates == nil {
		r.updates = map[part]*update{}
	}
	r.updates[p] = u.over(r.updates[p])
	r.later(now)
}

// later sets the next attempt.
func (r *retry) later(now time.Time) {
	r.failures++
	r.at = now.Add(backoff(r.failures, .5))
}

// taken forgets what was refused of a kind.
func (r *retry) taken(p part) {
	delete(r.updates, p)
	if r.empty() {
		*r = retry{}
	}
}

// passed forgets what u, which the data plane has taken, is newer than.
func (r *retry) passed(source string, u *update) {
	p := part{u.kind, source}
	if old := r.updates[p]; old != nil && !u.full {
		if rest := (&update{kind: u.kind, version: old.version, nonce: old.nonce, target: old.target}).after(old, u); rest != nil {
			r.updates[p] = rest
			return
		}
	}
	r.taken(p)
}

// forget forgets what a source has sent.
func (r *retry) forget(source string) {
	for k := range kinds {
		r.taken(part{k, source})
	}
}

// waiting notes whether the data plane refuses what follows from waiting.
func (r *retry) waiting(refused bool, now time.Time) {
	if !refused {
		r.waited = false
		if r.empty() {
			*r = retry{}
		}
		return
	}
	if !r.waited || r.due(now) {
		r.waited = true
		r.later(now)
	}
}

// due says whether it is time for the next attempt.
func (r *retry) due(now time.Time) bool { return !r.empty() && !now.Before(r.at) }

// deadline is when tick has to be called next without anything having happened;
// ok is false where it has not.
func (c *Client) deadline() (at time.Time, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	at, ok = c.state.Load().deadline()
	if !c.retry.empty() && (!ok || c.retry.at.Before(at)) {
		return c.retry.at, true
	}
	return at, ok
}

// again tries what the data plane has refused, where it is time. What is then in
// force whole was refused before and has to be acknowledged. REQUIRES: mu.
func (c *Client) again(now time.Time) {
	if !c.retry.due(now) {
		return
	}
	failed := false
	for source, f := range c.feeds {
		for _, k := range f.kinds {
			u := c.retry.updates[part{k, source}]
			if u == nil {
				continue
			}
			log := c.log.With(zap.Stringer(telemetry.FieldType, k), zap.String(telemetry.FieldVersion, u.version))
			err, applyErr := c.attempt(source, u, now)
			if applyErr != nil {
				failed = true
				log.Warn("update refused again", zap.Error(applyErr))
				continue
			}
			c.retry.taken(part{k, source})
			if err != nil {
				log.Info("what is good of an update is in force, after it was refused")
				continue
			}
			c.metrics.XDSUpdates.WithLabelValues(k.String(), "accepted").Inc()
			log.Info("update accepted, after it was refused")
			f.acks = append(f.acks, k)
			nudge(f.wake)
		}
	}
	if failed {
		c.retry.later(now)
	}
}

// acknowledged are the kinds that again wants acknowledged, once.
func (c *Client) acknowledged(f *feed) []kind {
	c.mu.Lock()
	defer c.mu.Unlock()
	acks := f.acks
	f.acks = nil
	return acks
}
