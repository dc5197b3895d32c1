package client

import (
	"time"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
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
	responses [kinds]*discoveryv3.DiscoveryResponse
	// waited says that the data plane has refused what follows from waiting, which
	// no response brings back.
	waited   bool
	failures int // in a row
	at       time.Time
}

func (r *retry) empty() bool {
	return !r.waited && r.responses == [kinds]*discoveryv3.DiscoveryResponse{}
}

// refused notes resp. A version that was refused before is not a reason to begin
// anew with short waits.
func (r *retry) refused(k kind, resp *discoveryv3.DiscoveryResponse, now time.Time) {
	if old := r.responses[k]; old != nil && old.GetVersionInfo() != resp.GetVersionInfo() {
		r.failures = 0
	}
	r.responses[k] = resp
	r.later(now)
}

// later sets the next attempt.
func (r *retry) later(now time.Time) {
	r.failures++
	r.at = now.Add(backoff(r.failures, .5))
}

// taken forgets what was refused of a kind.
func (r *retry) taken(k kind) {
	r.responses[k] = nil
	if r.empty() {
		*r = retry{}
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
	at, ok = c.state.Load().deadline()
	if !c.retry.empty() && (!ok || c.retry.at.Before(at)) {
		return c.retry.at, true
	}
	return at, ok
}

// again tries what the data plane has refused, where it is time, and returns the
// kinds whose response is now in force whole: they were refused before and have
// to be acknowledged.
func (c *Client) again(now time.Time) (acknowledge []kind) {
	if !c.retry.due(now) {
		return nil
	}
	failed := false
	for k := range kinds {
		resp := c.retry.responses[k]
		if resp == nil {
			continue
		}
		log := c.log.With(zap.Stringer(telemetry.FieldType, k), zap.String(telemetry.FieldVersion, resp.GetVersionInfo()))
		err, applyErr := c.attempt(k, resp, now)
		if applyErr != nil {
			failed = true
			log.Warn("update refused again", zap.Error(applyErr))
			continue
		}
		c.retry.taken(k)
		if err != nil {
			log.Info("what is good of an update is in force, after it was refused")
			continue
		}
		c.metrics.XDSUpdates.WithLabelValues(k.String(), "accepted").Inc()
		log.Info("update accepted, after it was refused")
		acknowledge = append(acknowledge, k)
	}
	if failed {
		c.retry.later(now)
	}
	return acknowledge
}
