package models

import (
	"context"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/fridaymesh/friday/filters/models/api"
	"github.com/fridaymesh/friday/filters/models/artefact"
	"github.com/fridaymesh/friday/proxy"
)

// state is where a version is in its life:
//
//	unknown → unloaded → fetching → unloaded → loading → warming → ready → draining → unloaded
//
// A job that fails leads to failed, from where it begins again as unknown when its time
// has come. unknown is asked for: it may be ready, or loading, for the server does as it
// likes.
type state string

const (
	unknown  state = "unknown"
	unloaded state = "unloaded"
	fetching state = "fetching"
	loading  state = "loading"
	warming  state = "warming"
	ready    state = "ready"
	draining state = "draining"
	failed   state = "failed"
)

// model is a name that callers use, and the versions of it.
type model struct {
	// Set once.
	name  string
	fleet *fleet

	// Read by every request.
	serving  atomic.Pointer[version] // nil: requests wait
	lastUsed atomic.Int64            // in Unix nanoseconds
	refusal  atomic.Pointer[refusal] // nil: there is hope
	removed  atomic.Bool             // is looked after no longer: requests pass
	took     atomic.Int64            // how long bringing it up took the last time, in nanoseconds

	records records

	// Guarded by fleet.queue.mu.
	held int
	wake chan struct{} // closed, and made anew, when those who wait should look again

	// The loop's own.
	order    int // in the configuration
	required bool
	priority int32
	idleTTL  time.Duration
	current  *version   // serves, or is to serve; nil where the model is removed
	next     *version   // is brought up while current serves
	going    []*version // are to be unloaded, or are kept for a while

	toldState, toldVersion string // to the metrics
}

// version is one way in which a model may be loaded.
type version struct {
	// Set once.
	model *model
	id    string // ModelConfig.id
	name  string // empty: whatever the server has

	// Counted by requests.
	inFlight atomic.Int64
	leaving  atomic.Bool

	progress artefact.Progress

	// The loop's own.
	spec     *ModelConfig
	state    state
	since    time.Time
	detail   string
	reason   string // of the last failure
	attempts int    // failures in a row
	missed   bool   // the last: the server was not to be reached
	retryAt  time.Time
	job      *job
	eager    bool // is brought up ahead of demand
	fetched  bool
	ours     bool // what lies at path is Friday's to remove
	warmed   bool
	resident bool // takes memory
	bytes    uint64
	path     string // where its source lies
	readyAt  time.Time
	leaveAt  time.Time // of one that is going: not before
	why      string    // it is unloaded: idle, room, replaced, removed
	at       map[*proxy.Endpoint]bool
	checked  time.Time   // when the server was last asked
	asking   []chan bool // those who have had an answer that may mean that it is not ready
	loads    uint64
	unloads  uint64
}

// job is what is being done for a version.
type job struct{ cancel context.CancelFunc }

// refusal is why requests are not held.
type refusal struct {
	until time.Time
	words string
	// hopeless: not even those whose deadline is later.
	hopeless bool
}

// enter counts a request at the version that serves; nil: none does.
func (m *model) enter() *version {
	for {
		v := m.serving.Load()
		if v == nil {
			return nil
		}
		v.inFlight.Add(1)
		if m.serving.Load() == v { // else it may have been found idle before
			return v
		}
		v.leave()
	}
}

// leave ends what enter began.
func (v *version) leave() {
	v.model.lastUsed.Store(time.Now().UnixNano())
	if v.inFlight.Add(-1) == 0 && v.leaving.Load() {
		v.model.fleet.nudge()
	}
}

func (v *version) asked() api.Model {
	return api.Model{Name: v.model.name, Version: v.name, Path: v.path}
}

func (v *version) set(s state, detail string) {
	v.detail = detail
	if v.state == s {
		return
	}
	v.state, v.since = s, time.Now()
	v.model.fleet.tell(v.model)
}

// The bounds of the pauses between attempts.
const (
	firstPause = 200 * time.Millisecond
	leastPause = 50 * time.Millisecond
	mostPause  = 30 * time.Second
	// missedPause is the longest while the server cannot be reached.
	missedPause = 500 * time.Millisecond
	// hopeful is how many failures in a row requests are held through.
	hopeful = 4
)

// pause is before attempt n, with full jitter
// (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/).
func pause(n int) time.Duration {
	most := firstPause << min(n-1, 10)
	return leastPause + rand.N(min(most, mostPause)) // #nosec G404 -- who comes first needs no secrecy
}

// fail notes a failure, after which it is tried again.
func (v *version) fail(err error) {
	v.attempts++
	v.reason = err.Error()
	// A server that is not there yet costs little to look for, and may come any moment.
	if v.missed = unreachable(err); v.missed {
		v.retryAt = time.Now().Add(min(pause(v.attempts), missedPause))
	} else {
		v.retryAt = time.Now().Add(pause(v.attempts))
	}
	v.set(failed, "")
}
