// Command simulate is a part of "make bench": the batcher's scheduler in virtual time,
// before servers of known cost, beside what is possible and beside the batchers that are
// usual. Its figures are the same on every machine.
//
//	bin/simulate                   # all scenarios
//	bin/simulate -only poisson     # those whose name has it
//
// Exit codes: 0 done, 2 used wrongly.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/fridaymesh/friday/bench/report"
	"github.com/fridaymesh/friday/bench/simulate"
	"github.com/fridaymesh/friday/filters/batch/schedule"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

func run(args []string, out, errs io.Writer) int {
	fs := flag.NewFlagSet("simulate", flag.ContinueOnError)
	fs.SetOutput(errs)
	only := fs.String("only", "", "only scenarios whose `name` holds this")
	seed := fs.Uint64("seed", 1, "of the arrivals; the same seed gives the same figures")
	if err := fs.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return 0
		}
		return 2
	}
	if fs.NArg() > 0 {
		_, _ = fmt.Fprintf(errs, "simulate: unexpected argument %q\n", fs.Arg(0))
		return 2
	}
	table := &report.Table{
		Title: "The scheduler in virtual time; others: sending when the server is free, fixed windows, nothing",
		Head: []string{
			"scenario", "answers/s", "of optimum", "mean ms", "p99 ms", "mean batch",
			"best of others", "its answers/s", "its mean ms", "its p99 ms", "direct mean ms",
		},
	}
	for _, s := range simulate.All() {
		if !strings.Contains(strings.ToLower(s.Name), strings.ToLower(*only)) {
			continue
		}
		s.Seed = *seed
		table.Row(row(s)...)
	}
	_, _ = fmt.Fprint(out, table)
	return 0
}

// row plays s with the scheduler and with the others.
func row(s simulate.Scenario) []string {
	ours := simulate.Run(s, schedule.NewPool())
	others := simulate.Others(s)
	names := make([]string, 0, len(others))
	for name := range others {
		names = append(names, name)
	}
	slices.Sort(names)
	best, bestName, direct := simulate.Outcome{}, "", simulate.Outcome{}
	for _, name := range names {
		o := simulate.Run(s, others[name]())
		if name == "direct" {
			direct = o
		}
		if bestName == "" || better(o, best) {
			best, bestName = o, name
		}
	}
	return []string{
		s.Name, fmt.Sprintf("%.0f", ours.Rate), fmt.Sprintf("%.1f%%", 100*ours.Rate/s.Optimum()),
		milliseconds(ours.Mean), milliseconds(ours.P99), fmt.Sprintf("%.1f", ours.Size),
		bestName, fmt.Sprintf("%.0f", best.Rate), milliseconds(best.Mean), milliseconds(best.P99), milliseconds(direct.Mean),
	}
}

// better compares by answers and, where these are about equal, by the mean time.
func better(a, b simulate.Outcome) bool {
	switch {
	case a.Rate > 1.02*b.Rate:
		return true
	case b.Rate > 1.02*a.Rate:
		return false
	}
	return a.Mean < b.Mean
}

func milliseconds(d time.Duration) string {
	if d == 0 {
		return "–" // none was answered that was asked in time
	}
	return fmt.Sprintf("%.1f", d.Seconds()*1000)
}
