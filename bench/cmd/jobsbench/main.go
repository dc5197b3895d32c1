// Command jobsbench measures the filter jobs on its embedded store, or with --postgres on a
// PostgreSQL that it starts, before a server that costs nothing: how long creating a batch takes, alone and beside fifty others; fifty
// batches at once; how many lines a second two full batches make, at what cost; and a
// sidecar that is killed again and again while it works.
//
//	go build -o bin/ ./cmd/... ./bench/cmd/...
//	bin/jobsbench
//
// Exit codes: 0 done, 1 failed, or a line was lost or doubled, 2 used wrongly.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"

	"github.com/fridaymesh/friday/bench/cmd/internal/program"
	"github.com/fridaymesh/friday/bench/process"
	"github.com/fridaymesh/friday/bench/realserver"
	"github.com/fridaymesh/friday/bench/sidecar"
)

func main() {
	os.Exit(program.Run("jobsbench", os.Args[1:], os.Stderr, parse, func(ctx context.Context, o *options) error { return o.bench(ctx, os.Stdout) }))
}

type options struct {
	bin, dir string
	postgres bool
	creates  int
	lines    int
	kills    int
	killed   int
}

func parse(args []string) (*options, error) {
	o := new(options)
	fs := flag.NewFlagSet("jobsbench", flag.ContinueOnError)
	fs.StringVar(&o.bin, "bin", "", "`folder` with friday; default: this program's own, then ./bin")
	fs.StringVar(&o.dir, "dir", "", "`folder` on the disk to be measured; default: the system's for temporary files")
	fs.BoolVar(&o.postgres, "postgres", false, "keep jobs in a PostgreSQL of this machine, rather than in a file; it is got where there is none, and keeps what it has under the system's folder for temporary files")
	fs.IntVar(&o.creates, "creates", 1000, "batches created, for each number of callers; 0: none")
	fs.IntVar(&o.lines, "lines", 100_000, "lines run, in batches of at most 50,000; 0: none")
	fs.IntVar(&o.kills, "kills", 100, "kills; 0: none")
	fs.IntVar(&o.killed, "killed-lines", 20_000, "lines of the batch during which it is killed")
	if err := fs.Parse(args); err != nil {
		return nil, err
	}
	if fs.NArg() > 0 {
		return nil, fmt.Errorf("unexpected argument %q", fs.Arg(0))
	}
	if o.creates < 0 || o.lines < 0 || o.kills < 0 || o.killed < 1 || o.killed > most {
		return nil, fmt.Errorf("--creates, --lines and --kills must not be below 0, --killed-lines must be 1 to %d", most)
	}
	return o, nil
}

func (o *options) bench(ctx context.Context, out io.Writer) (err error) {
	bin, err := sidecar.Binaries(o.bin)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp(o.dir, "jobsbench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }() // #nosec G703 -- the folder that was just made
	group, err := process.NewGroup(dir)
	if err != nil {
		return err
	}
	defer group.Close()
	b := &bench{options: o, out: out, bin: bin, dir: dir, group: group}
	if o.postgres {
		tell := func(s string) { _, _ = fmt.Fprintln(out, s) }
		program, err := realserver.PreparePostgres(ctx, tell)
		if err != nil {
			return err
		}
		if b.database, err = program.Start(ctx, group); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, b.database.Remove()) }()
		version, err := b.database.SQL(ctx, "postgres", "postgres", "SELECT version()")
		if err != nil {
			return err
		}
		tell(version)
	}
	for _, part := range []struct {
		wanted bool
		run    func(context.Context) error
	}{{o.creates > 0, b.creation}, {o.lines > 0, b.throughput}, {o.kills > 0, b.killing}} {
		if part.wanted {
			if err := part.run(ctx); err != nil {
				return fmt.Errorf("%w\n%s", err, group.Tails(5))
			}
		}
	}
	return nil
}
