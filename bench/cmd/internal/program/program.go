// Package program is what the programs that measure have in common: their life from the
// command line to the exit code.
package program

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"

	"github.com/fridaymesh/friday/bench/process"
	"github.com/fridaymesh/friday/bench/sidecar"
)

// Run parses args and measures, until SIGINT or SIGTERM. It returns the exit code: 0 done,
// 1 failed, 2 used wrongly.
func Run[O any](name string, args []string, errs io.Writer, parse func(args []string) (O, error), measure func(context.Context, O) error) int {
	o, err := parse(args)
	if err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return 0
		}
		_, _ = fmt.Fprintln(errs, name+":", err)
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	if err := measure(ctx, o); err != nil {
		_, _ = fmt.Fprintln(errs, name+":", err)
		return 1
	}
	return 0
}

// Numbers reads a list of numbers above 0, separated by commas, that the flag of a name
// was given.
func Numbers(name, text string) ([]int, error) {
	var list []int
	for part := range strings.SplitSeq(text, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(part))
		if err != nil || n < 1 {
			return nil, fmt.Errorf("%s: %q is no number above 0", name, part)
		}
		list = append(list, n)
	}
	return list, nil
}

// Stage is where programs are run to be measured.
type Stage struct {
	// Bin is the folder with the programs, Dir one for what they write; it goes afterwards.
	Bin, Dir string
	// Group has the programs, which end afterwards; their logs are in Dir.
	Group *process.Group
}

// OnStage has measure play on a Stage, for which it looks for the programs as
// [sidecar.Binaries] does, after a line on the machine for people.
func OnStage(name, bin string, out io.Writer, measure func(*Stage) error) (err error) {
	s := &Stage{}
	if s.Bin, err = sidecar.Binaries(bin); err != nil {
		return err
	}
	if s.Dir, err = os.MkdirTemp("", name+"-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(s.Dir)) }()
	if s.Group, err = process.NewGroup(s.Dir); err != nil {
		return err
	}
	defer s.Group.Close()
	_, _ = fmt.Fprintf(out, "%s, load average %.1f before\n", process.Machine(), process.LoadAverage())
	return measure(s)
}
