package cluster

// availability is how many endpoints of one priority there are, or their weights.
type availability struct{ healthy, degraded, excluded, total uint64 }

// share is what one priority gets of the requests, in percent.
type share struct {
	healthy, degraded uint64
	panics            bool
}

// shares spreads the requests over the priorities, as Envoy does
// (https://www.envoyproxy.io/docs/envoy/latest/intro/arch_overview/upstream/load_balancing/priority):
// the first takes what its healthy part bears, overprovisioned, the next what is left;
// then the degraded ones. Where all together cannot bear everything, what they bear is
// scaled up, and a priority whose healthy part is below the threshold panics. Where all
// of them do, each takes what its number of endpoints is of all.
func shares(levels []availability, overprovisioning uint64, threshold float64) []share {
	out := make([]share, len(levels))
	bears := make([]share, len(levels))
	sum := uint64(0)
	for i, l := range levels {
		if n := l.total - l.excluded; n > 0 {
			bears[i].healthy = min(100, overprovisioning*l.healthy/n)
			bears[i].degraded = min(100, overprovisioning*l.degraded/n)
		}
		sum += bears[i].healthy + bears[i].degraded
	}
	sum = min(sum, 100)
	if sum > 0 {
		distribute(out, bears, sum)
	} else if len(out) > 0 {
		out[0].healthy = 100
	}
	if threshold == 0 && sum == 0 {
		return out
	}
	all := true
	for i, l := range levels {
		out[i].panics = sum < 100 && l.panics(threshold)
		all = all && out[i].panics
	}
	if all {
		spreadBlindly(out, levels)
	}
	return out
}

// distribute gives each what it bears, the first first, healthy before degraded.
func distribute(out, bears []share, sum uint64) {
	left := uint64(100)
	take := func(b uint64) uint64 {
		got := min(left, b*100/sum)
		left -= got
		return got
	}
	for i := range out {
		out[i].healthy = take(bears[i].healthy)
	}
	for i := range out {
		out[i].degraded = take(bears[i].degraded)
	}
	for i := range out { // what rounding has left
		if bears[i].healthy > 0 {
			out[i].healthy += left
			return
		}
	}
	for i := range out {
		if bears[i].degraded > 0 {
			out[i].degraded += left
			return
		}
	}
}

func (l availability) panics(threshold float64) bool {
	n := l.total - l.excluded
	if n == 0 {
		return threshold > 0
	}
	return 100*float64(l.healthy)/float64(n)+100*float64(l.degraded)/float64(n) < threshold
}

func spreadBlindly(out []share, levels []availability) {
	total := uint64(0)
	for _, l := range levels {
		total += l.total
	}
	if total == 0 {
		return
	}
	left := uint64(100)
	for i, l := range levels {
		out[i].healthy, out[i].degraded = 100*l.total/total, 0
		left -= out[i].healthy
	}
	for i, l := range levels {
		if l.total > 0 {
			out[i].healthy += left
			return
		}
	}
}
