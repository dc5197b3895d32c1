// Command chaosbench breaks what is around a Friday, and Friday itself, one fault after the
// other under load, and says what callers saw of it and what was lost.
//
//	go build -o bin/ ./cmd/... ./bench/cmd/...
//	bin/chaosbench                  # all faults, about three minutes
//	bin/chaosbench --only redis     # those whose names have it
//	bin/chaosbench --alerts         # every alert of deploy/monitoring, fired by its fault
//
// The load is 150 embeddings a second, every answer of which is checked, before, during and
// after the fault. What needs root, a program or a kernel's feature that is not there is said
// and passed over. Load and faults stay on this machine: packets are lost, and links cut, in a
// network namespace that is made for it.
//
// Exit codes: 0 all went as promised, 1 something did not (printed), 2 used wrongly.
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
	bin    string
	only   string
	alerts bool
	rules  string
	phase  time.Duration
}

func parse(fs *flag.FlagSet, args []string) (*options, error) {
	o := &options{}
	fs.StringVar(&o.bin, "bin", "", "`folder` with friday, fridayd and standin; default: this program's own, then ./bin")
	fs.StringVar(&o.only, "only", "", "the faults, or alerts, whose names have this `word`; default: all")
	fs.BoolVar(&o.alerts, "alerts", false, "fire the alerts, with a Prometheus, in place of playing the faults")
	fs.StringVar(&o.rules, "rules", "deploy/monitoring/friday.rules.yaml", "the alerts, a `FILE`")
	fs.DurationVar(&o.phase, "phase", 3*time.Second, "the `time` of load before, in and after each fault")
	if err := program.Parse(fs, args); err != nil {
		return nil, err
	}
	if o.phase < time.Second {
		return nil, fmt.Errorf("--phase %v: must be at least 1s", o.phase)
	}
	return o, nil
}

func run(args []string, out, errs io.Writer) int {
	return program.Run("chaosbench", args, errs, parse, func(ctx context.Context, o *options) error { return o.measure(ctx, out) })
}

func (o *options) measure(ctx context.Context, out io.Writer) error {
	stage := program.Stage{Name: "chaosbench", Bin: o.bin, Out: out}
	return stage.Play(ctx, func(s *program.Stage) error {
		b := &bench{options: o, bin: s.Bin, dir: s.Dir, out: out} // each scene has programs of its own
		if o.alerts {
			return b.alarms(ctx)
		}
		return b.chaos(ctx)
	})
}
