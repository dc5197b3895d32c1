// Command peers is "make bench-peers": Friday beside the proxies that people know, in one
// run, round by round in turn.
//
//	go build -o bin/ ./cmd/... ./bench/cmd/...
//	bin/peers                          # all of them, about eight minutes
//	bin/peers --only friday,envoy --tables whole --concurrency 32
//
// All pass the same requests to the same stand-in on this machine. Friday has the
// filters in its chain that "friday proxy --upstream" puts there; the others have none.
// Exit codes: 0 done, 1 failed or an answer was wrong, 2 used wrongly. A peer that is not
// there is said and left out.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/fridaymesh/friday/bench/cmd/internal/program"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// options are the command line's.
type options struct {
	bin     string
	only    []string
	tables  []string
	callers []int
	rate    float64
	streams []int
	paced   int
	tokens  int
	rounds  int
	cell    time.Duration
	// sidecarArgs go to friday.
	sidecarArgs []string
}

// tables are what can be asked for.
var tables = []string{"whole", "rate", "streams", "paced"} //nolint:gochecknoglobals // constant

func parse(fs *flag.FlagSet, args []string) (*options, error) {
	o := &options{}
	fs.StringVar(&o.bin, "bin", "", "`folder` with friday and standin; default: this program's own, then ./bin")
	only := fs.String("only", "", "`ways`, separated by commas: direct, friday, envoy, nginx, haproxy; default: all")
	which := fs.String("tables", strings.Join(tables, ","), "`tables` to make: whole answers, whole answers at a fixed rate, streams without pause, streams of paced tokens")
	callers := fs.String("concurrency", "1,32,256", "`numbers` of concurrent callers for whole answers")
	fs.Float64Var(&o.rate, "rate", 5000, "`requests` a second at random moments")
	streams := fs.String("streams", "32", "`numbers` of concurrent streams without pause")
	fs.IntVar(&o.paced, "paced", 200, "`number` of concurrent streams whose tokens are 5 ms apart")
	fs.IntVar(&o.tokens, "tokens", 50, "tokens of a stream")
	fs.IntVar(&o.rounds, "rounds", 5, "rounds; each line of a table is the median of as many")
	fs.DurationVar(&o.cell, "duration", 3*time.Second, "time for each way in each round")
	extra := fs.String("friday-args", "", "`flags` for friday proxy, separated by spaces")
	if err := program.Parse(fs, args); err != nil {
		return nil, err
	}
	if o.rounds < 1 || o.cell <= 0 || o.rate <= 0 || o.paced < 1 || o.tokens < 1 {
		return nil, errors.New("--rounds, --duration, --rate, --paced and --tokens must be above 0")
	}
	o.sidecarArgs = strings.Fields(*extra)
	o.tables = strings.Split(*which, ",")
	for _, t := range o.tables {
		if !slices.Contains(tables, t) {
			return nil, fmt.Errorf("--tables: %q is none of %s", t, strings.Join(tables, ", "))
		}
	}
	if *only != "" {
		o.only = strings.Split(*only, ",")
	}
	var err error
	if o.callers, err = program.Numbers("--concurrency", *callers); err != nil {
		return nil, err
	}
	o.streams, err = program.Numbers("--streams", *streams)
	return o, err
}

func run(args []string, out, errs io.Writer) int {
	return program.Run("peers", args, errs, parse, func(ctx context.Context, o *options) error { return measure(ctx, o, out, errs) })
}

// measure prints all tables. Whatever it started has ended when it returns.
func measure(ctx context.Context, o *options, out, errs io.Writer) error {
	stage := program.Stage{Name: "peers", Bin: o.bin, Out: out, Errs: errs}
	return stage.Play(ctx, func(s *program.Stage) error {
		b := &bench{options: o, bin: s.Bin, group: s.Group, out: out}
		b.say("Medians of %d rounds of %v, the ways in turn.", o.rounds, o.cell)
		if err := b.start(ctx); err != nil {
			return err
		}
		return b.tables(ctx)
	})
}
