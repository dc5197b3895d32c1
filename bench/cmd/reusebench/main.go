// Command reusebench asks whether a caller ever notices that the model server closes
// idle connections whenever it likes: after 0.5 to 5 s, at random. Half of a million
// requests come steadily, with slow callers among them, half in bursts with pauses.
//
//	go build -o bin/ ./cmd/... ./bench/cmd/...
//	bin/reusebench
//
// Exit codes: 0 done, 1 failed, or an error reached a caller or less than 99 of 100
// requests found a connection, 2 used wrongly.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/fridaymesh/friday/bench/closing"
	"github.com/fridaymesh/friday/bench/exposition"
	"github.com/fridaymesh/friday/bench/process"
	"github.com/fridaymesh/friday/bench/report"
	"github.com/fridaymesh/friday/bench/sidecar"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

type options struct {
	bin         string
	requests    int64
	callers     int
	least, most time.Duration
}

func parse(args []string, errs io.Writer) (*options, error) {
	o := new(options)
	fs := flag.NewFlagSet("reusebench", flag.ContinueOnError)
	fs.SetOutput(errs)
	fs.StringVar(&o.bin, "bin", "", "`folder` with friday; default: this program's own, then ./bin")
	fs.Int64Var(&o.requests, "requests", 1_000_000, "in all")
	fs.IntVar(&o.callers, "callers", 32, "at once")
	fs.DurationVar(&o.least, "least", 500*time.Millisecond, "shortest idle time after which the server closes")
	fs.DurationVar(&o.most, "most", 5*time.Second, "longest")
	if err := fs.Parse(args); err != nil {
		return nil, err
	}
	switch {
	case fs.NArg() > 0:
		return nil, fmt.Errorf("unexpected argument %q", fs.Arg(0))
	case o.requests < 1 || o.callers < 1:
		return nil, fmt.Errorf("--requests %d, --callers %d: must be above 0", o.requests, o.callers)
	case o.least <= 0 || o.most < o.least:
		return nil, fmt.Errorf("--least %v, --most %v: must be above 0, and the second no less than the first", o.least, o.most)
	}
	return o, nil
}

func run(args []string, out, errs io.Writer) int {
	o, err := parse(args, errs)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		_, _ = fmt.Fprintf(errs, "reusebench: %v\n", err)
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	good, err := o.bench(ctx, out)
	if err != nil {
		_, _ = fmt.Fprintf(errs, "reusebench: %v\n", err)
	}
	if err != nil || !good {
		return 1
	}
	return 0
}

func (o *options) bench(ctx context.Context, out io.Writer) (good bool, err error) {
	bin, err := sidecar.Binaries(o.bin)
	if err != nil {
		return false, err
	}
	dir, err := os.MkdirTemp("", "reusebench-")
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	group, err := process.NewGroup(dir)
	if err != nil {
		return false, err
	}
	defer group.Close()
	server := &closing.Server{Least: o.least, Most: o.most}
	if err := server.Listen(ctx, "127.0.0.1:0"); err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, server.Close()) }()
	friday, err := sidecar.Proxy(ctx, group, bin, "friday", server.Address(), "127.0.0.1:19480", "127.0.0.1:19481")
	if err != nil {
		return false, err
	}
	good = true
	table := &report.Table{
		Title: fmt.Sprintf("A server that closes idle connections after %v to %v, %d callers", o.least, o.most, o.callers),
		Head:  []string{"load", "requests", "errors", "reused", "connections", "closed idle by the server", "time"},
	}
	for _, load := range []struct {
		name    string
		callers *closing.Callers
	}{
		{"steady", &closing.Callers{Slow: 8, Pause: 1500 * time.Millisecond}},
		{"bursts", &closing.Callers{Burst: 150, Pause: 2 * time.Second}},
	} {
		c := load.callers
		c.Address, c.Number = friday.Listen, o.callers
		before, err := reuse(ctx, friday)
		if err != nil {
			return false, err
		}
		accepted, closed, begin := server.Accepted.Load(), server.Closed.Load(), time.Now()
		if err := c.Run(ctx, o.requests/2); err != nil {
			return false, err
		}
		after, err := reuse(ctx, friday)
		if err != nil {
			return false, err
		}
		old, fresh := after.old-before.old, after.fresh-before.fresh
		table.Row(load.name, whole(c.Done.Load()), whole(c.Errors.Load()), fmt.Sprintf("%.2f%%", 100*old/(old+fresh)),
			whole(server.Accepted.Load()-accepted), whole(server.Closed.Load()-closed), time.Since(begin).Round(time.Second).String())
		for _, err := range c.First() {
			_, _ = fmt.Fprintf(out, "%s: %v\n", load.name, err)
		}
		good = good && c.Errors.Load() == 0 && old/(old+fresh) >= 0.99
	}
	_, _ = fmt.Fprint(out, table)
	return good, nil
}

func whole(n int64) string { return strconv.FormatInt(n, 10) }

// reused counts the requests by whether their connection had served one before.
type reused struct{ old, fresh float64 }

func reuse(ctx context.Context, s *sidecar.Sidecar) (reused, error) {
	text, err := process.Get(ctx, "http://"+s.Admin+"/metrics")
	if err != nil {
		return reused{}, err
	}
	const name = "friday_upstream_requests_total"
	return reused{
		old:   exposition.Sum(string(text), name, `reused="true"`),
		fresh: exposition.Sum(string(text), name, `reused="false"`),
	}, nil
}
