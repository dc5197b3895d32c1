package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strconv"
	"time"

	"github.com/fridaymesh/friday/bench/cmd/internal/program"
	"github.com/fridaymesh/friday/bench/exposition"
	"github.com/fridaymesh/friday/bench/load"
	"github.com/fridaymesh/friday/bench/process"
	"github.com/fridaymesh/friday/bench/report"
	"github.com/fridaymesh/friday/bench/sidecar"
)

// mostCPU is what a hit may take, in parts of what passes takes.
const mostCPU = 1.3

// bench is one run.
type bench struct {
	*options
	bin   string
	group *process.Group
	out   io.Writer
}

func (b *bench) say(format string, args ...any) { _, _ = fmt.Fprintf(b.out, format+"\n", args...) }

// server starts a stand-in and returns its address.
func (b *bench) server(ctx context.Context, args ...string) (string, error) {
	addresses, err := process.FreeAddresses(0)
	if err != nil {
		return "", err
	}
	p, err := b.group.Start("stand-in", nil, filepath.Join(b.bin, "standin"),
		append([]string{"--listen", addresses[0], "--dimensions", strconv.Itoa(b.dims), "--per-item", "0", "--gap", "0"}, args...)...)
	if err != nil {
		return "", err
	}
	return addresses[0], p.Await(ctx, 10*time.Second, process.OK("http://"+addresses[0]+"/health"))
}

// plain starts a Friday without a cache, cached one with it.
func (b *bench) plain(ctx context.Context, upstream string) (*sidecar.Sidecar, error) {
	addresses, err := process.FreeAddresses(0, 0)
	if err != nil {
		return nil, err
	}
	return sidecar.Unbatched(ctx, b.group, b.bin, "plain", upstream, addresses[0], addresses[1])
}

func (b *bench) cached(ctx context.Context, upstream, settings string) (*sidecar.Sidecar, error) {
	addresses, err := process.FreeAddresses(0, 0)
	if err != nil {
		return nil, err
	}
	return sidecar.Cached(ctx, b.group, b.bin, "cached", upstream, addresses[0], addresses[1], settings)
}

func metric(ctx context.Context, s *sidecar.Sidecar, name string) (float64, error) {
	text, err := process.Get(ctx, "http://"+s.Admin+"/metrics")
	if err != nil {
		return 0, err
	}
	return exposition.Sum(string(text), name), nil
}

// seen is what the rounds of one way have shown.
type seen struct{ rate, p50, p99, most, cpu, quick []float64 }

// once measures one round of one way. An answer that is wrong or missing is an error.
func (s *seen) once(ctx context.Context, friday *sidecar.Sidecar, o load.Options) error {
	o.Target = load.Target{Address: friday.Listen}
	quick, all, err := quickly(ctx, friday)
	if err != nil {
		return err
	}
	before := friday.CPU()
	r, err := load.Run(ctx, o)
	if err != nil {
		return err
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if !r.Clean() {
		return errors.New(r.Trouble())
	}
	s.rate = append(s.rate, r.RPS())
	s.p50 = append(s.p50, float64(r.Latency.Quantile(.5)))
	s.p99 = append(s.p99, float64(r.Latency.Quantile(.99)))
	s.most = append(s.most, float64(r.Latency.Quantile(1)))
	s.cpu = append(s.cpu, float64((friday.CPU()-before).Microseconds())/float64(r.Latency.Count()))
	quickThen, allThen, err := quickly(ctx, friday)
	s.quick = append(s.quick, (quickThen-quick)/(allThen-all))
	return err
}

// quickly is how many requests a Friday itself has answered within a millisecond, from
// the request's head to the last byte of its answer, and how many in all.
func quickly(ctx context.Context, s *sidecar.Sidecar) (quick, all float64, err error) {
	text, err := process.Get(ctx, "http://"+s.Admin+"/metrics")
	const name = "friday_request_seconds"
	return exposition.Sum(string(text), name+"_bucket", `le="0.001"`), exposition.Sum(string(text), name+"_count"), err
}

func (s *seen) row(t *report.Table, name string, more ...string) {
	t.Row(append([]string{
		name, report.Rate(report.Median(s.rate)), report.Millis(time.Duration(report.Median(s.p50))), report.Millis(time.Duration(report.Median(s.p99))),
		fmt.Sprintf("%.1f", report.Median(s.cpu)),
	}, more...)...)
}

// hits compares hits with what passes: as many as callers without a pause can ask for,
// which uses the machine up, and at moments at random, at a rate that does not.
func (b *bench) hits(ctx context.Context) error {
	upstream, err := b.server(ctx, "--fixed", "0")
	if err != nil {
		return err
	}
	plain, err := b.plain(ctx, upstream)
	if err != nil {
		return err
	}
	cached, err := b.cached(ctx, upstream, `{"determinism":"ANY"}`)
	if err != nil {
		return err
	}
	var trouble error
	for _, w := range []struct {
		name string
		load.Workload
	}{
		{"embeddings", load.Repeat{Workload: load.Embeddings{Items: 1}, Of: 1000}},
		{"embeddings of 10 texts", load.Repeat{Workload: load.Embeddings{Items: 10}, Of: 1000}},
		{"chat", load.Repeat{Workload: load.Chat{Tokens: 160}, Of: 1000}},
	} {
		fill := new(seen)
		if err := fill.once(ctx, cached, load.Options{Workload: w, Concurrency: b.callers, Requests: 1000}); err != nil {
			return err
		}
		calls, err := metric(ctx, cached, "friday_upstream_requests_total")
		if err != nil {
			return err
		}
		var passes, hits, pacedPasses, pacedHits seen
		for range b.rounds {
			o := load.Options{Workload: w, Concurrency: b.callers, Duration: b.cell}
			err := errors.Join(passes.once(ctx, plain, o), hits.once(ctx, cached, o))
			o.Rate = b.hitRate
			if err = errors.Join(err, pacedPasses.once(ctx, plain, o), pacedHits.once(ctx, cached, o)); err != nil {
				return fmt.Errorf("%s: %w", w.name, err)
			}
		}
		after, err := metric(ctx, cached, "friday_upstream_requests_total")
		if err != nil {
			return err
		}
		t := &report.Table{
			Title: fmt.Sprintf("\nHits, %s, %d callers, medians of %d rounds of %v each", w.name, b.callers, b.rounds, b.cell),
			Head:  []string{"way", "requests/s", "p50 ms", "p99 ms", "CPU µs/request", "to passing", "within 1 ms in Friday"},
		}
		more := func(s, passes *seen) []string {
			return []string{fmt.Sprintf("%.2f", report.Median(s.cpu)/report.Median(passes.cpu)), report.Percent(report.Median(s.quick))}
		}
		passes.row(t, "passing", more(&passes, &passes)...)
		hits.row(t, "hits", more(&hits, &passes)...)
		pacedPasses.row(t, "passing, paced", more(&pacedPasses, &pacedPasses)...)
		pacedHits.row(t, "hits, paced", more(&pacedHits, &pacedPasses)...)
		b.say("%s", t)
		if after != calls {
			trouble = errors.Join(trouble, fmt.Errorf("%s: %v requests were no hits", w.name, after-calls))
		}
		if ratio := report.Median(hits.cpu) / report.Median(passes.cpu); ratio > mostCPU {
			trouble = errors.Join(trouble, fmt.Errorf("%s: a hit takes %.2f times the processor time of what passes", w.name, ratio))
		}
	}
	return program.Figures(trouble)
}

// life asks for 10,000 texts as they are asked for in life.
func (b *bench) life(ctx context.Context) error {
	const texts, requests = 10_000, 20_000
	upstream, err := b.server(ctx, "--fixed", "1ms", "--accelerators", "64")
	if err != nil {
		return err
	}
	cached, err := b.cached(ctx, upstream, "{}")
	if err != nil {
		return err
	}
	z := load.Zipf{Workload: load.Embeddings{Items: 1}, Texts: texts, S: 1.1}
	distinct := map[uint64]bool{}
	for n := range uint64(requests) {
		distinct[z.Text(n)] = true
	}
	if err := new(seen).once(ctx, cached, load.Options{Workload: z, Concurrency: b.callers, Requests: requests}); err != nil {
		return err
	}
	var values [3]float64
	for i, name := range []string{"friday_upstream_requests_total", "friday_cache_bytes", "friday_cache_lookups_total"} {
		if values[i], err = metric(ctx, cached, name); err != nil {
			return err
		}
	}
	t := &report.Table{
		Title: fmt.Sprintf("\n%d requests for %d texts, Zipf 1.1, %d callers", requests, texts, b.callers),
		Head:  []string{"distinct", "asked of the server", "answered without it", "MiB kept"},
	}
	t.Row(strconv.Itoa(len(distinct)), fmt.Sprintf("%.0f", values[0]), report.Percent(1-values[0]/values[2]), fmt.Sprintf("%.1f", values[1]/(1<<20)))
	b.say("%s", t)
	if int(values[0]) != len(distinct) {
		return program.Figures(fmt.Errorf("%d distinct texts were asked of the server %.0f times", len(distinct), values[0]))
	}
	return nil
}
