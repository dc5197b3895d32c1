package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/fridaymesh/friday/filters/jobs/store"
)

const (
	// carers is how many jobs are validated or put together at once.
	carers = 8
	// addedLines is how many lines are taken in together, and outputLines are put out: so
	// few that nobody else who writes waits long.
	addedLines, addedBytes = 250, 1 << 20
	outputLines            = 500
)

// care has the carers look for jobs.
func (w *worker) care() {
	for range carers {
		select {
		case w.caring <- struct{}{}:
		default:
			return
		}
	}
}

// careFor takes care of whole jobs, until the state is closed.
func (w *worker) careFor(st *store.Store) {
	tick := time.NewTicker(w.poll)
	defer tick.Stop()
	for w.ctx.Err() == nil {
		c, err := st.Take(w.ctx, w.origin, time.Now(), w.lease)
		if err != nil {
			w.failed("jobs cannot be looked for", err)
		}
		if c != nil {
			w.tend(c)
			continue
		}
		select {
		case <-w.caring:
		case <-tick.C:
		case <-w.ctx.Done():
		}
	}
}

// tend does what a job needs. Where the store fails, it is tried again once the lease has
// run out.
func (w *worker) tend(c *store.Care) {
	ctx, cancel := context.WithCancel(w.ctx)
	var beating sync.WaitGroup
	beating.Go(func() { w.holdCare(ctx, cancel, c) })
	err := w.tendTo(ctx, c)
	lost := ctx.Err() != nil && w.ctx.Err() == nil
	cancel()
	beating.Wait()
	if lost {
		err = store.ErrStale
	}
	switch {
	case err == nil, errors.Is(err, store.ErrStale):
	case w.ctx.Err() != nil:
		ctx, cancel := context.WithTimeout(context.Background(), parting)
		defer cancel()
		_ = c.Leave(ctx) // who takes over waits for the lease, if it fails
	default:
		w.failed("a job cannot be taken care of", err)
	}
}

func (w *worker) tendTo(ctx context.Context, c *store.Care) error {
	switch j := &c.Job; {
	case j.Status == store.Validating:
		return w.validate(ctx, c)
	case j.Status == store.Finalizing:
		return w.finalize(ctx, c, j.Outcome)
	case j.Status == store.Cancelling:
		return w.finalize(ctx, c, store.Cancelled)
	case j.Total > j.Completed+j.Failed:
		return w.finalize(ctx, c, store.Expired)
	default:
		return w.finalize(ctx, c, store.Completed)
	}
}

// holdCare lengthens the lease for as long as the care takes: a large file is read for
// longer than a lease lasts. Where it has been lost, it ends the care.
func (w *worker) holdCare(ctx context.Context, lost context.CancelFunc, c *store.Care) {
	tick := time.NewTicker(w.lease / 3)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if err := c.Hold(ctx); errors.Is(err, store.ErrStale) {
				lost()
				return
			}
		case <-ctx.Done():
			return
		}
	}
}

// validate reads the whole file before any line is taken in.
func (w *worker) validate(ctx context.Context, c *store.Care) error {
	f, content, err := c.Input(ctx)
	var problems []problem
	switch {
	case errors.Is(err, store.ErrNotFound):
		problems = []problem{{Code: "file_not_found", Message: "The input file " + c.Job.Input + " is not there.", Param: "input_file_id"}}
	case err != nil:
		return err
	default:
		if problems, err = check(content, c.Job.Endpoint); err != nil {
			return err
		}
	}
	if len(problems) > 0 {
		return w.refuse(ctx, c, problems)
	}
	if err := c.Empty(ctx); err != nil {
		return err
	}
	_, content, err = c.Input(ctx)
	if err != nil {
		return err
	}
	in := newInput(content, c.Job.Endpoint)
	var lines []store.Line
	for size := 0; ; {
		l, _, err := in.next()
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if err != nil {
			break
		}
		lines = append(lines, l)
		if size += len(l.Body); len(lines) >= addedLines || size >= addedBytes {
			if err := c.AddLines(ctx, lines); err != nil {
				return err
			}
			lines, size = lines[:0], 0
		}
	}
	w.log.Info("job begins", zap.String("job", c.Job.ID), zap.Int64("lines", in.count), zap.Int64("bytes", f.Bytes))
	if err := c.Begin(ctx, lines, in.count, time.Now()); err != nil {
		return err
	}
	w.care() // it may have been cancelled meanwhile
	w.wakeUp()
	return nil
}

// check says what is wrong with a file.
func check(content io.Reader, endpoint string) ([]problem, error) {
	in := newInput(content, endpoint)
	for {
		_, _, err := in.next()
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return []problem{{Code: "file_not_found", Message: "The input file was deleted.", Param: "input_file_id"}}, nil
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		if err != nil || len(in.problems) == mostProblems {
			break
		}
	}
	if in.count == 0 && len(in.problems) == 0 {
		return []problem{{Code: "empty_file", Message: "The input file has no requests.", Param: "input_file_id"}}, nil
	}
	return in.problems, nil
}

func (w *worker) refuse(ctx context.Context, c *store.Care, problems []problem) error {
	text, err := json.Marshal(problems)
	if err != nil {
		return err
	}
	if err := c.Refuse(ctx, text, time.Now()); err != nil {
		return err
	}
	w.ended(c, store.Failed)
	return nil
}

func (w *worker) ended(c *store.Care, status store.Status) {
	w.metrics.JobsEnded.WithLabelValues(string(status)).Inc()
	w.log.Info("job ended", zap.String("job", c.Job.ID), zap.String("status", string(status)))
}

// finalize puts a job's output together. Before that nothing of it runs any more.
func (w *worker) finalize(ctx context.Context, c *store.Care, outcome store.Status) error {
	if err := c.Close(ctx, outcome, time.Now()); err != nil {
		return err
	}
	w.drop(c.Job.Seq)
	var output, problems *store.Upload
	if c.Job.Kind == store.Batch {
		output, problems = c.Write(ctx, newID("file-")), c.Write(ctx, newID("file-"))
		for after := int64(0); ; {
			lines, err := c.Outputs(ctx, after, outputLines)
			if err != nil {
				return err
			}
			if len(lines) == 0 {
				break
			}
			for i := range lines {
				to := problems
				if r := lines[i].Result; r != nil && r.OK() {
					to = output
				}
				if _, err := to.Write(outputLine(&c.Job, &lines[i])); err != nil {
					return err
				}
			}
			if after = lines[len(lines)-1].N; len(lines) < outputLines {
				break
			}
		}
	}
	if err := c.End(ctx, output, problems, time.Now()); err != nil {
		return err
	}
	w.ended(c, outcome)
	return nil
}
