package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/fridaymesh/friday/bench/load"
	"github.com/fridaymesh/friday/bench/report"
)

// holdGap is the time between two tokens of a long stream.
const holdGap = 100 * time.Millisecond

// settle is how long a state is held before it is measured.
const settle = 5 * time.Second

// holding is the table of what Friday's process holds in memory.
func (b *bench) holding(ctx context.Context) error {
	t := &report.Table{
		Title: fmt.Sprintf("\nWhat Friday holds, each line a process of its own; streams last %v, a token every %v", b.options.holdFor, holdGap),
		Head:  []string{"what", "memory MB", "most MB", "each KB", "Friday's CPU, cores", "whole", "wrong", "failed"},
	}
	err := errors.Join(b.holdIdle(ctx, t, 0), b.holdLong(ctx, t), b.holdIdle(ctx, t, b.options.holdCallers))
	_, werr := t.WriteTo(b.out)
	return errors.Join(err, werr)
}

// holdLong runs all streams at once; each token of each is checked.
func (b *bench) holdLong(ctx context.Context, t *report.Table) error {
	n := b.options.holdStreams
	p, err := b.start(ctx, "with streams", 0, 0)
	if err != nil {
		return err
	}
	empty := p.friday.Memory()
	half := make(chan int64, 1)
	timer := time.AfterFunc(b.options.holdFor/2, func() {
		half <- p.friday.Memory()
	})
	defer timer.Stop()
	cpu, start := p.friday.CPU(), time.Now()
	r, err := load.Streams(ctx, load.StreamOptions{
		Target: load.Target{Address: p.friday.Listen}, Concurrency: n, Streams: uint64(n), // #nosec G115 -- above 0
		Tokens: int(b.options.holdFor / holdGap), Gap: holdGap, Timeout: 3 * b.options.holdFor,
	})
	if err != nil {
		return err
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	cores := float64(p.friday.CPU()-cpu) / float64(time.Since(start))
	b.row(t, strconv.Itoa(n)+" streams", <-half, p, empty, n, cores,
		report.Count(r.Latency.Count()), report.Count(r.Wrong), report.Count(r.Failures()))
	b.say("%s tokens, lag p50 %s ms, p99 %s ms", report.Count(r.Chunks), report.Millis(r.Lag.Quantile(.5)), report.Millis(r.Lag.Quantile(.99)))
	if !r.Clean() {
		return fmt.Errorf("%d streams: %s", n, r.Trouble())
	}
	return nil
}

// holdIdle has callers ask once each and then nothing.
func (b *bench) holdIdle(ctx context.Context, t *report.Table, callers int) error {
	p, err := b.start(ctx, fmt.Sprintf("with %d callers", callers), 0, 0)
	if err != nil {
		return err
	}
	empty := p.friday.Memory()
	links := make([]load.Link, callers)
	target := &load.Target{Address: p.friday.Listen}
	var failed []error
	var mu sync.Mutex
	var wg sync.WaitGroup
	next := make(chan int)
	for range 32 {
		wg.Go(func() {
			for i := range next {
				links[i] = load.HTTP(target, 30*time.Second)
				body := `{"model":"` + load.Model + `","input":"caller ` + strconv.Itoa(i) + `"}`
				if _, err := links[i].Call(ctx, "/v1/embeddings", []byte("content-type: application/json\r\n"), []byte(body)); err != nil {
					mu.Lock()
					failed = append(failed, err)
					mu.Unlock()
				}
			}
		})
	}
	for i := range callers {
		next <- i
	}
	close(next)
	wg.Wait()
	defer func() {
		for _, l := range links {
			l.Close()
		}
	}()
	cpu := p.friday.CPU()
	held := time.NewTimer(settle)
	defer held.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-held.C:
	}
	cores := float64(p.friday.CPU()-cpu) / float64(settle)
	now := p.friday.Memory()
	what := strconv.Itoa(callers) + " idle callers"
	if callers == 0 {
		what = "nothing"
	}
	b.row(t, what, now, p, empty, callers, cores, "–", "–", report.Count(len(failed)))
	if len(failed) > 0 {
		return fmt.Errorf("%d of %d callers: %w", len(failed), callers, failed[0])
	}
	return nil
}

// row writes one line.
func (b *bench) row(t *report.Table, what string, now int64, p *pair, empty int64, n int, cores float64, whole, wrong, failed string) {
	peak := p.friday.PeakMemory()
	each := "–"
	if n > 0 {
		each = fmt.Sprintf("%.1f", float64(now-empty)/float64(n)/1e3)
	}
	t.Row(what, fmt.Sprintf("%.0f", float64(now)/1e6), fmt.Sprintf("%.0f", float64(peak)/1e6), each,
		fmt.Sprintf("%.3f", cores), whole, wrong, failed)
}
