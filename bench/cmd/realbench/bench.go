package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/fridaymesh/friday/bench/cmd/internal/program"
	"github.com/fridaymesh/friday/bench/exposition"
	"github.com/fridaymesh/friday/bench/load"
	"github.com/fridaymesh/friday/bench/process"
	"github.com/fridaymesh/friday/bench/questions"
	"github.com/fridaymesh/friday/bench/report"
	"github.com/fridaymesh/friday/bench/sidecar"
)

// bench is one run.
type bench struct {
	*options
	bin, scratch string
	group        *process.Group
	out          io.Writer
	subject      *subject
}

func (b *bench) say(format string, args ...any) {
	_, _ = fmt.Fprintf(b.out, format+"\n", args...)
}

// way is one of those to the server.
type way struct {
	name   string
	target load.Target
	friday *sidecar.Sidecar // nil: direct
	asker  *questions.Asker
}

// cell is what one way did under one load.
type cell struct {
	*load.Result
	sent     exposition.Batches // by Friday
	executed exposition.Batches // by the server
	cpu      time.Duration      // of Friday
}

func (b *bench) run(ctx context.Context) error {
	var err error
	if b.subject, err = choices()[b.server].start(ctx, b); err != nil {
		return err
	}
	ways, err := b.open(ctx)
	if err != nil {
		return err
	}
	if err := b.compare(ctx, ways); err != nil {
		return err
	}
	return b.table(ctx, ways)
}

// open starts Friday as often as it is needed.
func (b *bench) open(ctx context.Context) ([]*way, error) {
	var ways []*way
	for _, name := range b.ways {
		w := &way{name: name, target: load.Target{Address: b.subject.address}, asker: b.subject.list.Asker()}
		if name != wayDirect {
			addresses, err := process.FreeAddresses(0, 0)
			if err != nil {
				return nil, err
			}
			start := sidecar.Proxy
			if name == wayDisabled {
				start = sidecar.Unbatched
			}
			if w.friday, err = start(ctx, b.group, b.bin, "friday "+name, b.subject.address, addresses[0], addresses[1]); err != nil {
				return nil, err
			}
			w.target.Address = w.friday.Listen
		}
		if b.form == questions.FormGRPC {
			w.target.Dial = dialGRPC
		}
		ways = append(ways, w)
	}
	return ways, nil
}

// compare learns the server's own answers and asks each question once over every
// way, eight at a time, before anything is measured.
func (b *bench) compare(ctx context.Context, ways []*way) error {
	own := load.Target{Address: b.subject.address}
	if b.form == questions.FormGRPC {
		own.Dial = dialGRPC
	}
	if err := b.subject.list.Learn(ctx, own); err != nil {
		return err
	}
	asked := len(b.subject.list.Bodies)
	var errs []error
	for _, w := range ways {
		r, err := load.Run(ctx, load.Options{Target: w.target, Workload: w.asker, Concurrency: 8, Requests: uint64(asked)})
		switch {
		case err != nil:
			return err
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case r.Requests == 0:
			// Nothing passes here, so there is nothing to measure.
			errs = append(errs, fmt.Errorf("%s: %s", w.name, r.Trouble()))
		case !r.Clean():
			b.say("Of %d questions, eight at a time, %s: %s", asked, w.name, r.Trouble())
		}
	}
	if len(errs) > 0 {
		return errors.Join(errs...)
	}
	b.say("%d questions were asked the server itself, one at a time, and then over each way, eight at a time.", asked)
	return nil
}

// measure runs one load over all ways in turn.
func (b *bench) measure(ctx context.Context, ways []*way, o load.Options) ([]*cell, error) {
	cells := make([]*cell, len(ways))
	turns := make([]load.Way, len(ways))
	for i, w := range ways {
		c := &cell{}
		cells[i] = c
		turns[i] = load.Way{
			Name: w.name, Target: w.target, Workload: w.asker,
			Around: func(run func() error) error { return b.around(ctx, w, c, run) },
		}
	}
	o.Duration = b.cell / time.Duration(b.rounds)
	results, err := load.Paired(ctx, b.rounds, o, turns...)
	for i, r := range results {
		cells[i].Result = r
	}
	return cells, err
}

// around counts what Friday and the server do while run runs.
func (b *bench) around(ctx context.Context, w *way, c *cell, run func() error) error {
	count := func() (sent, executed exposition.Batches, cpu time.Duration, err error) {
		var errFriday, errServer error
		if w.friday != nil {
			sent, errFriday = w.friday.Batches(ctx)
			cpu = w.friday.CPU()
		}
		if b.subject.executed != nil {
			executed, errServer = b.subject.executed(ctx)
		}
		return sent, executed, cpu, errors.Join(errFriday, errServer)
	}
	sent, executed, cpu, err := count()
	if err != nil {
		return err
	}
	if err := run(); err != nil {
		return err
	}
	sentAfter, executedAfter, cpuAfter, err := count()
	c.sent = c.sent.Add(sentAfter.Sub(sent))
	c.executed = c.executed.Add(executedAfter.Sub(executed))
	c.cpu += cpuAfter - cpu
	return err
}

// table measures every load and prints what came of it.
func (b *bench) table(ctx context.Context, ways []*way) error {
	t := &report.Table{
		Title: "\n" + b.subject.title,
		Head: []string{
			"load", "way", "requests/s", "p50 ms", "p99 ms", "Friday's batch", "server's batch",
			"wrong", "failed", "to direct", "to disabled", "Friday's CPU µs/request",
		},
	}
	b.say("Measuring %s in turn, about %v …", strings.Join(b.ways, ", "),
		(time.Duration((len(b.callers)+len(b.rates))*len(ways)) * b.cell).Round(time.Second))
	var trouble []error
	line := func(load string, o load.Options) error {
		cells, err := b.measure(ctx, ways, o)
		if err != nil {
			return err
		}
		for i, c := range cells {
			t.Row(b.row(load, ways, cells, i)...)
			if !c.Clean() {
				trouble = append(trouble, fmt.Errorf("%s, %s: answers: %s", load, ways[i].name, c.Trouble()))
			}
		}
		t.Rule()
		return nil
	}
	var err error
	for _, n := range b.callers {
		if err == nil {
			err = line(fmt.Sprintf("%d callers", n), load.Options{Concurrency: n})
		}
	}
	for _, rate := range b.rates {
		if err == nil {
			err = line(fmt.Sprintf("Poisson %g/s", rate), load.Options{Concurrency: most, Rate: rate})
		}
	}
	// As far as it got.
	if _, writeErr := t.WriteTo(b.out); err == nil {
		err = writeErr
	}
	for _, w := range ways {
		b.remark(w)
	}
	return errors.Join(program.Figures(trouble...), err)
}

// remark says how far the answers over a way were from the server's own.
func (b *bench) remark(w *way) {
	b.say("%s: numbers differed by %.1e at most from the server's own, where %.0e is allowed.",
		w.name, w.asker.Largest(), cmp.Or(b.subject.list.Tolerance, questions.Tolerance))
	if n := w.asker.Estimates(); n > 0 {
		b.say("%s: %s answers were equal but for %s, which a batch's callers are told by estimate.",
			w.name, report.Count(n), strings.Join(b.subject.list.Estimated, ", "))
	}
}

// row is the line of way i.
func (b *bench) row(load string, ways []*way, cells []*cell, i int) []string {
	c := cells[i]
	row := []string{
		load, ways[i].name, report.Rate(c.RPS()),
		report.Millis(c.Latency.Quantile(.5)), report.Millis(c.Latency.Quantile(.99)),
		mean(c.sent), mean(c.executed), report.Count(c.Wrong), report.Count(c.Failures()),
	}
	for _, other := range []string{wayDirect, wayDisabled} {
		ratio := ""
		for k, w := range ways {
			if w.name == other && k != i && ways[i].name != wayDirect {
				ratio = report.Ratio(c.RPS(), cells[k].RPS())
			}
		}
		row = append(row, ratio)
	}
	cpu := "–"
	if n := c.Latency.Count(); c.cpu > 0 && n > 0 {
		cpu = fmt.Sprintf("%.0f", float64(c.cpu.Microseconds())/float64(n))
	}
	return append(row, cpu)
}

func mean(b exposition.Batches) string {
	if b.Calls == 0 {
		return "–"
	}
	return fmt.Sprintf("%.1f", b.Mean())
}
