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
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/fridaymesh/friday/bench/process"
	"github.com/fridaymesh/friday/bench/sidecar"
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

func parse(args []string) (*options, error) {
	o := &options{stay: terminal(os.Stdin)}
	fs := flag.NewFlagSet("demo", flag.ContinueOnError)
	fs.StringVar(&o.upstream, "upstream", "", "`host:port` of your own model server, to put Friday in front of")
	fs.StringVar(&o.bin, "bin", "", "`folder` with friday and fridayd; default: this program's own, then ./bin")
	fs.BoolVar(&o.standIn, "stand-in", false, "use the stand-in rather than a real model server")
	callers := fs.String("concurrency", "1,4,16,64", "numbers of concurrent callers")
	fs.IntVar(&o.rounds, "rounds", 3, "rounds, direct and through Friday in turn")
	fs.DurationVar(&o.cell, "duration", 3*time.Second, "measured time for each line of the table")
	fs.BoolVar(&o.stay, "stay", o.stay, "stay up until Ctrl-C; default: at a terminal")
	if err := fs.Parse(args); err != nil {
		return nil, err
	}
	if fs.NArg() > 0 {
		return nil, fmt.Errorf("unexpected argument %q", fs.Arg(0))
	}
	for part := range strings.SplitSeq(*callers, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(part))
		if err != nil || n < 1 {
			return nil, fmt.Errorf("--concurrency: %q is no number above 0", part)
		}
		o.callers = append(o.callers, n)
	}
	if o.rounds < 1 || o.cell <= 0 {
		return nil, fmt.Errorf("--rounds %d, --duration %v: must be above 0", o.rounds, o.cell)
	}
	return o, nil
}

func run(args []string, out, errs io.Writer) int {
	o, err := parse(args)
	if err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return 0
		}
		_, _ = fmt.Fprintln(errs, "demo:", err)
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	err = show(ctx, o, out, errs)
	switch {
	case err == nil:
		return 0
	case ctx.Err() != nil:
		_, _ = fmt.Fprintln(errs, "demo: interrupted")
	default:
		_, _ = fmt.Fprintln(errs, "demo:", err)
	}
	return 1
}

// show runs the whole demonstration. Whatever it started has ended when it
// returns.
func show(ctx context.Context, o *options, out, errs io.Writer) (err error) {
	bin, err := sidecar.Binaries(o.bin)
	if err != nil {
		return err
	}
	scratch, err := os.MkdirTemp("", "friday-demo-")
	if err != nil {
		return fmt.Errorf("scratch folder: %w", err)
	}
	defer func() { _ = os.RemoveAll(scratch) }()
	group, err := process.NewGroup(filepath.Join(scratch, "logs"))
	if err != nil {
		return err
	}
	defer group.Close()
	defer func() {
		if err != nil && ctx.Err() == nil {
			_, _ = io.WriteString(errs, group.Tails(15))
		}
	}()
	d := &demo{options: o, bin: bin, scratch: scratch, group: group, out: out}
	if o.upstream != "" {
		return d.own(ctx)
	}
	return d.compare(ctx)
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
