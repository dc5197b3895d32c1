package schedule

import "time"

// aside has a pool stand aside once a trial has shown that the top level is no worse:
// from then on everything goes as it comes.
//
// It is tried (apart) where one of two things says that batching may not pay. Calls
// that cost as much an item as a call of one, by the learned T(n): merging them wins
// nothing, and the first in a batch waits for the last. And a level so high that hardly
// any two requests share a call: before a server that batches by itself, or that is so
// quick that nothing ever waits, merging is work for nothing.
//
// It is taken back after a pause, that doubles each time up to five minutes, or when
// there are many more callers than there were: then the limit is sought anew, from where
// the server is.
type aside struct {
	on    bool
	until Instant
	pause time.Duration
	peak  float64 // of callers, when it began

	callers float64 // moving mean of the callers in the servers and the queues
	entries float64 // moving mean of how many entries a call holds
	items   float64 // moving mean of how many items an entry holds
}

const (
	// pays is the gain in throughput from which on batching is worth its work.
	pays = 1.2
	// crowd is how many callers there have to be for anything to be said.
	crowd = 1.8
	// sharing is the mean number of requests in a call under which nothing is shared.
	sharing = 1.15

	firstAside = 5 * time.Second
	lastAside  = 5 * time.Minute
	asideMean  = 0.1 // the share of the newest in the moving means
)

func (a *aside) observe(callers, entries, items int) {
	mean := func(m *float64, v float64) {
		if *m == 0 {
			*m = v
		}
		*m += asideMean * (v - *m)
	}
	mean(&a.callers, float64(callers))
	mean(&a.entries, float64(entries))
	mean(&a.items, float64(items)/float64(max(1, entries)))
}

// apart says that it may be as well to send everything as it comes: c is the cost of a
// server, level how many calls each of the servers is given at once, and most what a
// call may hold.
func (a *aside) apart(c *cost, level, servers, most int) bool {
	if a.callers < crowd*float64(servers) {
		return false
	}
	if level > 1 {
		// Here T(n) is mostly the others' time, and says nothing about a call's own.
		return a.entries < sharing || float64(level*servers) >= 0.6*a.callers
	}
	if !c.spread {
		return false
	}
	n := min(float64(most), a.items*max(a.callers/float64(servers), 2))
	return n/a.items*c.of(a.items)/max(c.of(n), 1e-9) < pays
}

// begin stands aside.
func (a *aside) begin(now Instant) {
	if a.pause == 0 {
		a.pause = firstAside
	}
	a.on, a.until, a.peak = true, now+a.pause, a.callers
	a.pause = min(2*a.pause, lastAside)
}

// over says that the time is over, or that there are many more callers than there
// were.
func (a *aside) over(now Instant, callers int) bool {
	return a.on && (now >= a.until || callers > a.most())
}

// most is how many callers there may be.
func (a *aside) most() int { return int(1.5*a.peak) + 2 }

// end ends it.
func (a *aside) end() { a.on, a.callers, a.entries, a.items = false, 0, 0, 0 }
