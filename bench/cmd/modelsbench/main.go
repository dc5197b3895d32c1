// Command modelsbench asks what waiting for a model costs beside what the server itself
// takes to load it, and what callers notice of a switch from one version to the next.
//
//	go build -o bin/ ./cmd/... ./bench/cmd/...
//	bin/modelsbench   # some two minutes
//
// The server is a model repository of Open Inference without models, whose loading takes
// --load, whose first call after loading takes --cold more, as a first call in life does,
// and whose every call takes --call. Latencies: not on a machine that has other things to
// do. Exit codes: 0 done, 1 failed, or an answer was wrong or missing, 2 used wrongly.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/fridaymesh/friday/bench/cmd/internal/program"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

type options struct {
	bin              string
	load, cold, call time.Duration
	rounds, callers  int
}

func parse(fs *flag.FlagSet, args []string) (*options, error) {
	o := &options{}
	fs.StringVar(&o.bin, "bin", "", "`folder` with friday and fridayd; default: this program's own, then ./bin")
	fs.DurationVar(&o.load, "load", 3*time.Second, "how `long` the server takes to load a model")
	fs.DurationVar(&o.cold, "cold", 300*time.Millisecond, "how much `longer` a version's first call takes, in the table of switches")
	fs.DurationVar(&o.call, "call", 10*time.Millisecond, "how `long` a call takes")
	fs.IntVar(&o.rounds, "rounds", 10, "`how` often each is measured")
	fs.IntVar(&o.callers, "callers", 100, "`callers` at once, where there are many")
	if err := program.Parse(fs, args); err != nil {
		return nil, err
	}
	if o.rounds < 1 || o.callers < 1 || o.load < 0 || o.cold < 0 || o.call <= 0 {
		return nil, fmt.Errorf("--rounds %d, --callers %d, --call %v: must be above 0; --load %v, --cold %v: must not be negative", o.rounds, o.callers, o.call, o.load, o.cold)
	}
	return o, nil
}

func run(args []string, out, errs io.Writer) int {
	return program.Run("modelsbench", args, errs, parse, func(ctx context.Context, o *options) error { return o.measure(ctx, out, errs) })
}

func (o *options) measure(ctx context.Context, out, errs io.Writer) error {
	stage := program.Stage{Name: "modelsbench", Bin: o.bin, Out: out, Errs: errs}
	return stage.Play(ctx, func(s *program.Stage) error {
		b := &bench{options: o, bin: s.Bin, dir: s.Dir, group: s.Group, out: out}
		if err := b.begin(ctx); err != nil {
			return err
		}
		defer b.end()
		return errors.Join(b.first(ctx), b.switches(ctx))
	})
}
