// Command upgradebench replaces friday under load, again and again, and counts what its
// callers see of it: nothing, if all is well.
//
//	go build -o bin/ ./cmd/... ./bench/cmd/...
//	bin/upgradebench               # 200,000 requests, ten upgrades, some two minutes
//
// A server that echoes runs in this process, friday as processes of their own, each
// with --takeover. Callers keep their connections, open one for every request, share
// one of HTTP/2, or read streams of two seconds. Exit codes: 0 nothing failed, 1
// something did, 2 used wrongly.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/fridaymesh/friday/bench/cmd/internal/program"
	"github.com/fridaymesh/friday/bench/process"
	"github.com/fridaymesh/friday/bench/report"
	"github.com/fridaymesh/friday/bench/sidecar"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

type options struct {
	bin      string
	requests int64
	upgrades int
	callers  int
	streams  int
}

func parse(fs *flag.FlagSet, args []string) (*options, error) {
	o := &options{}
	fs.StringVar(&o.bin, "bin", "", "`folder` with friday; default: this program's own, then ./bin")
	fs.Int64Var(&o.requests, "n", 200000, "`requests`, those of streams besides")
	fs.IntVar(&o.upgrades, "upgrades", 10, "how `often` friday is replaced, evenly over the requests")
	fs.IntVar(&o.callers, "callers", 8, "`callers` of each kind")
	fs.IntVar(&o.streams, "streams", 16, "`streams` in flight at any time")
	if err := program.Parse(fs, args); err != nil {
		return nil, err
	}
	if o.requests < 1 || o.upgrades < 1 || o.callers < 1 || o.streams < 1 {
		return nil, fmt.Errorf("--n %d, --upgrades %d, --callers %d, --streams %d: must be above 0", o.requests, o.upgrades, o.callers, o.streams)
	}
	return o, nil
}

func run(args []string, stdout, stderr io.Writer) int {
	return program.Run("upgradebench", args, stderr, parse, func(ctx context.Context, o *options) error { return o.run(ctx, stdout, stderr) })
}

func (o *options) run(ctx context.Context, out, errs io.Writer) error {
	stage := program.Stage{Name: "upgradebench", Bin: o.bin, Out: out, Errs: errs}
	return stage.Play(ctx, func(s *program.Stage) error {
		server, err := serve(ctx)
		if err != nil {
			return err
		}
		defer server.close()
		u := &upgrade{options: o, g: s.Group, bin: s.Bin, upstream: server.address, socket: filepath.Join(s.Dir, "friday.sock")}
		if err := u.run(ctx); err != nil {
			return err
		}
		return u.report(out)
	})
}

// upgrade is one measurement.
type upgrade struct {
	*options

	g                     *process.Group
	bin, upstream, socket string
	listen, admin         string

	kinds    []*kind
	ready    []time.Duration // from the start of a process to the end of the one before it accepting
	drained  []time.Duration // from then to the end of the one before it
	idleExit time.Duration
}

func (u *upgrade) run(ctx context.Context) error {
	addresses, err := process.FreeAddresses(0, 0)
	if err != nil {
		return err
	}
	u.listen, u.admin = addresses[0], addresses[1]
	current, err := u.start(ctx, 0)
	if err != nil {
		return err
	}
	u.kinds = kinds(u.listen, u.callers, u.streams)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for _, k := range u.kinds {
		k.start(ctx)
	}
	for i := 1; i <= u.upgrades; i++ {
		if err := u.await(ctx, u.requests*int64(i)/int64(u.upgrades+1)); err != nil {
			return err
		}
		if current, err = u.replace(ctx, current, i); err != nil {
			return err
		}
	}
	if err := u.await(ctx, u.requests); err != nil {
		return err
	}
	for _, k := range u.kinds {
		k.finish()
	}
	began := time.Now()
	err = current.Stop(time.Minute)
	u.idleExit = time.Since(began)
	return err
}

func (u *upgrade) start(ctx context.Context, i int) (*sidecar.Sidecar, error) {
	return sidecar.Proxy(ctx, u.g, u.bin, "friday-"+strconv.Itoa(i), u.upstream, u.listen, u.admin, "--takeover", u.socket, "--drain-timeout", "10s")
}

// replace starts the next process and waits for the end of the one before it.
func (u *upgrade) replace(ctx context.Context, old *sidecar.Sidecar, i int) (*sidecar.Sidecar, error) {
	began := time.Now()
	next, err := u.start(ctx, i)
	if err != nil {
		return nil, err
	}
	err = old.Await(ctx, time.Minute, func(context.Context) error {
		if !strings.Contains(old.Tail(50), "handed over") {
			return errors.New("nobody has taken over")
		}
		return nil
	})
	if err != nil && !errors.Is(err, process.ErrEnded) {
		return nil, err
	}
	handed := time.Now()
	select {
	case <-old.Done():
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	u.ready = append(u.ready, handed.Sub(began))
	u.drained = append(u.drained, time.Since(handed))
	return next, old.Stop(time.Minute)
}

// await waits until so many requests have been answered.
func (u *upgrade) await(ctx context.Context, n int64) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		var sent int64
		for _, k := range u.kinds {
			if !k.streams {
				sent += k.sent.Load()
			}
		}
		if sent >= n {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (u *upgrade) report(out io.Writer) error {
	t := report.Table{
		Title: fmt.Sprintf("%d upgrades under load", u.upgrades),
		Head:  []string{"callers", "", "requests", "failed", "p50 ms", "p99 ms", "longest ms"},
	}
	var failed int64
	var first string
	for _, k := range u.kinds {
		failed += k.failed.Load()
		if f := k.first.Load(); f != nil && first == "" {
			first = *f
		}
		t.Row(k.name, strconv.Itoa(k.callers), strconv.FormatInt(k.sent.Load(), 10), strconv.FormatInt(k.failed.Load(), 10),
			report.Millis(k.quantile(0.5)), report.Millis(k.quantile(0.99)), report.Millis(k.quantile(1)))
	}
	if _, err := t.WriteTo(out); err != nil {
		return err
	}
	_, _ = fmt.Fprintf(out, "a new process serves alone after %s ms (longest %s), the old one has ended %s ms later (longest %s), SIGTERM while idle ends it in %s ms\n",
		report.Millis(report.Median(u.ready)), report.Millis(last(u.ready)), report.Millis(report.Median(u.drained)), report.Millis(last(u.drained)), report.Millis(u.idleExit))
	if failed > 0 {
		return fmt.Errorf("%d requests failed; the first: %s", failed, first)
	}
	return nil
}
