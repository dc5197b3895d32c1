package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/fridaymesh/friday/cmd/internal/cli"
	"github.com/fridaymesh/friday/xds/control"
	"github.com/fridaymesh/friday/xds/control/history"
)

// shiftFlags are the command line's.
type shiftFlags struct {
	door

	to        string
	over      time.Duration
	steps     int
	maxErrors string
	maxP99    time.Duration
	unwatched bool
	abort     bool
	detach    bool
}

func shiftCommand(out io.Writer) cli.Command {
	f := &shiftFlags{}
	return cli.Command{
		Name: "shift",
		Short: "Moves a route's requests from one of a policy's servers to another, step by step, and back at once where " +
			"the sidecars' metrics show errors or a long p99. Shows how it goes until its end; Ctrl-C ends only that. Without a route: the shifts that there are.",
		Usage: "[ROUTE]",
		Flags: f.declare,
		Run: func(ctx context.Context, args []string) error {
			if err := f.check(); err != nil {
				return err
			}
			return f.run(ctx, out, args)
		},
	}
}

func (f *shiftFlags) declare(fs *flag.FlagSet) {
	f.door.declare(fs)
	f.declareOutput(fs)
	fs.StringVar(&f.to, "to", "", "`SERVER=PERCENT[,…]` at the end; servers that are not named share the rest as they do now")
	fs.DurationVar(&f.over, "over", control.DefaultShiftOver, "how long it takes; 0: at once, and unwatched")
	fs.IntVar(&f.steps, "steps", control.DefaultShiftSteps, "in how many steps")
	fs.StringVar(&f.maxErrors, "max-errors", "1%", "`SHARE` of requests that may fail (5xx) in a step: above it, and above twice that of the servers it leaves, the shift is aborted")
	fs.DurationVar(&f.maxP99, "max-p99", 0, "longest p99 in a step (default: three times that of the servers it leaves, and 250 ms more at least)")
	fs.BoolVar(&f.unwatched, "unwatched", false, "begin, and go on, also where the sidecars' metrics cannot be read")
	fs.BoolVar(&f.abort, "abort", false, "give the route its old weights back; without ROUTE, of the one shift that is running")
	fs.BoolVar(&f.detach, "detach", false, "do not wait for its end")
}

func (f *shiftFlags) run(ctx context.Context, out io.Writer, args []string) error {
	switch {
	case len(args) > 1:
		return cli.Usagef("one route at a time")
	case f.abort && f.to != "":
		return cli.Usagef("--abort and --to exclude each other")
	case f.abort:
		query := url.Values{}
		if len(args) > 0 {
			query.Set("route", args[0])
		}
		var s control.Shift
		if err := f.order(ctx, "/shift/abort", query, nil, &s); err != nil {
			return err
		}
		_, err := fmt.Fprintf(out, "Aborted: %s has its old weights, %s.\n", s.Route, history.Shares(s.Weights))
		return err
	case len(args) == 0 && f.to != "":
		return cli.Usagef("a route is needed: a policy's name, or NAME/PREFIX of one of its routes")
	case len(args) == 0:
		return f.list(ctx, out)
	case f.to == "":
		return cli.Usagef("--to is missing: SERVER=PERCENT")
	}
	return f.begin(ctx, out, args[0])
}

func (f *shiftFlags) begin(ctx context.Context, out io.Writer, route string) error {
	to, err := parseShares(f.to)
	if err != nil {
		return cli.Usagef("--to: %v", err)
	}
	errors, err := parseShare(f.maxErrors)
	if err != nil {
		return cli.Usagef("--max-errors: %v", err)
	}
	if f.over < 0 || f.maxP99 < 0 || f.steps < 1 {
		return cli.Usagef("--over %v, --steps %d, --max-p99 %v: must be positive", f.over, f.steps, f.maxP99)
	}
	var s control.Shift
	err = f.order(ctx, "/shift", nil, control.ShiftRequest{
		Route: route, To: to, Over: f.over.Seconds(), Steps: f.steps, MaxErrors: errors, MaxP99: f.maxP99.Seconds(), Unwatched: f.unwatched,
	}, &s)
	if err != nil {
		return err
	}
	if f.detach {
		return f.printShifts(out, []control.Shift{s})
	}
	return f.follow(ctx, out, s)
}

const (
	// followEvery is how often the shift is asked after, followPatience how long
	// fridayd may be away meanwhile, as while it is started anew.
	followEvery    = 500 * time.Millisecond
	followPatience = 30 * time.Second
)

// follow tells of each step until the shift has ended.
func (f *shiftFlags) follow(ctx context.Context, out io.Writer, s control.Shift) error {
	step, heard := -1, time.Now()
	for {
		if s.Step != step && s.State == control.ShiftRunning {
			step = s.Step
			if _, err := fmt.Fprintf(out, "%s  step %d of %d: %s\n", time.Now().Format(time.TimeOnly), s.Step, s.Steps, history.Shares(s.Weights)); err != nil {
				return err
			}
		}
		switch s.State {
		case control.ShiftDone:
			_, err := fmt.Fprintf(out, "Done: %s has %s. It stays so until the folder's own weights of it change: write them there now.\n", s.Route, history.Shares(s.Weights))
			return err
		case control.ShiftAborted:
			return fmt.Errorf("aborted at step %d of %d: %s; %s has its old weights, %s", s.Step, s.Steps, s.Reason, s.Route, history.Shares(s.Weights))
		}
		timer := time.NewTimer(followEvery)
		select {
		case <-ctx.Done():
			timer.Stop()
			_, err := fmt.Fprintf(out, "The shift of %s goes on. fridayctl shift shows it, fridayctl shift --abort %s ends it.\n", s.Route, s.Route)
			return err
		case <-timer.C:
		}
		var list []control.Shift
		if err := f.ask(ctx, "/shifts", nil, &list); err != nil {
			if ctx.Err() == nil && time.Since(heard) > followPatience {
				return fmt.Errorf("the shift of %s may go on: %w", s.Route, err)
			}
			continue
		}
		heard = time.Now()
		found := false
		for _, now := range list {
			if now.Route == s.Route && now.Began.Equal(s.Began) {
				s, found = now, true
			}
		}
		if !found {
			return fmt.Errorf("the shift of %s was ended by a rollback, or by new weights in the folder", s.Route)
		}
	}
}

func (f *shiftFlags) list(ctx context.Context, out io.Writer) error {
	var list []control.Shift
	if err := f.ask(ctx, "/shifts", nil, &list); err != nil {
		return err
	}
	return f.printShifts(out, list)
}

func (f *shiftFlags) printShifts(out io.Writer, list []control.Shift) error {
	if f.output == outputJSON {
		return printJSON(out, list)
	}
	lines := [][]string{{"ROUTE", "STATE", "STEP", "WEIGHTS", "SEEN"}}
	for _, s := range list {
		seen := s.Seen
		if s.Reason != "" {
			seen = s.Reason
		}
		lines = append(lines, []string{s.Route, s.State, fmt.Sprintf("%d of %d", s.Step, s.Steps), history.Shares(s.Weights), seen})
	}
	return columns(out, lines)
}

// parseShares reads green=90,blue=10.
func parseShares(text string) (map[string]uint32, error) {
	out := map[string]uint32{}
	for part := range strings.SplitSeq(text, ",") {
		name, value, ok := strings.Cut(strings.TrimSpace(part), "=")
		if !ok || name == "" {
			return nil, fmt.Errorf("%q is not SERVER=PERCENT", part)
		}
		n, err := strconv.ParseUint(strings.TrimSuffix(value, "%"), 10, 32)
		if err != nil || n > 100 {
			return nil, fmt.Errorf("%q: the percentage must be a whole number from 0 to 100", part)
		}
		if _, twice := out[name]; twice {
			return nil, fmt.Errorf("%q is named twice", name)
		}
		out[name] = uint32(n)
	}
	return out, nil
}

// parseShare reads 2% or 0.02.
func parseShare(text string) (float64, error) {
	number, percent := strings.CutSuffix(text, "%")
	v, err := strconv.ParseFloat(number, 64)
	if percent {
		v /= 100
	}
	if err != nil || !(v >= 0 && v <= 1) {
		return 0, fmt.Errorf("%q: must be 0%% to 100%%", text)
	}
	return v, nil
}
