package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net/url"
	"strings"

	"github.com/fridaymesh/friday/cmd/internal/cli"
	"github.com/fridaymesh/friday/xds/control"
)

func clustersCommand(out io.Writer) cli.Command {
	d := &door{}
	return cli.Command{
		Name:  "clusters",
		Short: "Shows the groups of servers that fridayd serves, their weights, and how many sidecars run their policy's version.",
		Flags: func(fs *flag.FlagSet) { d.declare(fs); d.declareOutput(fs) },
		Run: func(ctx context.Context, _ []string) error {
			if err := d.check(); err != nil {
				return err
			}
			var list []control.ClusterView
			if err := d.ask(ctx, "/clusters", nil, &list); err != nil {
				return err
			}
			if d.output == outputJSON {
				return printJSON(out, list)
			}
			lines := [][]string{{"CLUSTER", "VERSION", "SIDECARS", "ENDPOINTS", "WEIGHTS"}}
			for _, c := range list {
				lines = append(lines, []string{
					c.Name, c.Version, fmt.Sprintf("%d of %d", c.Current, c.Sidecars), strings.Join(c.Endpoints, ","), routeShares(c.Weights),
				})
			}
			return columns(out, lines)
		},
	}
}

func dumpCommand(out io.Writer) cli.Command {
	d := &door{}
	return cli.Command{
		Name: "dump",
		Short: "Shows which sidecar runs which version of which policy, by its acknowledgements. " +
			"Of sidecars named by their node's id: their resources as they are served, in Envoy's JSON.",
		Usage: "[NODE]",
		Flags: func(fs *flag.FlagSet) { d.declare(fs); d.declareOutput(fs) },
		Run: func(ctx context.Context, args []string) error {
			if err := d.check(); err != nil {
				return err
			}
			if len(args) > 1 {
				return cli.Usagef("one node at a time")
			}
			if len(args) == 1 {
				return d.dumpNode(ctx, out, args[0])
			}
			var list []control.NodeStatus
			if err := d.ask(ctx, "/nodes", nil, &list); err != nil {
				return err
			}
			if d.output == outputJSON {
				return printJSON(out, list)
			}
			lines := [][]string{{"NODE", "CLUSTER", "POLICY", "RUNS", "STATE", "ERROR"}}
			for _, n := range list {
				if len(n.Running) == 0 {
					lines = append(lines, []string{n.ID, n.Cluster, "-", "", "no policy is for it"})
				}
				for _, r := range n.Running {
					lines = append(lines, []string{n.ID, n.Cluster, r.Policy, r.Version, r.State, first(r.Error)})
				}
			}
			return columns(out, lines)
		},
	}
}

func (d *door) dumpNode(ctx context.Context, out io.Writer, node string) error {
	var list []control.Dump
	if err := d.ask(ctx, "/dump", url.Values{"node": {node}}, &list); err != nil {
		return err
	}
	if len(list) == 0 {
		return fmt.Errorf("no node %q is connected", node)
	}
	return printJSON(out, list)
}
