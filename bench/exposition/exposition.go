// Package exposition reads figures out of Prometheus's text format
// (https://prometheus.io/docs/instrumenting/exposition_formats), as far as the
// measurements need them.
package exposition

import (
	"strconv"
	"strings"
)

// Sum adds the samples of a metric over all its labels, or over those samples
// alone that have each of the given labels, written as name="value". A metric that
// is not there is 0.
func Sum(text, metric string, labels ...string) float64 {
	total := 0.0
	for line := range strings.Lines(text) {
		rest, ok := strings.CutPrefix(strings.TrimSpace(line), metric)
		if !ok || rest == "" || rest[0] != '{' && rest[0] != ' ' {
			continue
		}
		// A label's value may hold spaces and braces; what follows the last brace
		// is the sample and, perhaps, its time.
		end := strings.LastIndexByte(rest, '}') + 1
		fields := strings.Fields(rest[end:])
		if len(fields) == 0 || !has(rest[:end], labels) {
			continue
		}
		if v, err := strconv.ParseFloat(fields[0], 64); err == nil {
			total += v
		}
	}
	return total
}

// has says whether each label stands in the list of a sample: behind its opening
// brace or a comma.
func has(list string, labels []string) bool {
	for _, l := range labels {
		if !strings.Contains(list, "{"+l) && !strings.Contains(list, ","+l) {
			return false
		}
	}
	return true
}

// Batches is how many items were sent or run in how many calls.
type Batches struct{ Items, Calls float64 }

// Add is both together.
func (b Batches) Add(more Batches) Batches {
	return Batches{b.Items + more.Items, b.Calls + more.Calls}
}

// Sub is what has come since before.
func (b Batches) Sub(before Batches) Batches {
	return Batches{b.Items - before.Items, b.Calls - before.Calls}
}

// Mean is items per call; 0 where there was none.
func (b Batches) Mean() float64 {
	if b.Calls == 0 {
		return 0
	}
	return b.Items / b.Calls
}
