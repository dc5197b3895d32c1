package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/fridaymesh/friday/bench/load"
	"github.com/fridaymesh/friday/bench/report"
)

// chunkFigures are a stream's own figures, in milliseconds.
type chunkFigures struct {
	Chunks   uint64  `json:"chunks"`
	FirstP50 float64 `json:"first_p50_ms"`
	FirstP99 float64 `json:"first_p99_ms"`
	LagP50   float64 `json:"lag_p50_ms"`
	LagP99   float64 `json:"lag_p99_ms"`
}

// streams measures streamed chats over all ways, in turn.
func (b *benchFlags) streams(ctx context.Context, callers int) ([]line, error) {
	rounds := b.rounds
	if len(b.ways) == 1 {
		rounds = 1
	}
	lines := make([]line, len(b.ways))
	for i, w := range b.ways {
		lines[i] = line{Concurrency: callers, Way: w.Name, URL: w.Target.Address, Stream: &load.StreamResult{}}
	}
	for round := range rounds {
		for i := range lines {
			k := (i + round) % len(lines)
			r, err := load.Streams(ctx, load.StreamOptions{
				Target: b.ways[k].Target, Concurrency: callers, Tokens: b.tokens, Gap: b.gap,
				Duration: b.duration / time.Duration(rounds),
				Streams:  (b.requests + uint64(rounds) - 1) / uint64(rounds), // #nosec G115 -- at least 1
			})
			if err != nil {
				return nil, err
			}
			if ctx.Err() != nil {
				return nil, context.Cause(ctx)
			}
			lines[k].Stream.Merge(r)
		}
	}
	ms := func(h *load.Histogram, q float64) float64 { return float64(h.Quantile(q)) / float64(time.Millisecond) }
	for i := range lines {
		s := lines[i].Stream
		lines[i].Result = &s.Result
		lines[i].Chunks = &chunkFigures{
			Chunks: s.Chunks, FirstP50: ms(&s.FirstChunk, .5), FirstP99: ms(&s.FirstChunk, .99),
			LagP50: ms(&s.Lag, .5), LagP99: ms(&s.Lag, .99),
		}
	}
	if len(lines) == 2 {
		lines[1].Ratio = lines[1].Result.RPS() / lines[0].Result.RPS()
	}
	return lines, nil
}

// table is what people read.
func (b *benchFlags) table(lines []line) *report.Table {
	what := fmt.Sprintf("%s, %d item(s) a request", b.protocol, b.items)
	t := &report.Table{Head: []string{"callers", "way", "requests/s", "p50 ms", "p90 ms", "p99 ms", "max ms", "requests", "wrong", "failed", "ratio"}}
	if b.protocol == protocolChat {
		what = fmt.Sprintf("streams of %d tokens, %v apart; lag: from the server's write to the caller's read", b.tokens, b.gap)
		t.Head = []string{"callers", "way", "streams/s", "first p50 ms", "first p99 ms", "lag p50 ms", "lag p99 ms", "tokens", "wrong", "failed", "ratio"}
	}
	if b.rate > 0 {
		what += fmt.Sprintf(", open loop of %s requests/s", report.Rate(b.rate))
	}
	t.Title = what
	for _, l := range lines {
		r := l.Result
		ratio := ""
		if l.Ratio > 0 {
			ratio = fmt.Sprintf("%.2f×", l.Ratio)
		}
		q, n := r.Latency.Quantile, r.Requests
		four := []string{report.Millis(q(.5)), report.Millis(q(.9)), report.Millis(q(.99)), report.Millis(r.Latency.Max())}
		if s := l.Stream; s != nil {
			four = []string{
				report.Millis(s.FirstChunk.Quantile(.5)), report.Millis(s.FirstChunk.Quantile(.99)),
				report.Millis(s.Lag.Quantile(.5)), report.Millis(s.Lag.Quantile(.99)),
			}
			n = s.Chunks
		}
		t.Row(strconv.Itoa(l.Concurrency), l.Way, report.Rate(r.RPS()), four[0], four[1], four[2], four[3],
			report.Count(n), report.Count(r.Wrong), report.Count(r.Failures()), ratio)
		if len(b.ways) == 2 && l.Way == "target" {
			t.Rule()
		}
	}
	return t
}
