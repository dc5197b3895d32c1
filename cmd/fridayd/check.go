package main

import (
	"context"
	"fmt"
	"os"

	"github.com/fridaymesh/friday/cmd/internal/cli"
	"github.com/fridaymesh/friday/filters/standard"
	"github.com/fridaymesh/friday/xds/control"
	"github.com/fridaymesh/friday/xds/control/ca"
)

func checkCommand() cli.Command {
	return cli.Command{
		Name:  "check",
		Short: "Says whether policies are right, and what is wrong with them.",
		Usage: "DIR|FILE...",
		Run: func(_ context.Context, args []string) error {
			if len(args) == 0 {
				return cli.Usagef("a folder or a file is needed")
			}
			for _, path := range args {
				if err := cli.NeedPath("policies", path); err != nil {
					return err
				}
			}
			return check(args)
		},
	}
}

// check goes as far as a start does, short of serving, and names each file.
func check(paths []string) error {
	policies, err := control.Check(control.NewCompiler(standard.Registry(), ca.DefaultDomain), paths...)
	if err != nil {
		return &cli.Findings{Err: err}
	}
	for _, p := range policies {
		if _, err := fmt.Fprintf(os.Stdout, "%s:%d: ok: policy %s, version %s\n", p.File, p.Line(""), p.Name(), p.Version); err != nil {
			return err
		}
	}
	return nil
}
