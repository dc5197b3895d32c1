package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/fridaymesh/friday/bench/cmd/internal/program"
	"github.com/fridaymesh/friday/bench/exposition"
	"github.com/fridaymesh/friday/bench/load"
	"github.com/fridaymesh/friday/bench/process"
	"github.com/fridaymesh/friday/bench/report"
	"github.com/fridaymesh/friday/bench/sidecar"
	"github.com/fridaymesh/friday/bench/simulate"
)

// bench is one run.
type bench struct {
	*options
	bin   string
	group *process.Group
	out   io.Writer

	friday *sidecar.Sidecar
	admin  string
	sent   uint64 // requests of the first load so far
}

func (b *bench) say(format string, args ...any) { _, _ = fmt.Fprintf(b.out, format+"\n", args...) }

// look is what was seen at one moment. Sizes are in MiB.
type look struct {
	at                          time.Duration // since the load began
	anonymous, mapped           float64       // of the resident set: what is the process's own, what is files'
	heap, free, stacks          float64       // Go's: in use, kept for later, of goroutines
	goroutines, descriptors     float64
	p50, p99                    float64 // ms, of the single texts since the look before
	answers, refused, leftAlone uint64
}

// soak is the whole run.
func (b *bench) soak(ctx context.Context) error {
	if err := b.start(ctx); err != nil {
		return err
	}
	began := time.Now()
	warm, all := minutes(b.warm), minutes(b.warm+b.minutes)
	var looks []look
	var sum load.Result
	for time.Since(began) < all {
		r, err := b.play(ctx)
		if err != nil {
			return err
		}
		sum.Merge(r)
		l, err := b.look(ctx)
		if err != nil {
			return err
		}
		l.at = time.Since(began)
		l.p50, l.p99 = millis(r.Latency.Quantile(.5)), millis(r.Latency.Quantile(.99))
		l.answers, l.refused, l.leftAlone = r.Requests, r.Refused, r.Left
		if l.at > warm {
			looks = append(looks, l)
		}
	}
	b.say("%s requests were answered, %s refused as they had to be, %s callers left; wrong: %d, failed: %d %s",
		report.Count(sum.Requests), report.Count(sum.Refused), report.Count(sum.Left), sum.Wrong, sum.Failures(), sum.Trouble())
	if err := b.keep(looks); err != nil {
		return err
	}
	var broken []error
	if sum.Wrong > 0 || sum.Failures() > 0 {
		broken = append(broken, errors.New(sum.Trouble()))
	}
	return program.Figures(append(broken, b.judge(looks)...)...)
}

func minutes(m float64) time.Duration { return time.Duration(m * float64(time.Minute)) }

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// start starts the server and the Friday.
func (b *bench) start(ctx context.Context) error {
	addresses, err := process.FreeAddresses(0, 0, 0)
	if err != nil {
		return err
	}
	server, err := b.group.Start("stand-in", nil, filepath.Join(b.bin, "standin"),
		"--listen", addresses[0], "--dimensions", "64", "--fixed", "10ms", "--per-item", "500us")
	if err != nil {
		return err
	}
	if err := server.Await(ctx, 10*time.Second, process.OK("http://"+addresses[0]+"/health")); err != nil {
		return err
	}
	b.admin = addresses[2]
	b.friday, err = sidecar.CachedProxy(ctx, b.group, b.bin, "friday", addresses[0], addresses[1], addresses[2], `{"maxBytes":"16777216"}`)
	return err
}

// play makes all loads until it is time to look; what it returns is of the first.
func (b *bench) play(ctx context.Context) (*load.Result, error) {
	capacity := simulate.Accelerator.Capacity(32) * b.share
	target := load.Target{Address: b.friday.Listen}
	texts := load.Embeddings{Items: 1}
	loads := []load.Options{
		{Workload: load.Poisoned{Workload: texts, Share: .001}, Rate: .6 * capacity, Leave: .01},
		{Workload: load.Embeddings{Items: 10}, Rate: .03 * capacity},
		{Workload: load.Zipf{Workload: texts, Texts: 20000, S: 1.1}, Rate: .2 * capacity},
	}
	results, errs := make([]*load.Result, len(loads)+1), make([]error, len(loads)+1)
	var ended sync.WaitGroup
	for i, o := range loads {
		o.Target, o.Concurrency, o.Duration = target, 256, b.every
		o.First = uint64(i+1)<<40 + b.sent // #nosec G115 -- not negative
		ended.Go(func() { results[i], errs[i] = load.Run(ctx, o) })
	}
	ended.Go(func() {
		r, err := load.Streams(ctx, load.StreamOptions{Target: target, Concurrency: 16, Duration: b.every, Tokens: 50, Gap: 20 * time.Millisecond})
		if err == nil {
			results[len(loads)] = &r.Result
		}
		errs[len(loads)] = err
	})
	ended.Wait()
	if err := errors.Join(errors.Join(errs...), context.Cause(ctx)); err != nil {
		return nil, err
	}
	first := results[0]
	b.sent += uint64(2 * capacity * b.every.Seconds()) // more than were sent
	for _, r := range results[1:] {
		r.Latency = load.Histogram{} // the figure is of the single texts
		first.Merge(r)
	}
	return first, nil
}

// look looks at the process from outside and from inside.
func (b *bench) look(ctx context.Context) (look, error) {
	status, err := os.ReadFile("/proc/" + strconv.Itoa(b.friday.PID()) + "/status")
	if err != nil {
		return look{}, err
	}
	page, err := process.Get(ctx, "http://"+b.admin+"/metrics")
	if err != nil {
		return look{}, err
	}
	sum := func(name string) float64 { return exposition.Sum(string(page), name) }
	const mebi = 1 << 20
	return look{
		anonymous: kibi(string(status), "RssAnon:") / 1024, mapped: kibi(string(status), "RssFile:") / 1024,
		heap: sum("go_memstats_heap_inuse_bytes") / mebi, stacks: sum("go_memstats_stack_inuse_bytes") / mebi,
		free:       (sum("go_memstats_heap_idle_bytes") - sum("go_memstats_heap_released_bytes")) / mebi,
		goroutines: sum("go_goroutines"), descriptors: sum("process_open_fds"),
	}, nil
}

// kibi is a line of /proc/PID/status, in KiB (proc(5)); 0 where there is none.
func kibi(status, name string) float64 {
	for line := range strings.Lines(status) {
		if rest, ok := strings.CutPrefix(line, name); ok {
			if fields := strings.Fields(rest); len(fields) > 0 {
				v, _ := strconv.ParseFloat(fields[0], 64)
				return v
			}
		}
	}
	return 0
}
