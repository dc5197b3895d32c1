package admin

import (
	"cmp"
	"slices"
	"time"

	dto "github.com/prometheus/client_model/go"
)

// jobFigures are what the page says of jobs.
type jobFigures struct {
	// Jobs are how many there are by where they stand, and how many ended by how.
	Jobs []figure
	// Lines are attempts at lines by what became of them, Failures those that failed, by why.
	Lines, Failures           []figure
	Waiting, Running, Allowed float64
	Oldest                    time.Duration
}

type figure struct {
	Name  string
	Value float64
}

// jobFigures reads the metrics of the jobs filter, so that the door needs to know none;
// nil: it is in no chain.
func (d *door) jobFigures() *jobFigures {
	families, _ := d.o.Registry.Gather() // as for the batches
	by := map[string]*dto.MetricFamily{}
	for _, f := range families {
		by[f.GetName()] = f
	}
	if by["friday_jobs_oldest_seconds"] == nil {
		return nil
	}
	one := func(name string) float64 {
		sum := 0.0
		for _, f := range figures(by[name]) {
			sum += f.Value
		}
		return sum
	}
	return &jobFigures{
		Jobs:     append(figures(by["friday_jobs_open"]), figures(by["friday_jobs_total"])...),
		Lines:    figures(by["friday_job_lines_total"]),
		Failures: figures(by["friday_job_line_failures_total"]),
		Waiting:  one("friday_job_lines_waiting"), Running: one("friday_job_lines_running"), Allowed: one("friday_job_lines_limit"),
		Oldest: time.Duration(one("friday_jobs_oldest_seconds") * float64(time.Second)).Round(time.Second),
	}
}

// figures are a family's samples by the value of their last label, the greatest first.
func figures(f *dto.MetricFamily) (out []figure) {
	for _, m := range f.GetMetric() {
		x := figure{Value: m.GetCounter().GetValue() + m.GetGauge().GetValue()}
		if labels := m.GetLabel(); len(labels) > 0 {
			x.Name = labels[len(labels)-1].GetValue()
		}
		if x.Value != 0 {
			out = append(out, x)
		}
	}
	slices.SortStableFunc(out, func(a, b figure) int { return cmp.Compare(b.Value, a.Value) })
	return out
}
