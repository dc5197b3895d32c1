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
