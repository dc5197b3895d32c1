package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/user"
	"strconv"
	"strings"
	"time"

	"github.com/fridaymesh/friday/cmd/internal/cli"
	"github.com/fridaymesh/friday/proxy/listener/redirect"
)

// imageUser is whom the image runs as.
const imageUser = "65532"

// redirectLimit bounds what the kernel, or another holder of iptables' lock, may take.
const redirectLimit = 30 * time.Second

// redirectFlags are the flags of `friday redirect`.
type redirectFlags struct {
	ports, users, groups, firewall string
	to                             uint
	listening, undo, dryRun        bool
}

func redirectCommand() cli.Command {
	f := &redirectFlags{}
	return cli.Command{
		Name:  "redirect",
		Short: "Has the kernel send connections for a model server's ports to friday proxy --mode redirect, in this network namespace.",
		Flags: f.declare,
		Run:   func(ctx context.Context, _ []string) error { return f.run(ctx) },
	}
}

func (f *redirectFlags) declare(fs *flag.FlagSet) {
	fs.StringVar(&f.ports, "ports", "", "the server's TCP `PORTS`, as 8000,8080-8082; only these are redirected")
	fs.UintVar(&f.to, "to", 19080, "`PORT` that friday proxy listens on")
	fs.StringVar(&f.users, "uid", imageUser, "`USERS`, by number or name, whose own connections are left alone: friday proxy's must be among them")
	fs.StringVar(&f.groups, "gid", "", "`GROUPS`, by number or name, whose own connections are left alone (default none)")
	fs.BoolVar(&f.listening, "if-listening", true, "redirect what comes from other machines only while somebody listens at its address and port, else it is refused as without Friday; false: always, so that requests may wait for a server that starts slowly")
	fs.StringVar(&f.firewall, "firewall", "auto", "`WHAT` makes the rules: nftables, iptables (its programs must be installed), or auto: iptables where the kernel has no nftables")
	fs.BoolVar(&f.undo, "undo", false, "remove the rules instead; that there are none is no error")
	fs.BoolVar(&f.dryRun, "dry-run", false, "print what would be done, as nft -f or iptables-restore take it, and change nothing")
}

func (f *redirectFlags) run(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, redirectLimit)
	defer cancel()
	b, err := redirect.ParseFirewall(f.firewall)
	if err != nil {
		return cli.Usagef("--firewall %v", err)
	}
	if f.undo {
		if f.dryRun {
			return show(b, redirect.NFTUndoScript(), redirect.IPTablesUndoScript())
		}
		return redirect.Undo(ctx, b)
	}
	r, err := f.rules()
	if err != nil {
		return err
	}
	if f.dryRun {
		return show(b, r.NFTScript(), r.IPTablesScript(false))
	}
	by, err := redirect.Apply(ctx, b, *r)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(os.Stdout, "%s (by %s)\n", r, by)
	return err
}

// show prints the script of a firewall; auto is nftables.
func show(b redirect.Firewall, nft, iptables string) error {
	script := nft
	if b == redirect.IPTables {
		script = iptables
	}
	_, err := os.Stdout.WriteString(script)
	return err
}

// rules are what the flags mean.
func (f *redirectFlags) rules() (*redirect.Rules, error) {
	if f.ports == "" {
		return nil, cli.Usagef("--ports is needed: the server's ports, as 8000,8080-8082")
	}
	r := &redirect.Rules{Listening: f.listening}
	var err error
	if r.Ports, err = redirect.ParsePorts(f.ports); err != nil {
		return nil, cli.Usagef("--ports: %v", err)
	}
	if f.to < 1 || f.to > 65535 {
		return nil, cli.Usagef("--to %d: not a port of 1 to 65535", f.to)
	}
	r.To = uint16(f.to)
	if r.Users, err = ids("--uid", f.users, func(name string) (string, error) {
		u, err := user.Lookup(name)
		if err != nil {
			return "", err
		}
		return u.Uid, nil
	}); err != nil {
		return nil, err
	}
	if r.Groups, err = ids("--gid", f.groups, func(name string) (string, error) {
		g, err := user.LookupGroup(name)
		if err != nil {
			return "", err
		}
		return g.Gid, nil
	}); err != nil {
		return nil, err
	}
	if err := r.Check(); err != nil {
		return nil, cli.Usagef("%v", err)
	}
	return r, nil
}

// ids reads numbers and names.
func ids(flagName, text string, lookUp func(name string) (id string, err error)) (out []uint32, err error) {
	for word := range strings.SplitSeq(text, ",") {
		if word = strings.TrimSpace(word); word == "" {
			continue
		}
		number := word
		if strings.Trim(word, "0123456789") != "" {
			if number, err = lookUp(word); err != nil {
				return nil, cli.Usagef("%s %s: %v", flagName, word, err)
			}
		}
		n, err := strconv.ParseUint(number, 10, 32)
		if err != nil {
			return nil, cli.Usagef("%s %s: not a number of 0 to 4294967295", flagName, word)
		}
		out = append(out, uint32(n))
	}
	return out, nil
}
