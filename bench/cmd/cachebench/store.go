package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/fridaymesh/friday/bench/load"
	"github.com/fridaymesh/friday/bench/realserver"
	"github.com/fridaymesh/friday/bench/report"
	"github.com/fridaymesh/friday/bench/sidecar"
)

// storeServer is what answers take where nothing is known: 5 ms, as many at once as come.
var storeServer = []string{"--fixed", "5ms", "--accelerators", "512"} //nolint:gochecknoglobals // a constant

// store compares five ways for texts of which none is known, at moments at random: no
// cache, no cache while a store that it does not use is killed and begun again every
// second, a shared store, one that is killed so, and one that is killed once a round. The
// second says what the kills cost whoever is on the machine.
func (b *bench) store(ctx context.Context) error {
	redis, err := realserver.PrepareRedis(ctx, func(line string) { b.say("%s", line) })
	if errors.Is(err, realserver.ErrUnavailable) {
		b.say("left out: %v", err)
		return nil
	}
	if err != nil {
		return err
	}
	upstream, err := b.server(ctx, storeServer...)
	if err != nil {
		return err
	}
	running, err := redis.Start(ctx, b.group, "")
	if err != nil {
		return err
	}
	plain, err := b.plain(ctx, upstream)
	if err != nil {
		return err
	}
	cached, err := b.cached(ctx, upstream, fmt.Sprintf(`{"shared":{"address":%q}}`, running.Address))
	if err != nil {
		return err
	}
	k := &killer{bench: b, program: redis, server: running}
	var none, beside, well, once, killed seen
	for round := range b.rounds {
		o := load.Options{
			Workload: load.Embeddings{Items: 1}, Concurrency: 512, Rate: b.rate, Duration: b.cell,
			First: uint64(4*round+1) << 32, // #nosec G115 -- not negative
		}
		if err := none.once(ctx, plain, o); err != nil {
			return fmt.Errorf("no cache: %w", err)
		}
		stop := k.begin(ctx, time.Second)
		err := beside.once(ctx, plain, o)
		if err := errors.Join(err, stop()); err != nil {
			return fmt.Errorf("no cache, a store killed beside it: %w", err)
		}
		if err := b.up(ctx, cached); err != nil {
			return err
		}
		if err := well.once(ctx, cached, o); err != nil {
			return fmt.Errorf("a store: %w", err)
		}
		for _, way := range []struct {
			seen  *seen
			every time.Duration
		}{{&once, b.cell/2 + time.Millisecond}, {&killed, time.Second}} {
			o.First += 1 << 32 // unknown ones
			stop = k.begin(ctx, way.every)
			err = way.seen.once(ctx, cached, o)
			if err := errors.Join(err, stop()); err != nil {
				return fmt.Errorf("a store that is killed: %w", err)
			}
			if err := b.up(ctx, cached); err != nil {
				return err
			}
		}
	}
	version, err := redis.Version(ctx)
	if err != nil {
		return err
	}
	t := &report.Table{
		Title: fmt.Sprintf("\nA shared store (%.30s), %.0f requests a second at random moments, none known, medians of %d rounds of %v each", version, b.rate, b.rounds, b.cell),
		Head:  []string{"way", "requests/s", "p50 ms", "p99 ms", "CPU µs/request", "p99 to no cache, ms", "longest ms", "errors"},
	}
	more := func(s *seen) []string {
		return []string{fmt.Sprintf("%+.2f", (report.Median(s.p99)-report.Median(none.p99))/float64(time.Millisecond)), report.Millis(time.Duration(slices.Max(s.most))), "0"}
	}
	none.row(t, "no cache", more(&none)...)
	beside.row(t, "no cache, a store killed beside it", more(&beside)...)
	well.row(t, "a store", more(&well)...)
	once.row(t, "a store that is killed once", more(&once)...)
	killed.row(t, "a store that is killed every second", more(&killed)...)
	b.say("%s\nkilled %d times in all", t, k.killed)
	return nil
}

// up waits until the store is used.
func (b *bench) up(ctx context.Context, s *sidecar.Sidecar) error {
	return s.Await(ctx, time.Minute, func(ctx context.Context) error {
		v, err := metric(ctx, s, "friday_cache_shared_up")
		if err == nil && v != 1 {
			err = errors.New("the shared store is not used")
		}
		return err
	})
}

// killer kills a store and begins it again.
type killer struct {
	*bench
	program *realserver.Redis
	server  *realserver.Server
	killed  int
}

// begin does it again and again until what it returns is called; then the store runs.
func (k *killer) begin(ctx context.Context, every time.Duration) (stop func() error) {
	ended := make(chan struct{})
	var trouble error
	var running sync.WaitGroup
	running.Go(func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-ended:
				return
			case <-tick.C:
			}
			k.server.Kill()
			k.killed++
			if k.server, trouble = k.program.Start(ctx, k.group, k.server.Address); trouble != nil {
				return
			}
		}
	})
	return func() error {
		close(ended)
		running.Wait()
		return trouble
	}
}
