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
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/fridaymesh/friday/bench/process"
	"github.com/fridaymesh/friday/bench/realserver"
	"github.com/fridaymesh/friday/bench/sidecar"
)

// ErrFigures says that a measurement went to its end, and that what it found is not good
// enough: its message says what. The programs' logs say nothing about it.
var ErrFigures = errors.New("not good enough")

// Figures is an ErrFigures that says all that is not good enough; nil where nothing is.
func Figures(broken ...error) error {
	if err := errors.Join(broken...); err != nil {
		return fmt.Errorf("%w: %w", ErrFigures, err)
	}
	return nil
}

// Run has parse read args, into flags of its set, and measures, until SIGINT or SIGTERM. It
// returns the exit code: 0 done, 1 failed, 2 used wrongly, 3 what is to be measured cannot
// be had on this machine.
func Run[O any](name string, args []string, errs io.Writer, parse func(fs *flag.FlagSet, args []string) (O, error), measure func(context.Context, O) error) int {
	fs := flag.NewFlagSet(name, flag.ContinueOnError)
	fs.SetOutput(errs)
	o, err := parse(fs, args)
	if err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return 0
		}
		_, _ = fmt.Fprintln(errs, name+":", err)
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	err = measure(ctx, o)
	switch {
	case err == nil:
		return 0
	case ctx.Err() != nil:
		_, _ = fmt.Fprintln(errs, name+": interrupted")
		return 1
	}
	_, _ = fmt.Fprintln(errs, name+":", err)
	if errors.Is(err, realserver.ErrUnavailable) {
		return 3
	}
	return 1
}

// Parse parses args, of which there are none but flags.
func Parse(fs *flag.FlagSet, args []string) error {
	if err := fs.Parse(args); err != nil {
		return err
	}
	if fs.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", fs.Arg(0))
	}
	return nil
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
	// Name is the measuring program's.
	Name string
	// Bin is the folder with the programs; on the stage it is the one that was found.
	Bin string
	// Dir is a folder for what they write, which goes afterwards. Before, it is where that
	// is to be made; empty: where temporary files go.
	Dir string
	// Out gets a line for people on the machine; nil: nobody does.
	Out io.Writer
	// Errs gets the last lines of the programs' logs where measuring fails; nil: nobody.
	Errs io.Writer
	// Group has the programs, which end afterwards.
	Group *process.Group
}

// Play has measure play on the stage, for which it looks for the programs as
// [sidecar.Binaries] does.
func (s *Stage) Play(ctx context.Context, measure func(*Stage) error) (err error) {
	if s.Bin, err = sidecar.Binaries(s.Bin); err != nil {
		return err
	}
	if s.Dir, err = os.MkdirTemp(s.Dir, s.Name+"-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(s.Dir)) }() // #nosec G703 -- the folder that was just made
	if s.Group, err = process.NewGroup(filepath.Join(s.Dir, "logs")); err != nil {
		return err
	}
	defer s.Group.Close()
	if s.Out != nil {
		_, _ = fmt.Fprintf(s.Out, "%s, load average %.1f before; everything runs on this one machine and shares it\n", process.Machine(), process.LoadAverage())
	}
	err = measure(s)
	if err != nil && s.Errs != nil && ctx.Err() == nil && !errors.Is(err, ErrFigures) {
		_, _ = io.WriteString(s.Errs, s.Group.Tails(15))
	}
	return err
}
