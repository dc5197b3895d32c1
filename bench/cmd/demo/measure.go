package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/fridaymesh/friday/bench/load"
	"github.com/fridaymesh/friday/bench/realserver"
	"github.com/fridaymesh/friday/bench/report"
	"github.com/fridaymesh/friday/bench/sidecar"
)

// cell is one line of the table.
type cell struct {
	callers  int
	friday   bool
	result   *load.Result
	exam     *realserver.Exam // nil for the stand-in
	batches  sidecar.Batches
	baseline *load.Result // the direct way's
}

// results are the lines, direct and through Friday in turn.
type results struct {
	title string
	cells []cell
}

// measure fills the table. It is returned, as far as it got, also with an error.
func (d *demo) measure(ctx context.Context, server *subject, side *sidecar.Sidecar) (*results, error) {
	t := &results{title: server.title}
	reference, err := d.reference(ctx, server, side)
	if err != nil {
		return nil, err
	}
	d.say("Measuring, direct and through Friday in turn, about %v …",
		(2 * time.Duration(len(d.callers)) * d.cell).Round(time.Second))
	for _, callers := range d.callers {
		pair, err := d.pair(ctx, server, side, callers, reference)
		if err != nil {
			return t, err
		}
		t.cells = append(t.cells, pair[:]...)
	}
	return t, t.verdict()
}

// reference asks about every digit once, directly and then through Friday, and
// returns the direct answers. The stand-in has none.
func (d *demo) reference(ctx context.Context, server *subject, side *sidecar.Sidecar) ([]int64, error) {
	if server.digits == nil {
		return nil, nil
	}
	d.say("Asking about all %d digits once, directly and through Friday, to compare every answer …", len(server.digits.Rows))
	var reference []int64
	for _, address := range []string{server.address, side.Listen} {
		exam := server.digits.NewExam(reference)
		r, err := load.Run(ctx, load.Options{
			Target: load.Target{Address: address}, Workload: exam,
			Concurrency: 8, Requests: uint64(len(server.digits.Rows)),
		})
		if err != nil {
			return nil, err
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if !r.Clean() {
			return nil, fmt.Errorf("http://%s: %s", address, r.Trouble())
		}
		if reference == nil {
			reference = exam.Answers()
		}
	}
	return reference, nil
}

// pair measures one number of callers over both ways.
func (d *demo) pair(ctx context.Context, server *subject, side *sidecar.Sidecar, callers int, reference []int64) (*[2]cell, error) {
	pair := &[2]cell{{callers: callers}, {callers: callers, friday: true}}
	o := load.Options{Concurrency: callers, Duration: d.cell / time.Duration(d.rounds)}
	ways := []load.Way{
		{Name: "direct", Target: load.Target{Address: server.address}, Workload: load.Embeddings{Items: 1}},
		{Name: "Friday", Target: load.Target{Address: side.Listen}, Workload: load.Embeddings{Items: 1}},
	}
	if server.digits != nil {
		// Every digit is asked about in every cell, so that accuracies compare.
		o.Requests = uint64((len(server.digits.Rows) + d.rounds - 1) / d.rounds) // #nosec G115 -- positive
		for i := range ways {
			pair[i].exam = server.digits.NewExam(reference)
			ways[i].Workload = pair[i].exam
		}
	}
	ways[1].Around = func(run func() error) error {
		before, err := side.Batches(ctx)
		if err != nil {
			return err
		}
		if err := run(); err != nil {
			return err
		}
		after, err := side.Batches(ctx)
		now := after.Sub(before)
		pair[1].batches.Items += now.Items
		pair[1].batches.Calls += now.Calls
		return err
	}
	totals, err := load.Paired(ctx, d.rounds, o, ways...)
	if err != nil {
		return nil, err
	}
	pair[0].result, pair[1].result = totals[0], totals[1]
	pair[1].baseline = totals[0]
	return pair, nil
}

// verdict is an error where an answer was wrong or missing or accuracies differ.
func (t *results) verdict() error {
	var errs []error
	for i, c := range t.cells {
		if !c.result.Clean() {
			errs = append(errs, fmt.Errorf("%d callers, %s: %s", c.callers, c.way(), c.result.Trouble()))
		}
		if c.friday && c.exam != nil {
			if direct := t.cells[i-1].exam; direct.Asked() != c.exam.Asked() || direct.Accuracy() != c.exam.Accuracy() {
				errs = append(errs, fmt.Errorf("%d callers: accuracy %s through Friday, %s without", c.callers,
					report.Percent(c.exam.Accuracy()), report.Percent(direct.Accuracy())))
			}
		}
	}
	return errors.Join(errs...)
}

func (c *cell) way() string {
	if c.friday {
		return "through Friday"
	}
	return "direct"
}

// WriteTo writes the table.
func (t *results) WriteTo(w io.Writer) (int64, error) {
	table := report.Table{
		Title: t.title,
		Head:  []string{"callers", "way", "requests/s", "p50 ms", "p99 ms", "mean batch", "accuracy", "gain"},
	}
	for _, c := range t.cells {
		batch, accuracy, gain := "–", "–", ""
		if c.friday && c.batches.Calls > 0 {
			batch = fmt.Sprintf("%.1f", c.batches.Mean())
		}
		if c.exam != nil {
			accuracy = report.Percent(c.exam.Accuracy())
		} else if c.result.Clean() {
			accuracy = "all right"
		}
		if c.friday {
			gain = report.Ratio(c.result.RPS(), c.baseline.RPS())
		}
		table.Row(strconv.Itoa(c.callers), c.way(), report.Rate(c.result.RPS()),
			report.Millis(c.result.Latency.Quantile(.5)), report.Millis(c.result.Latency.Quantile(.99)),
			batch, accuracy, gain)
		if c.friday {
			table.Rule()
		}
	}
	return table.WriteTo(w)
}

// sentence says what the table means.
func (t *results) sentence() string {
	one, many := t.cells[1], t.cells[len(t.cells)-1]
	s := fmt.Sprintf("With %d callers at once the same server answers %s as many requests through Friday",
		many.callers, report.Ratio(many.result.RPS(), many.baseline.RPS()))
	if many.batches.Mean() > 1.05 {
		s += fmt.Sprintf(", which sends it %.1f of them at a time on average", many.batches.Mean())
	}
	s += "; every answer was checked and none differed."
	if one.callers == 1 {
		s += fmt.Sprintf(" A single caller waits %s ms instead of %s ms.",
			report.Millis(one.result.Latency.Quantile(.5)), report.Millis(one.baseline.Latency.Quantile(.5)))
	}
	return s
}
