package dashboard

import (
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

const (
	// window is what rates and percentiles are of, where somebody has looked for so long.
	window = time.Minute
	// apart is the least time between two readings that are kept, so that there are few.
	apart = 5 * time.Second
	// youngest is the least age of a reading to compare with; what lies between younger ones is
	// chance.
	youngest = 2 * time.Second
)

// families are the metrics of one reading, by name.
type families map[string][]*dto.Metric

type reading struct {
	at time.Time
	families
}

// readings are the metrics as they were whenever somebody looked within the last window,
// the oldest first.
type readings struct {
	mu     sync.Mutex
	kept   []reading
	forget *time.Timer
}

// take reads the metrics, and compares them with the oldest reading kept.
func (r *readings) take(registry prometheus.Gatherer, now, started time.Time) *figures {
	gathered, _ := registry.Gather() // one that fails in part gives what it has
	f := &figures{now: make(families), window: now.Sub(started)}
	for _, family := range gathered {
		if name := family.GetName(); strings.HasPrefix(name, "friday_") || strings.HasPrefix(name, "gen_ai_") {
			f.now[name] = family.GetMetric()
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.kept) > 0 && now.Sub(r.kept[0].at) > window+apart {
		r.kept = r.kept[1:]
	}
	if len(r.kept) > 0 && now.Sub(r.kept[0].at) >= youngest {
		f.then, f.window = r.kept[0].families, now.Sub(r.kept[0].at)
	}
	if len(r.kept) == 0 || now.Sub(r.kept[len(r.kept)-1].at) >= apart {
		r.kept = append(r.kept, reading{now, f.now})
	}
	if r.forget == nil {
		r.forget = time.AfterFunc(2*window, r.drop)
	}
	r.forget.Reset(2 * window)
	return f
}

// drop forgets the readings when nobody looks any more.
func (r *readings) drop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.kept = nil
}
