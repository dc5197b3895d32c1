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
	"github.com/fridaymesh/friday/xds/resource"
)

func checkCommand() cli.Command {
	var file string
	return cli.Command{
		Name:  "check",
		Short: "Says whether a bootstrap file is right, and what is wrong with it.",
		Flags: func(fs *flag.FlagSet) {
			fs.StringVar(&file, "config", "", "Envoy bootstrap `FILE`, YAML or JSON")
			fs.StringVar(&file, "c", "", "short for --config `FILE`")
		},
		Run: func(context.Context, []string) error {
			if file == "" {
				return cli.Usagef("--config is needed")
			}
			return check(file)
		},
	}
}

// check goes as far as a start does, short of listening.
func check(file string) error {
	b, err := compileFile(file, &resource.Parser{Registry: standard.Registry()}, "", "", "")
	if err != nil {
		return err
	}
	builder := config.NewBuilder(zap.NewNop(), prometheus.NewRegistry(), config.Defaults{})
	change, err := builder.Build(b.Static)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	change.Abort()
	_, err = fmt.Fprintf(os.Stdout, "%s: ok: %d listeners, %d clusters, control plane: %t\n",
		file, len(b.Static.Listeners), len(b.Static.Clusters), b.ADS != nil)
	return err
}
