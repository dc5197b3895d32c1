package main

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/fridaymesh/friday/bench/load"
	"github.com/fridaymesh/friday/bench/report"
	"github.com/fridaymesh/friday/bench/standin"
)

// checked sends so many requests through Friday and counts the wrong answers: the
// first half while the server answers at once, the others while a call costs 1 ms,
// so that requests are sure to meet.
func (b *bench) checked(ctx context.Context, p *pair) error {
	if b.requests == 0 {
		return nil
	}
	w, err := load.Workloads(b.protocol, 1)
	if err != nil {
		return err
	}
	total := &load.Result{}
	var means [2]float64
	for half, cost := range []time.Duration{0, time.Millisecond} {
		if err := recost(ctx, p.direct, cost); err != nil {
			return err
		}
		before, err := standin.FetchStats(ctx, p.direct)
		if err != nil {
			return err
		}
		r, err := load.Run(ctx, load.Options{
			Target: load.Target{Address: p.friday.Listen}, Workload: load.Poisoned{Workload: w, Share: b.poison},
			Concurrency: 64, Requests: b.requests/2 + uint64(half)*(b.requests%2), // #nosec G115 -- 0 or 1
			First: 1<<40 + uint64(half)*b.requests, Leave: b.leave, // #nosec G115 -- as above
		})
		if err != nil {
			return err
		}
		after, err := standin.FetchStats(ctx, p.direct)
		if err != nil {
			return err
		}
		means[half] = after.Sub(before).MeanBatch()
		total.Merge(r)
	}
	if err := recost(ctx, p.direct, 0); err != nil {
		return err
	}
	b.say("\nChecked: %s answers through Friday at 64 callers in %v (mean batch %.1f without cost, %.1f at 1 ms): %s wrong, %s failed; "+
		"%s refused, each with its own error; %s callers left before.",
		report.Count(total.Requests), total.Elapsed.Round(100*time.Millisecond), means[0], means[1],
		report.Count(total.Wrong), report.Count(total.Failures()), report.Count(total.Refused), report.Count(total.Left))
	if !total.Clean() {
		return fmt.Errorf("checked answers: %s", total.Trouble())
	}
	return nil
}

// recost changes what a call costs the stand-in at address.
func recost(ctx context.Context, address string, fixed time.Duration) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+address+"/cost?fixed="+fixed.String(), nil)
	if err != nil {
		return fmt.Errorf("cost: %w", err)
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("cost: %w", err)
	}
	if err := resp.Body.Close(); err != nil {
		return fmt.Errorf("cost: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("cost: status %d", resp.StatusCode)
	}
	return nil
}
