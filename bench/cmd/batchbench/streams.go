package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/fridaymesh/friday/bench/load"
	"github.com/fridaymesh/friday/bench/report"
)

// streaming is the table of server-sent events.
func (b *bench) streaming(ctx context.Context, p *pair) error {
	const tokens, gap = 50, 5 * time.Millisecond
	t := &report.Table{
		Title: fmt.Sprintf("\nStreams of %d tokens, %v apart; lag: from the server's write of a token to the caller's read of it", tokens, gap),
		Head:  []string{"streams", "way", "tokens", "first p50 ms", "first p99 ms", "lag p50 ms", "lag p99 ms", "added p50", "added p99", "wrong", "failed", "Friday's CPU µs/stream"},
	}
	var trouble error
	for _, n := range b.streams {
		var results [2]load.StreamResult
		var sides [2]side
		for round := range b.rounds {
			for i := range results {
				k := (i + round) % 2
				address := p.direct
				if k == 1 {
					address = p.friday.Listen
				}
				cpu := p.friday.CPU()
				r, err := load.Streams(ctx, load.StreamOptions{
					Target: load.Target{Address: address}, Concurrency: n, Tokens: tokens, Gap: gap,
					Duration: b.options.cell / time.Duration(2*b.rounds),
				})
				if err != nil {
					return err
				}
				if ctx.Err() != nil {
					return context.Cause(ctx)
				}
				results[k].Merge(r)
				if k == 1 {
					sides[k].cpu += p.friday.CPU() - cpu
				}
			}
		}
		for i := range results {
			r := &results[i]
			way, added50, added99 := "direct", "", ""
			if i == 1 {
				way = "Friday"
				added50 = report.Millis(r.Lag.Quantile(.5) - results[0].Lag.Quantile(.5))
				added99 = report.Millis(r.Lag.Quantile(.99) - results[0].Lag.Quantile(.99))
			}
			t.Row(strconv.Itoa(n), way, report.Count(r.Chunks),
				report.Millis(r.FirstChunk.Quantile(.5)), report.Millis(r.FirstChunk.Quantile(.99)),
				report.Millis(r.Lag.Quantile(.5)), report.Millis(r.Lag.Quantile(.99)),
				added50, added99, report.Count(r.Wrong), report.Count(r.Failures()), sides[i].perRequest(&r.Result))
			if !r.Clean() && trouble == nil {
				trouble = fmt.Errorf("%d streams, %s: %s", n, way, r.Trouble())
			}
		}
		t.Rule()
	}
	if _, err := t.WriteTo(b.out); err != nil {
		return err
	}
	return trouble
}
