package cluster

import "math"

// Status is how a cluster fares, for those who show it.
type Status struct {
	Config    *Config
	Endpoints []EndpointStatus
	// Requests and Retries are in flight, by priority.
	Requests, Retries [2]int64
	// Success is the average rate of success and the threshold of ejection of the last
	// interval, in percent, and LocalSuccess those of local failures; negative: not known.
	Success, LocalSuccess [2]float64
}

// EndpointStatus is one endpoint.
type EndpointStatus struct {
	EndpointConfig

	Active                                int64
	Total                                 uint64
	Success, Errors, Timeouts, NotReached uint64
	// Flags are Envoy's health flags: "healthy", or such as "/failed_active_hc".
	Flags   string
	Healthy bool
	// SuccessRate and LocalSuccessRate are of the last interval, in percent; negative: not
	// known.
	SuccessRate, LocalSuccessRate float64
}

// Status tells it.
func (c *Cluster) Status() Status {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := Status{Config: c.cfg, Endpoints: make([]EndpointStatus, 0, len(c.set.members))}
	for i := range c.usage {
		out.Requests[i], out.Retries[i] = c.usage[i].requests.Load(), c.usage[i].retries.Load()
	}
	out.Success, out.LocalSuccess = c.outliers.averages()
	for _, m := range c.set.members {
		f := m.health()
		out.Endpoints = append(out.Endpoints, EndpointStatus{
			EndpointConfig: m.config,
			Active:         m.endpoint.Active.Load(), Total: m.endpoint.Total.Load(),
			Success: m.stats.success.Load(), Errors: m.stats.failed.Load(),
			Timeouts: m.stats.timeouts.Load(), NotReached: m.stats.connectFailed.Load(),
			Flags: f.String(), Healthy: f.healthy(),
			SuccessRate: rateOf(&m.tally.rate), LocalSuccessRate: rateOf(&m.tally.localRate),
		})
	}
	return out
}

// averages are the ratings of the last interval.
func (d *detector) averages() (answers, local [2]float64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	a, l := d.average[0], d.average[1]
	return [2]float64{a.average, a.threshold}, [2]float64{l.average, l.threshold}
}

func rateOf(bits interface{ Load() uint64 }) float64 {
	if b := bits.Load(); b != 0 {
		return math.Float64frombits(b) - 1
	}
	return -1
}
