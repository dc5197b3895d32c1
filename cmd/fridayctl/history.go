package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fridaymesh/friday/cmd/internal/cli"
	"github.com/fridaymesh/friday/xds/control"
	"github.com/fridaymesh/friday/xds/control/history"
)

func historyCommand(out io.Writer) cli.Command {
	d := &door{}
	return cli.Command{
		Name:  "history",
		Short: "Shows the versions that fridayd has served, the newest first, and what sidecars have refused of them.",
		Flags: func(fs *flag.FlagSet) { d.declare(fs); d.declareOutput(fs) },
		Run: func(ctx context.Context, _ []string) error {
			if err := d.check(); err != nil {
				return err
			}
			var view control.HistoryView
			if err := d.ask(ctx, "/history", nil, &view); err != nil {
				return err
			}
			if d.output == outputJSON {
				return printJSON(out, view)
			}
			return printHistory(out, view)
		},
	}
}

func printHistory(out io.Writer, view control.HistoryView) error {
	lines := append(make([][]string, 0, 1+len(view.Versions)), []string{"", "VERSION", "TIME", "POLICIES", "ORIGIN"})
	var notes []string
	for _, v := range view.Versions {
		mark := ""
		if v.InForce {
			mark = "*"
		}
		var policies []string
		for _, p := range v.Policies {
			name := p.Name + "@" + p.Version
			if words := v.Rejected[p.Name]; words != "" {
				name += " (rejected)"
				notes = append(notes, fmt.Sprintf("%s %s: %s", p.Name, p.Version, words))
			}
			policies = append(policies, name)
		}
		lines = append(lines, []string{
			mark, strconv.Itoa(v.Number), v.Time.Local().Format(time.DateTime), strings.Join(policies, " "), v.Origin,
		})
	}
	if err := columns(out, lines); err != nil {
		return err
	}
	slices.Sort(notes)
	for _, note := range slices.Compact(notes) {
		if _, err := fmt.Fprintf(out, "\nrejected: %s\n", note); err != nil {
			return err
		}
	}
	if view.Folder == "" {
		if _, err := fmt.Fprint(out, "\nKept in memory: it ends with fridayd. fridayd --history DIR keeps it on disk.\n"); err != nil {
			return err
		}
	}
	return printPin(out, view.Rollback)
}

// printPin says that a rollback holds, and how it ends.
func printPin(out io.Writer, pin *control.Pin) error {
	if pin == nil {
		return nil
	}
	_, err := fmt.Fprintf(out, "\nThe rollback to version %d holds since %s, and the folder is not served. It ends when a policy in the folder changes, or with fridayctl rollback --release.\n",
		pin.To, pin.Time.Local().Format(time.DateTime))
	return err
}

func diffCommand(out io.Writer) cli.Command {
	d := &door{}
	return cli.Command{
		Name:  "diff",
		Short: "Shows how version B differs from version A. B: the one in force; A: the one before B.",
		Usage: "[A [B]]",
		Flags: d.declare,
		Run: func(ctx context.Context, args []string) error {
			if err := d.check(); err != nil {
				return err
			}
			query, err := versions(args)
			if err != nil {
				return err
			}
			var text string
			if err := d.ask(ctx, "/diff", query, &text); err != nil {
				return err
			}
			_, err = io.WriteString(out, text)
			return err
		},
	}
}

func versions(args []string) (url.Values, error) {
	if len(args) > 2 {
		return nil, cli.Usagef("at most two versions")
	}
	query := url.Values{}
	for i, name := range []string{"from", "to"} {
		if i < len(args) {
			if n, err := strconv.Atoi(args[i]); err != nil || n < 1 {
				return nil, cli.Usagef("%q is not the number of a version: see fridayctl history", args[i])
			}
			query.Set(name, args[i])
		}
	}
	return query, nil
}

func rollbackCommand(out io.Writer) cli.Command {
	d := &door{}
	var (
		to      int
		release bool
	)
	return cli.Command{
		Name: "rollback",
		Short: "Serves an older version at once. It holds until a policy in fridayd's folder changes, or until it is released: " +
			"then the folder is served again.",
		Flags: func(fs *flag.FlagSet) {
			d.declare(fs)
			fs.IntVar(&to, "to", 0, "`VERSION` to go back to (default: the last different one before that in force that no sidecar has refused)")
			fs.BoolVar(&release, "release", false, "end the rollback, and try once more what sidecars have refused")
		},
		Run: func(ctx context.Context, _ []string) error {
			if err := d.check(); err != nil {
				return err
			}
			if to < 0 || release && to != 0 {
				return cli.Usagef("--to VERSION or --release")
			}
			var view control.HistoryView
			if release {
				if err := d.order(ctx, "/release", nil, nil, &view); err != nil {
					return err
				}
				_, err := fmt.Fprintln(out, "Released: the folder is served.")
				return err
			}
			query := url.Values{}
			if to > 0 {
				query.Set("to", strconv.Itoa(to))
			}
			var v history.Version
			if err := d.order(ctx, "/rollback", query, nil, &v); err != nil {
				return err
			}
			return printRollback(out, &v)
		},
	}
}

func printRollback(out io.Writer, v *history.Version) error {
	names := make([]string, len(v.Policies))
	for i, p := range v.Policies {
		names[i] = p.Name + "@" + p.Version
	}
	_, err := fmt.Fprintf(out, "Version %d is served, which is version %d once more: %s.\n"+
		"It holds until a policy in fridayd's folder changes, or until fridayctl rollback --release. Correct the folder meanwhile.\n",
		v.Number, v.Of, strings.Join(names, " "))
	return err
}

// routeShares is the weights of a cluster, by route.
func routeShares(weights map[string]float64) string {
	parts := make([]string, 0, len(weights))
	for _, route := range slices.Sorted(maps.Keys(weights)) {
		parts = append(parts, route+" "+strconv.FormatFloat(weights[route], 'f', -1, 64)+"%")
	}
	return strings.Join(parts, ", ")
}
