package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"time"

	"github.com/fridaymesh/friday/bench/load"
	"github.com/fridaymesh/friday/bench/peer"
	"github.com/fridaymesh/friday/bench/process"
	"github.com/fridaymesh/friday/bench/report"
	"github.com/fridaymesh/friday/bench/sidecar"
)

// bench is one run.
type bench struct {
	*options
	bin   string
	group *process.Group
	out   io.Writer
	ways  []way
}

// way is one way to the stand-in.
type way struct {
	name    string
	address string
	proxy   *process.Process // nil: there is none
}

func (b *bench) say(format string, args ...any) {
	_, _ = fmt.Fprintf(b.out, format+"\n", args...)
}

func (b *bench) wanted(name string) bool { return len(b.only) == 0 || slices.Contains(b.only, name) }

// start starts the stand-in and every proxy.
func (b *bench) start(ctx context.Context) error {
	peers := peer.Peers()
	addresses, err := process.FreeAddresses(make([]int, 3+len(peers))...)
	if err != nil {
		return err
	}
	server := addresses[0]
	p, err := b.group.Start("stand-in", nil, filepath.Join(b.bin, "standin"), "--listen", server, "--fixed", "0", "--per-item", "0", "--gap", "0")
	if err != nil {
		return err
	}
	if err := p.Await(ctx, 10*time.Second, process.OK("http://"+server+"/health")); err != nil {
		return err
	}
	if b.wanted("direct") {
		b.ways = append(b.ways, way{name: "direct", address: server})
	}
	if b.wanted("friday") {
		s, err := sidecar.Proxy(ctx, b.group, b.bin, "friday", server, addresses[1], addresses[2], b.sidecarArgs...)
		if err != nil {
			return err
		}
		b.ways = append(b.ways, way{name: "friday", address: s.Listen, proxy: s.Process})
	}
	for i, p := range peers {
		if !b.wanted(p.Name) {
			continue
		}
		run, err := p.Start(ctx, b.group, server, addresses[3+i], func(line string) { b.say("%s", line) })
		if errors.Is(err, peer.ErrUnavailable) {
			b.say("left out: %v", err)
			continue
		}
		if err != nil {
			return err
		}
		b.ways = append(b.ways, way{name: p.Name, address: addresses[3+i], proxy: run})
	}
	if len(b.ways) == 0 {
		return fmt.Errorf("--only: nothing of %v can be run", b.only)
	}
	return nil
}

// tables makes those that are asked for.
func (b *bench) tables(ctx context.Context) error {
	// about a kilobyte of an answer
	const tokens = 160
	closed := func(callers int) runner {
		return func(ctx context.Context, address string, round int) (*load.StreamResult, error) {
			r, err := load.Run(ctx, load.Options{
				Target: load.Target{Address: address}, Workload: load.Chat{Tokens: tokens},
				Concurrency: callers, Duration: b.cell, First: uint64(round) << 32, // #nosec G115 -- not negative
			})
			return whole(r), err
		}
	}
	stream := func(callers int, gap time.Duration) runner {
		return func(ctx context.Context, address string, _ int) (*load.StreamResult, error) {
			return load.Streams(ctx, load.StreamOptions{
				Target: load.Target{Address: address}, Concurrency: callers, Duration: b.cell, Tokens: b.options.tokens, Gap: gap,
			})
		}
	}
	var trouble error
	for _, name := range b.options.tables {
		var err error
		switch name {
		case "whole":
			for _, n := range b.callers {
				err = errors.Join(err, b.table(ctx, fmt.Sprintf("Whole answers of 1 KB, %d callers", n), "requests/s", "request", false, closed(n)))
			}
		case "rate":
			err = b.table(ctx, fmt.Sprintf("Whole answers of 1 KB, %v requests a second at random moments", b.rate), "requests/s", "request", false,
				func(ctx context.Context, address string, round int) (*load.StreamResult, error) {
					r, err := load.Run(ctx, load.Options{
						Target: load.Target{Address: address}, Workload: load.Chat{Tokens: tokens},
						Concurrency: 512, Rate: b.rate, Duration: b.cell, First: uint64(round) << 32, // #nosec G115 -- not negative
					})
					return whole(r), err
				})
		case "streams":
			for _, n := range b.streams {
				err = errors.Join(err, b.table(ctx, fmt.Sprintf("Server-sent events, %d tokens without pause, %d streams at once", b.options.tokens, n), "streams/s", "stream", false, stream(n, 0)))
			}
		case "paced":
			err = b.table(ctx, fmt.Sprintf("Server-sent events, %d tokens 5 ms apart, %d streams at once; lag: from the server's write of a token to the caller's read", b.options.tokens, b.paced),
				"streams/s", "stream", true, stream(b.paced, 5*time.Millisecond))
		}
		trouble = errors.Join(trouble, err)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	return trouble
}

func whole(r *load.Result) *load.StreamResult {
	if r == nil {
		return nil
	}
	return &load.StreamResult{Result: *r}
}

// runner runs one round of one way.
type runner func(ctx context.Context, address string, round int) (*load.StreamResult, error)

// seen is what the rounds of one way have shown.
type seen struct {
	rate, p50, p99, cpu []float64
	memory              int64
	wrong, failed       uint64
	sample              string
}

// table measures all ways and prints the table.
func (b *bench) table(ctx context.Context, title, rate, unit string, lag bool, run runner) error {
	results := make([]seen, len(b.ways))
	for round := range b.rounds {
		for i := range b.ways {
			k := (i + round) % len(b.ways)
			w, s := b.ways[k], &results[k]
			var before time.Duration
			if w.proxy != nil {
				before = w.proxy.CPU()
			}
			r, err := run(ctx, w.address, round)
			if err != nil {
				return fmt.Errorf("%s: %w", w.name, err)
			}
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			s.add(r, lag)
			if w.proxy != nil {
				s.cpu = append(s.cpu, float64((w.proxy.CPU()-before).Microseconds())/float64(max(1, r.Latency.Count())))
				s.memory = max(s.memory, w.proxy.Memory())
			}
		}
	}
	return b.print(title, rate, unit, lag, results)
}

func (s *seen) add(r *load.StreamResult, lag bool) {
	h := &r.Latency
	if lag {
		h = &r.Lag
	}
	s.rate = append(s.rate, r.RPS())
	s.p50 = append(s.p50, float64(h.Quantile(.5)))
	s.p99 = append(s.p99, float64(h.Quantile(.99)))
	s.wrong += r.Wrong
	s.failed += r.Failures()
	if !r.Clean() {
		s.sample = r.Trouble()
	}
}

func (b *bench) print(title, rate, unit string, lag bool, results []seen) error {
	what := ""
	if lag {
		what = "lag "
	}
	t := &report.Table{Title: "\n" + title, Head: []string{"way", rate, what + "p50 ms", what + "p99 ms", "CPU µs/" + unit, "to Envoy's", "RSS MB", "wrong", "failed"}}
	envoy := 0.0
	for i, w := range b.ways {
		if w.name == "envoy" {
			envoy = report.Median(results[i].cpu)
		}
	}
	var trouble error
	for i, w := range b.ways {
		s := &results[i]
		cpu, ratio, memory := "–", "–", "–"
		if w.proxy != nil {
			cpu = fmt.Sprintf("%.1f", report.Median(s.cpu))
			memory = fmt.Sprintf("%.0f", float64(s.memory)/(1<<20))
			if envoy > 0 {
				ratio = report.Ratio(report.Median(s.cpu), envoy)
			}
		}
		t.Row(w.name, report.Rate(report.Median(s.rate)), report.Millis(time.Duration(report.Median(s.p50))), report.Millis(time.Duration(report.Median(s.p99))),
			cpu, ratio, memory, report.Count(s.wrong), report.Count(s.failed))
		if s.sample != "" {
			trouble = errors.Join(trouble, fmt.Errorf("%s: %s: %s", title, w.name, s.sample))
		}
	}
	if _, err := t.WriteTo(b.out); err != nil {
		return err
	}
	return trouble
}
