// Command jobsbench measures the filter jobs on its embedded store, or with --postgres on a
// PostgreSQL that it starts, before a server that costs nothing: how long creating a batch
// takes, alone and beside fifty others; fifty batches at once; how many lines a second two
// full batches make, at what cost; and a sidecar that is killed again and again while it
// works.
//
//	go build -o bin/ ./cmd/... ./bench/cmd/...
//	bin/jobsbench
//
// Exit codes: 0 done, 1 failed, or a line was lost or doubled, 2 used wrongly, 3 there is no PostgreSQL.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"

	"github.com/fridaymesh/friday/bench/cmd/internal/program"
	"github.com/fridaymesh/friday/bench/realserver"
)

func main() {
	os.Exit(program.Run("jobsbench", os.Args[1:], os.Stderr, parse, func(ctx context.Context, o *options) error {
		stage := program.Stage{Name: "jobsbench", Bin: o.bin, Dir: o.dir, Out: os.Stdout, Errs: os.Stderr}
		return stage.Play(ctx, func(s *program.Stage) error { return o.bench(ctx, s) })
	}))
}

type options struct {
	bin, dir string
	postgres bool
	creates  int
	lines    int
	kills    int
	killed   int
}

func parse(fs *flag.FlagSet, args []string) (*options, error) {
	o := new(options)
	fs.StringVar(&o.bin, "bin", "", "`folder` with friday; default: this program's own, then ./bin")
	fs.StringVar(&o.dir, "dir", "", "`folder` on the disk to be measured; default: the system's for temporary files")
	fs.BoolVar(&o.postgres, "postgres", false, "keep jobs in a PostgreSQL of this machine, rather than in a file; it is got where there is none, and keeps what it has under the system's folder for temporary files")
	fs.IntVar(&o.creates, "creates", 1000, "batches created, for each number of callers; 0: none")
	fs.IntVar(&o.lines, "lines", 100_000, "lines run, in batches of at most 50,000; 0: none")
	fs.IntVar(&o.kills, "kills", 100, "kills; 0: none")
	fs.IntVar(&o.killed, "killed-lines", 20_000, "lines of the batch during which it is killed")
	if err := program.Parse(fs, args); err != nil {
		return nil, err
	}
	if o.creates < 0 || o.lines < 0 || o.kills < 0 || o.killed < 1 || o.killed > most {
		return nil, fmt.Errorf("--creates, --lines and --kills must not be below 0, --killed-lines must be 1 to %d", most)
	}
	return o, nil
}

func (o *options) bench(ctx context.Context, s *program.Stage) (err error) {
	b := &bench{options: o, out: s.Out, bin: s.Bin, dir: s.Dir, group: s.Group}
	if o.postgres {
		tell := func(s string) { _, _ = fmt.Fprintln(b.out, s) }
		postgres, err := realserver.PreparePostgres(ctx, tell)
		if err != nil {
			return err
		}
		if b.database, err = postgres.Start(ctx, b.group); err != nil {
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
				return err
			}
		}
	}
	return nil
}
