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
	"strconv"
	"time"

	"github.com/fridaymesh/friday/bench/closing"
	"github.com/fridaymesh/friday/bench/cmd/internal/program"
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

func parse(fs *flag.FlagSet, args []string) (*options, error) {
	o := new(options)
	fs.StringVar(&o.bin, "bin", "", "`folder` with friday; default: this program's own, then ./bin")
	fs.Int64Var(&o.requests, "requests", 1_000_000, "in all")
	fs.IntVar(&o.callers, "callers", 32, "at once")
	fs.DurationVar(&o.least, "least", 500*time.Millisecond, "shortest idle time after which the server closes")
	fs.DurationVar(&o.most, "most", 5*time.Second, "longest")
	if err := program.Parse(fs, args); err != nil {
		return nil, err
	}
	switch {
	case o.requests < 1 || o.callers < 1:
		return nil, fmt.Errorf("--requests %d, --callers %d: must be above 0", o.requests, o.callers)
	case o.least <= 0 || o.most < o.least:
		return nil, fmt.Errorf("--least %v, --most %v: must be above 0, and the second no less than the first", o.least, o.most)
	}
	return o, nil
}

func run(args []string, out, errs io.Writer) int {
	return program.Run("reusebench", args, errs, parse, func(ctx context.Context, o *options) error {
		stage := program.Stage{Name: "reusebench", Bin: o.bin, Out: out, Errs: errs}
		return stage.Play(ctx, func(s *program.Stage) error { return o.bench(ctx, s) })
	})
}

func (o *options) bench(ctx context.Context, s *program.Stage) (err error) {
	server := &closing.Server{Least: o.least, Most: o.most}
	if err := server.Listen(ctx, "127.0.0.1:0"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Close()) }()
	friday, err := sidecar.Proxy(ctx, s.Group, s.Bin, "friday", server.Address(), "127.0.0.1:19480", "127.0.0.1:19481")
	if err != nil {
		return err
	}
	good := true
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
			return err
		}
		accepted, closed, begin := server.Accepted.Load(), server.Closed.Load(), time.Now()
		if err := c.Run(ctx, o.requests/2); err != nil {
			return err
		}
		after, err := reuse(ctx, friday)
		if err != nil {
			return err
		}
		old, fresh := after.old-before.old, after.fresh-before.fresh
		table.Row(load.name, whole(c.Done.Load()), whole(c.Errors.Load()), fmt.Sprintf("%.2f%%", 100*old/(old+fresh)),
			whole(server.Accepted.Load()-accepted), whole(server.Closed.Load()-closed), time.Since(begin).Round(time.Second).String())
		for _, err := range c.First() {
			_, _ = fmt.Fprintf(s.Out, "%s: %v\n", load.name, err)
		}
		good = good && c.Errors.Load() == 0 && old/(old+fresh) >= 0.99
	}
	_, _ = fmt.Fprint(s.Out, table)
	if !good {
		return program.Figures(errors.New("an error, or fewer than 99% of the requests on a connection that was there"))
	}
	return nil
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
