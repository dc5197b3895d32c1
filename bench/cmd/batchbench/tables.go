package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strconv"
	"time"

	"github.com/fridaymesh/friday/bench/load"
	"github.com/fridaymesh/friday/bench/process"
	"github.com/fridaymesh/friday/bench/report"
	"github.com/fridaymesh/friday/bench/sidecar"
	"github.com/fridaymesh/friday/bench/standin"
)

// bench is one run.
type bench struct {
	*options
	bin   string
	group *process.Group
	out   io.Writer
}

func (b *bench) say(format string, args ...any) {
	_, _ = fmt.Fprintf(b.out, format+"\n", args...)
}

// pair is a stand-in and a Friday in front of it, and KServe's agent where it is asked
// for.
type pair struct {
	server *process.Process
	direct string
	friday *sidecar.Sidecar
	agent  string // where it listens; empty: there is none
}

func (b *bench) start(ctx context.Context, name string, fixed, perItem time.Duration) (*pair, error) {
	addresses, err := process.FreeAddresses(0, 0, 0, 0)
	if err != nil {
		return nil, err
	}
	p := &pair{direct: addresses[0]}
	p.server, err = b.group.Start("stand-in "+name, nil, filepath.Join(b.bin, "standin"),
		"--listen", p.direct, "--fixed", fixed.String(), "--per-item", perItem.String(), "--accelerators", strconv.Itoa(b.accelerators))
	if err != nil {
		return nil, err
	}
	if err := p.server.Await(ctx, 10*time.Second, process.OK("http://"+p.direct+"/health")); err != nil {
		return nil, err
	}
	if b.agent != "" && fixed > 0 { // there can be only one of it
		if err := b.startAgent(ctx, p, name, addresses[3]); err != nil {
			return nil, err
		}
	}
	p.friday, err = sidecar.Proxy(ctx, b.group, b.bin, "friday "+name, p.direct, addresses[1], addresses[2], b.sidecarArgs...)
	return p, err
}

// startAgent starts KServe's agent, which waits for more requests for 1 ms, the shortest
// that it knows.
func (b *bench) startAgent(ctx context.Context, p *pair, name, listen string) error {
	_, server, err := net.SplitHostPort(p.direct)
	if err != nil {
		return err
	}
	_, port, err := net.SplitHostPort(listen)
	if err != nil {
		return err
	}
	p.agent = listen
	env := []string{
		"SERVING_READINESS_PROBE={\"tcpSocket\":{\"host\":\"127.0.0.1\",\"port\":" + server + "}}",
	}
	agent, err := b.group.Start("kserve agent "+name, env, b.agent, "--enable-batcher",
		"--max-batchsize", strconv.Itoa(b.maxBatch), "--max-latency", "1", "--port", port, "--component-port", server)
	if err != nil {
		return err
	}
	return agent.Await(ctx, 10*time.Second, process.Listening(listen))
}

// side is what was counted beside one way's answers.
type side struct {
	calls, items uint64        // of the server
	cpu          time.Duration // of Friday
}

func (s *side) mean() string {
	if s.calls == 0 {
		return "–"
	}
	return fmt.Sprintf("%.1f", float64(s.items)/float64(s.calls))
}

// perRequest is Friday's processor time for each right answer, in microseconds.
func (s *side) perRequest(r *load.Result) string {
	if s.cpu == 0 || r.Latency.Count() == 0 {
		return "–"
	}
	return fmt.Sprintf("%.0f", float64(s.cpu.Microseconds())/float64(r.Latency.Count()))
}

// cell measures one number of callers over both ways.
func (b *bench) cell(ctx context.Context, p *pair, callers int) ([]*load.Result, []side, error) {
	w, err := load.Workloads(b.protocol, 1)
	if err != nil {
		return nil, nil, err
	}
	sides := make([]side, 3)
	around := func(s *side, mine bool) func(func() error) error {
		return func(run func() error) error {
			before, err := standin.FetchStats(ctx, p.direct)
			if err != nil {
				return err
			}
			cpu := p.friday.CPU()
			if err := run(); err != nil {
				return err
			}
			after, err := standin.FetchStats(ctx, p.direct)
			d := after.Sub(before)
			s.calls += d.Calls
			s.items += d.Items
			if mine {
				s.cpu += p.friday.CPU() - cpu
			}
			return err
		}
	}
	ways := []load.Way{
		{Name: "direct", Target: load.Target{Address: p.direct}, Workload: w, Around: around(&sides[0], false)},
		{Name: "Friday", Target: load.Target{Address: p.friday.Listen}, Workload: w, Around: around(&sides[1], true)},
	}
	if p.agent != "" {
		ways = append(ways, load.Way{Name: "KServe agent", Target: load.Target{Address: p.agent}, Workload: w, Around: around(&sides[2], false)})
	}
	totals, err := load.Paired(ctx, b.rounds, load.Options{Concurrency: callers, Duration: b.options.cell / time.Duration(b.rounds)}, ways...)
	return totals, sides, err
}

// optimum is the most requests a second that the cost curve allows at so many callers:
// all of them in one batch for each accelerator, as far as the limit goes.
func (b *bench) optimum(callers int) float64 {
	n := min((callers+b.accelerators-1)/b.accelerators, b.maxBatch)
	return float64(min(callers, n*b.accelerators)) / (b.fixed + time.Duration(n)*b.perItem).Seconds()
}

// batching is the table of the server with a cost.
func (b *bench) batching(ctx context.Context, p *pair) error {
	t := &report.Table{
		Title: fmt.Sprintf("\nBatching: %s, one item a request; the server runs %d call at a time, %v and %v an item", b.protocol, b.accelerators, b.fixed, b.perItem),
		Head:  []string{"callers", "way", "requests/s", "p50 ms", "p99 ms", "mean batch", "wrong", "failed", "to direct", "of optimum", "Friday's CPU µs/request"},
	}
	return b.fill(ctx, p, t, true)
}

// throughput is the table of the server without a cost.
func (b *bench) throughput(ctx context.Context, p *pair) error {
	t := &report.Table{
		Title: fmt.Sprintf("\nNothing to gain: %s, the server answers at once; what the proxy takes (server, Friday and callers share the processor)", b.protocol),
		Head:  []string{"callers", "way", "requests/s", "p50 ms", "p99 ms", "mean batch", "wrong", "failed", "to direct", "Friday's CPU µs/request"},
	}
	return b.fill(ctx, p, t, false)
}

func (b *bench) fill(ctx context.Context, p *pair, t *report.Table, optimum bool) error {
	var trouble error
	for _, callers := range b.callers {
		results, sides, err := b.cell(ctx, p, callers)
		if err != nil {
			return err
		}
		for i, r := range results {
			// The agent changes the text of large numbers; what it answered wrongly counts too.
			way, ratio, rate := []string{"direct", "Friday", "KServe agent"}[i], "", float64(r.Requests)/r.Elapsed.Seconds()
			if i > 0 {
				ratio = report.Ratio(rate, results[0].RPS())
			}
			row := []string{
				strconv.Itoa(callers), way, report.Rate(rate),
				report.Millis(r.Latency.Quantile(.5)), report.Millis(r.Latency.Quantile(.99)),
				sides[i].mean(), report.Count(r.Wrong), report.Count(r.Failures()), ratio,
			}
			if optimum {
				row = append(row, report.Percent(rate/b.optimum(callers)))
			}
			t.Row(append(row, sides[i].perRequest(r))...)
			if !r.Clean() && trouble == nil && i < 2 {
				trouble = fmt.Errorf("%s with %d callers: %s", way, callers, r.Trouble())
			}
		}
		t.Rule()
	}
	if _, err := t.WriteTo(b.out); err != nil {
		return err
	}
	return trouble
}
