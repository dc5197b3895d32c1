// Command batchbench is a part of "make bench": the stand-in, with and without
// Friday in front of it, as processes of their own.
//
//	go build -o bin/ ./cmd/... ./bench/cmd/...
//	bin/batchbench                 # about two minutes
//	bin/batchbench -n 1000000 -leave 0.05 -poison 0.01
//	                               # and a million answers checked, while callers
//	                               # leave at random and some items are poisoned
//	bin/batchbench -hold           # instead: what Friday holds in memory for long
//	                               # streams and idle callers
//
// It prints what batching gives at a given cost, what the proxy takes where the
// server costs nothing, and what it adds to each token of a stream. Exit codes: 0
// done, 1 failed or an answer was wrong, 2 used wrongly.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/fridaymesh/friday/bench/cmd/internal/program"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// options are the command line's.
type options struct {
	bin            string
	protocol       string
	callers        []int
	streams        []int
	rounds         int
	cell           time.Duration
	requests       uint64
	leave, poison  float64
	fixed, perItem time.Duration
	accelerators   int
	maxBatch       int
	// agent is KServe's.
	agent string
	// hold asks for what Friday holds, instead of the tables.
	hold                     bool
	holdStreams, holdCallers int
	holdFor                  time.Duration
	// sidecarArgs go to friday.
	sidecarArgs []string
}

func parse(fs *flag.FlagSet, args []string) (*options, error) {
	o := &options{}
	fs.StringVar(&o.bin, "bin", "", "`folder` with friday and standin; default: this program's own, then ./bin")
	fs.StringVar(&o.protocol, "protocol", "openai", "openai, kserve_v1 or open_inference")
	callers := fs.String("concurrency", "1,8,64", "`numbers` of concurrent callers")
	streams := fs.String("streams", "1,32,128", "`numbers` of concurrent streams")
	fs.IntVar(&o.rounds, "rounds", 3, "rounds, direct and through Friday in turn")
	fs.DurationVar(&o.cell, "duration", 6*time.Second, "measured time for each line of a table")
	fs.Uint64Var(&o.requests, "n", 0, "`requests` to check one after the other on the server without cost, besides; half of them at 1 ms a call")
	fs.Float64Var(&o.leave, "leave", 0, "`share` of these, 0 to 1, whose caller leaves at a random moment")
	fs.Float64Var(&o.poison, "poison", 0, "`share` of these, 0 to 1, that the server has to refuse, each with an error of its own")
	fs.DurationVar(&o.fixed, "fixed", 10*time.Millisecond, "the server's cost of a call")
	fs.DurationVar(&o.perItem, "per-item", 500*time.Microsecond, "the server's cost of an item")
	fs.IntVar(&o.accelerators, "accelerators", 1, "calls that the server with a cost runs at once")
	fs.IntVar(&o.maxBatch, "max-batch", 32, "the sidecar's max_batch_size, for the optimum")
	fs.BoolVar(&o.hold, "hold", false, "instead of the tables, what Friday holds in memory for streams and for idle callers")
	fs.IntVar(&o.holdStreams, "hold-streams", 1000, "with -hold: `number` of streams at once")
	fs.DurationVar(&o.holdFor, "hold-for", time.Minute, "with -hold: how long each lasts")
	fs.IntVar(&o.holdCallers, "hold-callers", 10000, "with -hold: `number` of callers that keep their connections and ask nothing")
	fs.StringVar(&o.agent, "kserve-agent", "", "`program` to measure as well, with its batcher at its best settings: KServe's cmd/agent; wants --protocol kserve_v1")
	extra := fs.String("friday-args", "", "`flags` for friday proxy, separated by spaces")
	if err := program.Parse(fs, args); err != nil {
		return nil, err
	}
	if o.rounds < 1 || o.cell <= 0 || o.maxBatch < 1 || o.accelerators < 1 {
		return nil, fmt.Errorf("--rounds %d, --duration %v, --max-batch %d, --accelerators %d: must be above 0", o.rounds, o.cell, o.maxBatch, o.accelerators)
	}
	if o.holdStreams < 1 || o.holdCallers < 1 || o.holdFor < time.Second {
		return nil, fmt.Errorf("--hold-streams %d, --hold-callers %d: must be above 0; --hold-for %v: must be at least 1s", o.holdStreams, o.holdCallers, o.holdFor)
	}
	if o.leave < 0 || o.leave > 1 || o.poison < 0 || o.poison > 1 {
		return nil, fmt.Errorf("--leave %v, --poison %v: must be from 0 to 1", o.leave, o.poison)
	}
	if o.agent != "" && o.protocol != "kserve_v1" {
		return nil, errors.New("--kserve-agent: it batches --protocol kserve_v1 only")
	}
	o.sidecarArgs = strings.Fields(*extra)
	var err error
	if o.callers, err = program.Numbers("--concurrency", *callers); err != nil {
		return nil, err
	}
	o.streams, err = program.Numbers("--streams", *streams)
	return o, err
}

func run(args []string, out, errs io.Writer) int {
	return program.Run("batchbench", args, errs, parse, func(ctx context.Context, o *options) error { return measure(ctx, o, out, errs) })
}

// measure prints all tables. Whatever it started has ended when it returns.
func measure(ctx context.Context, o *options, out, errs io.Writer) error {
	stage := program.Stage{Name: "batchbench", Bin: o.bin, Out: out, Errs: errs}
	return stage.Play(ctx, func(s *program.Stage) error {
		b := &bench{options: o, bin: s.Bin, group: s.Group, out: out}
		if o.hold {
			return b.holding(ctx)
		}
		costly, err := b.start(ctx, "costly", o.fixed, o.perItem)
		if err != nil {
			return err
		}
		free, err := b.start(ctx, "free", 0, 0)
		if err != nil {
			return err
		}
		return errors.Join(
			b.batching(ctx, costly),
			b.throughput(ctx, free),
			b.checked(ctx, free),
			b.streaming(ctx, free),
		)
	})
}
