package jobs

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/fridaymesh/friday/bench/process"
	"github.com/fridaymesh/friday/bench/sidecar"
	"github.com/fridaymesh/friday/filters/jobs/store"
)

// Kills is a sidecar that is killed (SIGKILL) again and again while it runs lines.
type Kills struct {
	Group  *process.Group
	Bin    string // the folder with friday
	Lines  int
	Number int
	// Store is the file to keep jobs in; with PostgreSQL, which it is empty for, DSN is the
	// file with how the sidecar connects, and Operator that of fridayctl.
	Store, DSN, Operator string
	// Progress gets lines for a person; nil: nobody wants to know.
	Progress func(string)
}

// Outcome is what came of it.
type Outcome struct {
	// Kills is how often it was killed before the batch had ended.
	Kills int
	// Missing lines have no result, Doubled ones several.
	Missing, Doubled int
	// Asked is how often the server was asked; more than there are lines is at-least-once.
	Asked int64
}

// Run returns when the batch has ended. An error says that something was lost, or that
// the store is not whole.
func (k *Kills) Run(ctx context.Context) (o Outcome, err error) {
	server := &Server{Pause: time.Millisecond}
	if err := server.Listen(ctx); err != nil {
		return o, err
	}
	defer func() { err = errors.Join(err, server.Close()) }()
	addresses, err := process.FreeAddresses(0, 0)
	if err != nil {
		return o, err
	}
	start := func() (*sidecar.Sidecar, error) {
		name := fmt.Sprint("friday ", o.Kills)
		if k.DSN != "" {
			return sidecar.WithPostgresJobs(ctx, k.Group, k.Bin, name, server.Address(), addresses[0], addresses[1], k.DSN)
		}
		return sidecar.WithJobs(ctx, k.Group, k.Bin, name, server.Address(), addresses[0], addresses[1], k.Store)
	}
	friday, err := start()
	if err != nil {
		return o, err
	}
	transport := new(http.Transport)
	defer transport.CloseIdleConnections()
	c := &Client{Address: addresses[0], HTTP: &http.Client{Transport: transport, Timeout: 30 * time.Second}}
	file, err := c.Upload(ctx, Lines(k.Lines), "upload")
	if err != nil {
		return o, err
	}
	b, err := c.Create(ctx, file, 0, "create")
	if err != nil {
		return o, err
	}
	// Killed after equal shares of the lines, so that all kills fall into the run.
	for o.Kills < k.Number {
		due := int64(k.Lines) * int64(o.Kills+1) / int64(k.Number+1)
		for server.Answered.Load() < due {
			if err := sleep(ctx, time.Millisecond); err != nil {
				return o, fmt.Errorf("after %d kills %d of %d lines were answered: %w", o.Kills, server.Answered.Load(), k.Lines, err)
			}
		}
		if err := kill(friday.PID()); err != nil {
			return o, err
		}
		<-friday.Done()
		o.Kills++
		if friday, err = start(); err != nil {
			return o, err
		}
		if k.Progress != nil && o.Kills%10 == 0 {
			k.Progress(fmt.Sprintf("%d kills, %d of %d lines", o.Kills, server.Answered.Load(), k.Lines))
		}
	}
	if b, err = c.Await(ctx, b.ID, 20*time.Millisecond); err != nil {
		return o, err
	}
	o.Asked = server.Answered.Load()
	times, err := c.Results(ctx, b.OutputFileID, k.Lines)
	if err != nil {
		return o, fmt.Errorf("%+v: %w", b, err)
	}
	for _, n := range times {
		switch {
		case n == 0:
			o.Missing++
		case n > 1:
			o.Doubled++
		}
	}
	if err := friday.Stop(30 * time.Second); err != nil {
		return o, err
	}
	if o.Missing+o.Doubled > 0 || b.Counts.Completed != k.Lines {
		return o, fmt.Errorf("of %d lines %d have no result and %d have several; the batch says %+v", k.Lines, o.Missing, o.Doubled, b)
	}
	if k.DSN != "" {
		_, err = store.Postgres(k.Operator).Verify(ctx, "")
		return o, err
	}
	if err := store.Check(ctx, k.Store); err != nil {
		return o, err
	}
	_, err = store.Verify(ctx, k.Store, "")
	return o, err
}

// kill ends a process without a chance to say goodbye.
func kill(pid int) error {
	p, err := os.FindProcess(pid)
	if err != nil {
		return err
	}
	return p.Kill()
}
