// Command demo is what "make run" runs: a real model server, Friday in front of
// it with its control plane, and a table of what that changes.
//
//	go build -o bin/ ./cmd/... ./bench/cmd/...
//	bin/demo                             # MLServer with a random forest
//	bin/demo --upstream 127.0.0.1:8000   # your own server
//
// At a terminal everything stays up until Ctrl-C. Exit codes: 0 done, 1 failed or
// an answer differed, 2 used wrongly.
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

// options are the command line's.
type options struct {
	upstream string
	bin      string
	standIn  bool
	callers  []int
	rounds   int
	cell     time.Duration
	stay     bool
}

func parse(fs *flag.FlagSet, args []string) (*options, error) {
	o := &options{stay: terminal(os.Stdin)}
	fs.StringVar(&o.upstream, "upstream", "", "`host:port` of your own model server, to put Friday in front of")
	fs.StringVar(&o.bin, "bin", "", "`folder` with friday and fridayd; default: this program's own, then ./bin")
	fs.BoolVar(&o.standIn, "stand-in", false, "use the stand-in rather than a real model server")
	callers := fs.String("concurrency", "1,4,16,64", "numbers of concurrent callers")
	fs.IntVar(&o.rounds, "rounds", 3, "rounds, direct and through Friday in turn")
	fs.DurationVar(&o.cell, "duration", 3*time.Second, "measured time for each line of the table")
	fs.BoolVar(&o.stay, "stay", o.stay, "stay up until Ctrl-C; default: at a terminal")
	if err := program.Parse(fs, args); err != nil {
		return nil, err
	}
	var err error
	if o.callers, err = program.Numbers("--concurrency", *callers); err != nil {
		return nil, err
	}
	if o.rounds < 1 || o.cell <= 0 {
		return nil, fmt.Errorf("--rounds %d, --duration %v: must be above 0", o.rounds, o.cell)
	}
	return o, nil
}

func run(args []string, out, errs io.Writer) int {
	return program.Run("demo", args, errs, parse, func(ctx context.Context, o *options) error { return show(ctx, o, out, errs) })
}

// show runs the whole demonstration. Whatever it started has ended when it
// returns.
func show(ctx context.Context, o *options, out, errs io.Writer) error {
	stage := program.Stage{Name: "demo", Bin: o.bin, Errs: errs}
	return stage.Play(ctx, func(s *program.Stage) error {
		d := &demo{options: o, bin: s.Bin, scratch: s.Dir, group: s.Group, out: out}
		if o.upstream != "" {
			return d.own(ctx)
		}
		return d.compare(ctx)
	})
}

// terminal says whether a person is at the other end of f.
func terminal(f *os.File) bool {
	st, err := f.Stat()
	if err != nil || st.Mode()&os.ModeCharDevice == 0 {
		return false
	}
	null, err := os.Stat(os.DevNull)
	return err == nil && !os.SameFile(st, null)
}
