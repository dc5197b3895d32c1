// Command soakbench keeps a Friday busy for a long time and asks what has grown: memory,
// goroutines, descriptors, the time that answers take.
//
//	go build -o bin/ ./cmd/... ./bench/cmd/...
//	bin/soakbench --minutes 30 --plot soak.svg
//
// The server is the stand-in, 10 ms and 0.5 ms an item, asked for 70 % of what it can do:
// requests of one text and of ten, some for texts that are asked for again and again and
// come out of the cache, some that must fail, some whose callers leave; and streams beside
// them. Every answer is checked.
//
// Exit codes: 0 nothing grows, 1 something does or an answer was wrong (printed), 2 used
// wrongly.
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
	bin     string
	minutes float64
	warm    float64
	every   time.Duration
	share   float64
	plot    string
	csv     string
}

func parse(fs *flag.FlagSet, args []string) (*options, error) {
	o := &options{}
	fs.StringVar(&o.bin, "bin", "", "`folder` with friday and standin; default: this program's own, then ./bin")
	fs.Float64Var(&o.minutes, "minutes", 30, "how many `minutes` count")
	fs.Float64Var(&o.warm, "warm", 15, "how many `minutes` come before, until the cache is full and the heap has its size")
	fs.DurationVar(&o.every, "every", 10*time.Second, "the `time` between two looks")
	fs.Float64Var(&o.share, "share", .7, "how much of what the server can do is asked for, a `share`")
	fs.StringVar(&o.plot, "plot", "", "`FILE` for a picture, SVG (default none)")
	fs.StringVar(&o.csv, "csv", "", "`FILE` for all that was seen (default none)")
	if err := program.Parse(fs, args); err != nil {
		return nil, err
	}
	if o.minutes <= 0 || o.warm < 0 || o.every < time.Second || o.share <= 0 || o.share > 1 {
		return nil, fmt.Errorf("--minutes %v, --warm %v, --every %v, --share %v: must be above 0, the third at least 1s, the last at most 1", o.minutes, o.warm, o.every, o.share)
	}
	return o, nil
}

func run(args []string, out, errs io.Writer) int {
	return program.Run("soakbench", args, errs, parse, func(ctx context.Context, o *options) error { return o.measure(ctx, out, errs) })
}

func (o *options) measure(ctx context.Context, out, errs io.Writer) error {
	stage := program.Stage{Name: "soakbench", Bin: o.bin, Out: out, Errs: errs}
	return stage.Play(ctx, func(s *program.Stage) error {
		b := &bench{options: o, bin: s.Bin, group: s.Group, out: out}
		return b.soak(ctx)
	})
}
