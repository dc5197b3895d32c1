package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"time"

	"github.com/fridaymesh/friday/cmd/internal/cli"
	"github.com/fridaymesh/friday/xds/control"
)

func tokenCommand(out io.Writer) cli.Command {
	d := &door{}
	var (
		cluster string
		life    time.Duration
	)
	return cli.Command{
		Name:  "token",
		Short: "Makes a token by which one sidecar gets its certificate, once: the text for its --xds-token-file.",
		Usage: "NODE-ID",
		Flags: func(fs *flag.FlagSet) {
			d.declare(fs)
			d.declareOutput(fs)
			fs.StringVar(&cluster, "node-cluster", "", "the sidecar's `CLUSTER` (default none)")
			fs.DurationVar(&life, "life", control.DefaultTokenLife, "how long the token may wait for its sidecar")
		},
		Run: func(ctx context.Context, args []string) error {
			if len(args) != 1 {
				return cli.Usagef("the sidecar's --node-id is needed")
			}
			if err := d.check(); err != nil {
				return err
			}
			var token control.Token
			if err := d.order(ctx, "/token", nil, control.TokenRequest{Node: args[0], Cluster: cluster, Life: life.Seconds()}, &token); err != nil {
				return err
			}
			if d.output == outputJSON {
				return printJSON(out, token)
			}
			_, err := fmt.Fprintln(out, token.Token)
			return err
		},
	}
}

func rootsCommand(out io.Writer) cli.Command {
	d := &door{}
	return cli.Command{
		Name:  "roots",
		Short: "Shows the roots of fridayd's certificate authority, in PEM: the text for a sidecar's --xds-ca.",
		Flags: d.declare,
		Run: func(ctx context.Context, _ []string) error {
			if err := d.check(); err != nil {
				return err
			}
			var text string
			if err := d.ask(ctx, "/roots", nil, &text); err != nil {
				return err
			}
			_, err := io.WriteString(out, text)
			return err
		},
	}
}
