// Command cachebench asks what the cache costs and what it is worth, beside the same
// Friday without it: processor time and latency of hits, the hit rate for texts that are
// asked for as in life, and what callers notice of a shared store that is killed.
//
//	go build -o bin/ ./cmd/... ./bench/cmd/...
//	bin/cachebench                 # some eight minutes
//	bin/cachebench --tables hits   # five minutes
//
// The ways take turns, so that processor times can be compared on a machine that has other
// things to do; latencies cannot. Exit codes: 0 done, 1 failed, or an answer was wrong or
// missing, or a hit took more than 1.3 times the processor time of what passes, 2 used
// wrongly. The shared store is Redis or Valkey, the machine's own or one from the Python
// package index; where there is none its table is left out.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/fridaymesh/friday/bench/cmd/internal/program"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

type options struct {
	bin     string
	tables  []string
	cell    time.Duration
	rounds  int
	callers int
	dims    int
	rate    float64
	hitRate float64
}

// all are the tables.
const all = "hits,life,store"

func parse(fs *flag.FlagSet, args []string) (*options, error) {
	o := &options{}
	fs.StringVar(&o.bin, "bin", "", "`folder` with friday and standin; default: this program's own, then ./bin")
	tables := fs.String("tables", all, "`which`: hits, life, store")
	fs.DurationVar(&o.cell, "cell", 5*time.Second, "how `long` one way is measured in one round")
	fs.IntVar(&o.rounds, "rounds", 5, "`how` often the ways take turns")
	fs.IntVar(&o.callers, "callers", 64, "`callers` at once")
	fs.IntVar(&o.dims, "dims", 16, "`numbers` in an embedding")
	fs.Float64Var(&o.rate, "rate", 1000, "requests a `second`, for the shared store")
	fs.Float64Var(&o.hitRate, "hit-rate", 3000, "requests a `second`, for the paced rows of hits")
	if err := program.Parse(fs, args); err != nil {
		return nil, err
	}
	if o.rounds < 1 || o.callers < 1 || o.dims < 1 || o.cell <= 0 || o.rate <= 0 || o.hitRate <= 0 {
		return nil, fmt.Errorf("--rounds %d, --callers %d, --dims %d, --cell %v, --rate %v, --hit-rate %v: must be above 0",
			o.rounds, o.callers, o.dims, o.cell, o.rate, o.hitRate)
	}
	for name := range strings.SplitSeq(*tables, ",") {
		if !strings.Contains(","+all+",", ","+name+",") {
			return nil, fmt.Errorf("--tables: %q is none of %s", name, all)
		}
		o.tables = append(o.tables, name)
	}
	return o, nil
}

func run(args []string, out, errs io.Writer) int {
	return program.Run("cachebench", args, errs, parse, func(ctx context.Context, o *options) error { return o.measure(ctx, out, errs) })
}

func (o *options) measure(ctx context.Context, out, errs io.Writer) error {
	stage := program.Stage{Name: "cachebench", Bin: o.bin, Out: out, Errs: errs}
	return stage.Play(ctx, func(s *program.Stage) (err error) {
		b := &bench{options: o, bin: s.Bin, group: s.Group, out: out}
		for _, name := range o.tables {
			var trouble error
			switch name {
			case "hits":
				trouble = b.hits(ctx)
			case "life":
				trouble = b.life(ctx)
			case "store":
				trouble = b.store(ctx)
			}
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if trouble != nil {
				err = errors.Join(err, fmt.Errorf("%s: %w", name, trouble))
			}
		}
		return err
	})
}
