package main

import (
	"context"
	"flag"
	"fmt"
	"os"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/fridaymesh/friday/cmd/internal/cli"
	"github.com/fridaymesh/friday/filters/standard"
	"github.com/fridaymesh/friday/proxy/config"
	"github.com/fridaymesh/friday/xds/bootstrap"
	"github.com/fridaymesh/friday/xds/resource"
)

func checkCommand() cli.Command {
	var (
		file  string
		given *flag.FlagSet
	)
	return cli.Command{
		Name:  "check",
		Short: "Says whether a bootstrap file is right, and what is wrong with it.",
		Usage: "FILE",
		Flags: func(fs *flag.FlagSet) {
			given = fs
			fs.StringVar(&file, "config", "", "Envoy bootstrap `FILE`, YAML or JSON")
			fs.StringVar(&file, "c", "", "short for --config `FILE`")
		},
		Run: func(_ context.Context, args []string) error {
			switch {
			case len(args) > 1 || len(args) == 1 && given.NFlag() > 0:
				return cli.Usagef("one file at a time")
			case len(args) == 1:
				file = args[0]
			case file == "":
				return cli.Usagef("a file is needed")
			}
			return check(file)
		},
	}
}

// check goes as far as a start does, short of listening.
func check(file string) error {
	if err := cli.NeedPath("--config", file); err != nil {
		return err
	}
	b, err := compileFile(file, &resource.Parser{Registry: standard.Registry()}, "", "", "")
	if err != nil {
		return &cli.Findings{Err: err}
	}
	builder := config.NewBuilder(zap.NewNop(), prometheus.NewRegistry(), config.Defaults{Trial: true})
	change, err := builder.Build(b.Static)
	if err != nil {
		return &cli.Findings{Err: bootstrap.InFile(file, err)}
	}
	change.Abort()
	_, err = fmt.Fprintf(os.Stdout, "%s: ok: %d listeners, %d clusters, control plane: %t\n",
		file, len(b.Static.Listeners), len(b.Static.Clusters), b.ADS != nil)
	return err
}
