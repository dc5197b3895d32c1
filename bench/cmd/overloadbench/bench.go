package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fridaymesh/friday/bench/cmd/internal/program"
	"github.com/fridaymesh/friday/bench/load"
	"github.com/fridaymesh/friday/bench/process"
	"github.com/fridaymesh/friday/bench/report"
	"github.com/fridaymesh/friday/bench/sidecar"
	"github.com/fridaymesh/friday/bench/simulate"
)

const (
	// largest is how many items there are in a call, at the most.
	largest = 32
	// leastGoodput is the share of what the server can do that is to be answered.
	leastGoodput = .95
	// small is what the small tenant asks for, in parts of what the server can do; the
	// large one asks for ten times that.
	small, large = .35, 3.5
	// mostGrowth is by how much Friday's memory may be larger at the end of a load than
	// after its first third, as a share.
	mostGrowth = .1
	// learning is how long a load lasts before it counts.
	learning = 3 * time.Second
)

// bench is one run.
type bench struct {
	*options
	bin   string
	group *process.Group
	out   io.Writer
}

func (b *bench) say(format string, args ...any) { _, _ = fmt.Fprintf(b.out, format+"\n", args...) }

// tenant is who asks for how much, in parts of what the server can do.
type tenant struct {
	name  string
	share float64
}

// overload plays the loads, one after another.
func (b *bench) overload(ctx context.Context) error {
	capacity, err := b.capacity(ctx)
	if err != nil {
		return err
	}
	t := &report.Table{
		Title: fmt.Sprintf("\nA server that can do %.0f items a second (by its settings %.0f), an objective of %v, %v each",
			capacity, simulate.Accelerator.Capacity(largest), b.objective, b.cell),
		Head: []string{"load", "asked for, times", "answers/s", "of what it can do", "p50 ms", "p99 ms", "refused", "MiB", "MiB after a third"},
	}
	var broken []error
	for _, l := range []struct {
		name    string
		tenants []tenant
	}{
		{"one tenant", []tenant{{"a", b.times}}},
		{"the small one alone", []tenant{{"small", small}}},
		{"two tenants", []tenant{{"small", small}, {"large", large}}},
	} {
		seen, err := b.play(ctx, capacity, l.tenants)
		if err != nil {
			return fmt.Errorf("%s: %w", l.name, err)
		}
		rate, asked := 0.0, 0.0
		for i, r := range seen.results {
			who := l.tenants[i]
			rate, asked = rate+r.RPS(), asked+who.share
			t.Row(l.name+": "+who.name, fmt.Sprintf("%.2f", who.share), report.Rate(r.RPS()), fmt.Sprintf("%.3f", r.RPS()/capacity),
				report.Millis(r.Latency.Quantile(.5)), report.Millis(r.Latency.Quantile(.99)), fmt.Sprint(r.Failed["503"]),
				fmt.Sprintf("%.1f", mebi(seen.last)), fmt.Sprintf("%.1f", mebi(seen.third)))
			if p99 := r.Latency.Quantile(.99); p99 > b.objective {
				broken = append(broken, fmt.Errorf("%s: %s: p99 %v is above the objective", l.name, who.name, p99))
			}
			if who.share == small && r.RPS() < leastGoodput*small*capacity {
				broken = append(broken, fmt.Errorf("%s: the small tenant got %.3f of its %v", l.name, r.RPS()/capacity, small))
			}
		}
		if asked > 1 && rate < leastGoodput*capacity {
			broken = append(broken, fmt.Errorf("%s: goodput %.3f is below %v", l.name, rate/capacity, leastGoodput))
		}
		if asked > 1 && float64(seen.last) > (1+mostGrowth)*float64(seen.third) {
			broken = append(broken, fmt.Errorf("%s: memory grew from %.1f to %.1f MiB", l.name, mebi(seen.third), mebi(seen.last)))
		}
	}
	b.say("%s", t)
	return program.Figures(broken...)
}

// capacity is how many items a second the server does on this machine when nobody but it has
// anything to do: asked directly, in the largest calls that Friday makes, with one always waiting.
func (b *bench) capacity(ctx context.Context) (float64, error) {
	server, address, err := b.server(ctx)
	if err != nil {
		return 0, err
	}
	defer server.Kill()
	r, err := load.Run(ctx, load.Options{
		Target: load.Target{Address: address}, Workload: load.Embeddings{Items: largest}, Concurrency: 2, Duration: b.cell / 2,
	})
	switch {
	case err != nil:
		return 0, err
	case ctx.Err() != nil:
		return 0, context.Cause(ctx)
	case !r.Clean():
		return 0, errors.New(r.Trouble())
	}
	return largest * r.RPS(), nil
}

func mebi(n int64) float64 { return float64(n) / (1 << 20) }

// seen is what a load has shown: of each tenant, and of Friday's memory.
type seen struct {
	results     []*load.Result
	third, last int64
}

// play plays one load before a Friday and a server of its own.
func (b *bench) play(ctx context.Context, capacity float64, tenants []tenant) (*seen, error) {
	friday, err := b.start(ctx)
	if err != nil {
		return nil, err
	}
	defer friday.Kill()
	if _, err := b.load(ctx, friday, capacity, tenants, learning, 0); err != nil {
		return nil, err
	}
	var third atomic.Int64
	timer := time.AfterFunc(b.cell/3, func() { third.Store(friday.Memory()) })
	defer timer.Stop()
	results, err := b.load(ctx, friday, capacity, tenants, b.cell, 1<<32)
	return &seen{results, third.Load(), friday.Memory()}, err
}

// load has all tenants ask at the same time.
func (b *bench) load(ctx context.Context, friday *sidecar.Sidecar, capacity float64, tenants []tenant, long time.Duration, first uint64) ([]*load.Result, error) {
	results, errs := make([]*load.Result, len(tenants)), make([]error, len(tenants))
	var wg sync.WaitGroup
	for i, t := range tenants {
		wg.Go(func() {
			results[i], errs[i] = load.Run(ctx, load.Options{
				Target:   load.Target{Address: friday.Listen, Header: []string{"x-tenant: " + t.name}},
				Workload: load.Embeddings{Items: 1}, Concurrency: b.callers, Rate: t.share * capacity, Duration: long,
				First: first + uint64(i)<<40, // #nosec G115 -- not negative
			})
		})
	}
	wg.Wait()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	for i, r := range results {
		if errs[i] == nil && (r.Wrong > 0 || r.Failures() > r.Failed["503"]) {
			errs[i] = errors.New(r.Trouble())
		}
	}
	return results, errors.Join(errs...)
}

// server starts a stand-in.
func (b *bench) server(ctx context.Context) (*process.Process, string, error) {
	addresses, err := process.FreeAddresses(0)
	if err != nil {
		return nil, "", err
	}
	p, err := b.group.Start("stand-in", nil, filepath.Join(b.bin, "standin"),
		"--listen", addresses[0], "--dimensions", "16", "--fixed", "10ms", "--per-item", "500us")
	if err != nil {
		return nil, "", err
	}
	return p, addresses[0], p.Await(ctx, 10*time.Second, process.OK("http://"+addresses[0]+"/health"))
}

func (b *bench) start(ctx context.Context) (*sidecar.Sidecar, error) {
	_, upstream, err := b.server(ctx)
	if err != nil {
		return nil, err
	}
	addresses, err := process.FreeAddresses(0, 0)
	if err != nil {
		return nil, err
	}
	return sidecar.Admitting(ctx, b.group, b.bin, "friday", upstream, addresses[0], addresses[1],
		fmt.Sprintf(`{"latencyObjective":"%.3fs","tenantHeader":"x-tenant"}`, b.objective.Seconds()), "--drain-timeout", "1s")
}
