package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/fridaymesh/friday/bench/jobs"
	"github.com/fridaymesh/friday/bench/process"
	"github.com/fridaymesh/friday/bench/realserver"
	"github.com/fridaymesh/friday/bench/report"
	"github.com/fridaymesh/friday/bench/sidecar"
	"github.com/fridaymesh/friday/filters/jobs/store"
)

// bench is one run.
type bench struct {
	*options

	out      io.Writer
	bin, dir string
	group    *process.Group
	database *realserver.RunningPostgres // nil: files
}

// patience bounds each part.
const patience = 10 * time.Minute

// with runs f beside a sidecar with a store of its own.
func (b *bench) with(ctx context.Context, name string, f func(context.Context, *jobs.Client, *sidecar.Sidecar) error) (err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	server := new(jobs.Server)
	if err := server.Listen(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Close()) }()
	addresses, err := process.FreeAddresses(0, 0)
	if err != nil {
		return err
	}
	path := filepath.Join(b.dir, name+".db")
	var friday *sidecar.Sidecar
	check := func() error { return store.Check(ctx, path) }
	if b.database == nil {
		friday, err = sidecar.WithJobs(ctx, b.group, b.bin, name, server.Address(), addresses[0], addresses[1], path)
	} else {
		dsn, operator, failed := jobs.Database(ctx, b.database, name, b.group.File)
		if failed != nil {
			return failed
		}
		friday, err = sidecar.WithPostgresJobs(ctx, b.group, b.bin, name, server.Address(), addresses[0], addresses[1], dsn)
		check = func() error {
			_, err := store.Postgres(operator).Verify(ctx, "")
			return err
		}
	}
	if err != nil {
		return err
	}
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	defer transport.CloseIdleConnections()
	c := &jobs.Client{Address: friday.Listen, HTTP: &http.Client{Transport: transport, Timeout: time.Minute}}
	if err := f(ctx, c, friday); err != nil {
		return err
	}
	return errors.Join(friday.Stop(30*time.Second), check())
}

// creation measures how long a caller waits for POST /v1/batches.
func (b *bench) creation(ctx context.Context) error {
	return b.with(ctx, "creation", func(ctx context.Context, c *jobs.Client, _ *sidecar.Sidecar) error {
		file, err := c.Upload(ctx, jobs.Lines(1), "one line")
		if err != nil {
			return err
		}
		table := &report.Table{Title: "Creating batches of one line, which run meanwhile", Head: []string{"callers", "batches", "p50", "p99", "slowest", "completed"}}
		for round, callers := range []int{1, 50} {
			times, ids, err := b.create(ctx, c, file, callers, round*1_000_000)
			if err != nil {
				return err
			}
			done := 0
			for _, id := range ids {
				got, err := c.Await(ctx, id, 10*time.Millisecond)
				if err != nil {
					return err
				}
				if got.Status == "completed" && got.Counts.Completed == 1 {
					done++
				}
			}
			slices.Sort(times)
			at := func(q float64) string {
				return times[int(q*float64(len(times)-1))].Round(10 * time.Microsecond).String()
			}
			table.Row(strconv.Itoa(callers), strconv.Itoa(len(times)), at(.5), at(.99), at(1), strconv.Itoa(done))
		}
		_, err = fmt.Fprintln(b.out, table)
		return err
	})
}

func (b *bench) create(ctx context.Context, c *jobs.Client, file string, callers, from int) (times []time.Duration, ids []string, err error) {
	var wg sync.WaitGroup
	var mu sync.Mutex
	next := from
	for range callers {
		wg.Go(func() {
			for {
				mu.Lock()
				n := next
				next++
				mu.Unlock()
				if n >= from+b.creates {
					return
				}
				begin := time.Now()
				made, failed := c.Create(ctx, file, n, "")
				took := time.Since(begin)
				mu.Lock()
				times, ids, err = append(times, took), append(ids, made.ID), errors.Join(err, failed)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return times, ids, err
}

// most is how many lines a batch may have.
const most = 50_000

// throughput measures full batches, from their creation to their end.
func (b *bench) throughput(ctx context.Context) error {
	return b.with(ctx, "throughput", func(ctx context.Context, c *jobs.Client, friday *sidecar.Sidecar) error {
		var files []string
		for left := b.lines; left > 0; left -= most {
			file, err := c.Upload(ctx, jobs.Lines(min(left, most)), "upload "+strconv.Itoa(left))
			if err != nil {
				return err
			}
			files = append(files, file)
		}
		begin, cpu := time.Now(), friday.CPU()
		var ids []string
		for i, file := range files {
			made, err := c.Create(ctx, file, i, "")
			if err != nil {
				return err
			}
			ids = append(ids, made.ID)
		}
		done := 0
		for _, id := range ids {
			got, err := c.Await(ctx, id, 20*time.Millisecond)
			if err != nil {
				return err
			}
			done += got.Counts.Completed
		}
		took, used := time.Since(begin), friday.CPU()-cpu
		if done != b.lines {
			return fmt.Errorf("%d of %d lines completed", done, b.lines)
		}
		table := &report.Table{Title: "Full batches before a server that costs nothing, validation and output included", Head: []string{"lines", "time", "lines/s", "processor time a line", "most memory"}}
		table.Row(strconv.Itoa(done), took.Round(10*time.Millisecond).String(), strconv.Itoa(int(float64(done)/took.Seconds())),
			(used / time.Duration(done)).Round(time.Microsecond).String(), strconv.FormatInt(friday.PeakMemory()>>20, 10)+" MiB")
		_, err := fmt.Fprintln(b.out, table)
		return err
	})
}

// killing kills the sidecar while it runs lines.
func (b *bench) killing(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 6*patience)
	defer cancel()
	begin := time.Now()
	k := jobs.Kills{
		Group: b.group, Bin: b.bin, Lines: b.killed, Number: b.kills, Store: filepath.Join(b.dir, "killing.db"),
		Progress: func(s string) { _, _ = fmt.Fprintln(b.out, s) },
	}
	if b.database != nil {
		var err error
		if k.DSN, k.Operator, err = jobs.Database(ctx, b.database, "killing", b.group.File); err != nil {
			return err
		}
	}
	o, err := k.Run(ctx)
	if err != nil {
		return err
	}
	table := &report.Table{Title: "kill -9 while a batch runs", Head: []string{"lines", "kills", "missing", "doubled", "server asked", "store", "time"}}
	table.Row(strconv.Itoa(b.killed), strconv.Itoa(o.Kills), strconv.Itoa(o.Missing), strconv.Itoa(o.Doubled), strconv.FormatInt(o.Asked, 10), "whole", time.Since(begin).Round(time.Second).String())
	_, err = fmt.Fprintln(b.out, table)
	return err
}
