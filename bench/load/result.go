package load

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Result is what a run has seen.
type Result struct {
	// Requests is how many had an answer with status 200, right or wrong; only
	// the right ones are in Latency.
	Requests uint64
	// Wrong counts the answers that were not what the request deserved.
	Wrong uint64
	// Refused counts the requests that the server had to refuse, each with an
	// error of its own, and did; they are not in Requests.
	Refused uint64
	// Left counts those whose caller left before there was an answer.
	Left uint64
	// Failed counts, by kind, what had no such answer: a status as "503",
	// "connect", "timeout", "reset" or "protocol".
	Failed map[string]uint64
	// Latency is from the request's first byte to the answer's last; in an open
	// loop from when the request was due.
	Latency Histogram
	// Connections were opened.
	Connections uint64
	// Elapsed is how long the run took.
	Elapsed time.Duration
	// Sample is the first thing that went wrong, in words.
	Sample string
}

// Merge adds another run of the same load.
func (r *Result) Merge(o *Result) {
	r.Requests += o.Requests
	r.Wrong += o.Wrong
	r.Refused += o.Refused
	r.Left += o.Left
	for kind, n := range o.Failed {
		r.fail(kind, n)
	}
	r.Latency.Merge(&o.Latency)
	r.Connections += o.Connections
	r.Elapsed += o.Elapsed
	if r.Sample == "" {
		r.Sample = o.Sample
	}
}

func (r *Result) fail(kind string, n uint64) {
	if r.Failed == nil {
		r.Failed = make(map[string]uint64)
	}
	r.Failed[kind] += n
}

// RPS is the right answers per second.
func (r *Result) RPS() float64 {
	if r.Elapsed <= 0 {
		return 0
	}
	return float64(r.Latency.Count()) / r.Elapsed.Seconds()
}

// Failures is the sum of Failed.
func (r *Result) Failures() uint64 {
	var n uint64
	for _, k := range r.Failed {
		n += k
	}
	return n
}

// Clean says that every answer came and was right.
func (r *Result) Clean() bool { return r.Wrong == 0 && r.Failures() == 0 && r.Requests > 0 }

// Trouble says in words what went wrong; empty where nothing did.
func (r *Result) Trouble() string {
	var parts []string
	if r.Requests == 0 {
		parts = append(parts, "no answers")
	}
	if r.Wrong > 0 {
		parts = append(parts, fmt.Sprintf("%d wrong", r.Wrong))
	}
	for _, kind := range slices.Sorted(maps.Keys(r.Failed)) {
		parts = append(parts, fmt.Sprintf("%d failed (%s)", r.Failed[kind], kind))
	}
	if len(parts) > 0 && r.Sample != "" {
		parts = append(parts, "first: "+r.Sample)
	}
	return strings.Join(parts, ", ")
}

// MarshalJSON writes the figures that people want, times in milliseconds.
func (r *Result) MarshalJSON() ([]byte, error) {
	ms := func(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
	return json.Marshal(struct {
		Requests    uint64            `json:"requests"`
		Wrong       uint64            `json:"wrong"`
		Refused     uint64            `json:"refused,omitempty"`
		Left        uint64            `json:"left,omitempty"`
		Failed      map[string]uint64 `json:"failed"`
		RPS         float64           `json:"rps"`
		Mean        float64           `json:"mean_ms"`
		P50         float64           `json:"p50_ms"`
		P90         float64           `json:"p90_ms"`
		P99         float64           `json:"p99_ms"`
		Max         float64           `json:"max_ms"`
		Elapsed     float64           `json:"elapsed_s"`
		Connections uint64            `json:"connections"`
		Sample      string            `json:"first_trouble,omitempty"`
	}{
		r.Requests, r.Wrong, r.Refused, r.Left, r.Failed, r.RPS(), ms(r.Latency.Mean()),
		ms(r.Latency.Quantile(.5)), ms(r.Latency.Quantile(.9)), ms(r.Latency.Quantile(.99)), ms(r.Latency.Max()),
		r.Elapsed.Seconds(), r.Connections, r.Sample,
	})
}
