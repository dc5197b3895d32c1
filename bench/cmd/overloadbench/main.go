// Command overloadbench asks what callers notice of a server that is asked for more than it
// can do, with admission before it: how much it still does, how long those wait who are let
// in, what a small tenant notices of a large one, and whether Friday's memory grows.
//
//	go build -o bin/ ./cmd/... ./bench/cmd/...
//	bin/overloadbench                # a minute and a half
//	bin/overloadbench --cell 10s     # half a minute
//
// The server is the stand-in: 10 ms and 0.5 ms an item, one call at a time. It wants a
// machine that has nothing else to do. Exit codes: 0 done, 1 failed, or a bound was not
// kept (printed with the tables), 2 used wrongly.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/fridaymesh/friday/bench/cmd/internal/program"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

type options struct {
	bin       string
	cell      time.Duration
	objective time.Duration
	times     float64
	callers   int
}

func parse(fs *flag.FlagSet, args []string) (*options, error) {
	o := &options{}
	fs.StringVar(&o.bin, "bin", "", "`folder` with friday and standin; default: this program's own, then ./bin")
	fs.DurationVar(&o.cell, "cell", 30*time.Second, "how `long` each load lasts, after as long a warm-up as it takes to learn")
	fs.DurationVar(&o.objective, "objective", 250*time.Millisecond, "admission's latency_objective, a `time`")
	fs.Float64Var(&o.times, "times", 4, "how many `times` what the server can do is asked for")
	fs.IntVar(&o.callers, "callers", 2048, "the most `connections` of a tenant")
	if err := program.Parse(fs, args); err != nil {
		return nil, err
	}
	if o.cell < time.Second || o.objective <= 0 || o.times <= 0 || o.callers < 1 {
		return nil, fmt.Errorf("--cell %v, --objective %v, --times %v, --callers %d: must be above 0, the first at least 1s", o.cell, o.objective, o.times, o.callers)
	}
	return o, nil
}

func run(args []string, out, errs io.Writer) int {
	return program.Run("overloadbench", args, errs, parse, func(ctx context.Context, o *options) error { return o.measure(ctx, out, errs) })
}

func (o *options) measure(ctx context.Context, out, errs io.Writer) error {
	stage := program.Stage{Name: "overloadbench", Bin: o.bin, Out: out, Errs: errs}
	return stage.Play(ctx, func(s *program.Stage) error {
		b := &bench{options: o, bin: s.Bin, group: s.Group, out: out}
		return b.overload(ctx)
	})
}
