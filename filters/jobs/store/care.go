package store

import (
	"context"
	"database/sql"
	"errors"
	"time"
)

// Care is the lease of what is done to a whole job: validating it, and putting its output
// together. Every step asks whether it is still held.
type Care struct {
	Job   Job
	s     *Store
	token int64
	lease time.Duration
}

// needsCare are the jobs of an origin that somebody has to do something about.
const needsCare = "ended_at = 0 AND origin = ? AND lease_until < ? AND (status IN ('validating', 'finalizing', 'cancelling') OR " +
	"status = 'in_progress' AND (total = completed + failed OR expires_at <= ?))"

// Take takes care of the oldest job that needs it; nil: none does.
func (s *Store) Take(ctx context.Context, origin string, now time.Time, lease time.Duration) (c *Care, err error) {
	args := []any{origin, millis(now), millis(now)}
	var there int
	err = s.read(ctx, func(tx *tx) error {
		return tx.row("SELECT 1 FROM jobs WHERE "+needsCare+" LIMIT 1", args, &there)
	})
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	err = s.write(ctx, func(tx *tx) error {
		c = nil
		var token, seq int64
		if err := tx.row(tx.nextToken, nil, &token); err != nil {
			return err
		}
		err := tx.row("UPDATE jobs SET token = ?, lease_until = ? WHERE seq = (SELECT seq FROM jobs WHERE "+needsCare+" ORDER BY seq LIMIT 1 "+tx.skipping+") RETURNING seq",
			append([]any{token, millis(now.Add(lease))}, args...), &seq)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err == nil {
			err = tx.asOwnerOf(seq)
		}
		if err != nil {
			return err
		}
		j, err := tx.job(seq)
		c = &Care{Job: j, s: s, token: token, lease: lease}
		return err
	})
	return c, err
}

// tenant is the job's.
func (c *Care) tenant() Tenant { return c.s.Tenant(c.Job.Tenant) }

// step is a change that happens only while the lease is held, which it lengthens.
func (c *Care) step(ctx context.Context, do func(*tx) error) error {
	return c.tenant().write(ctx, func(tx *tx) error {
		n, err := tx.exec("UPDATE jobs SET lease_until = ? WHERE seq = ? AND token = ? AND ended_at = 0", millis(time.Now().Add(c.lease)), c.Job.Seq, c.token)
		if err != nil {
			return err
		}
		if n == 0 {
			return ErrStale
		}
		return do(tx)
	})
}

// Leave lets somebody else take care at once.
func (c *Care) Leave(ctx context.Context) error {
	return c.step(ctx, func(tx *tx) error { return tx.letGo(c.Job.Seq) })
}

func (t *tx) letGo(job int64) error {
	_, err := t.exec("UPDATE jobs SET lease_until = 0, token = 0 WHERE seq = ?", job)
	return err
}

// Input is the file with the job's lines.
func (c *Care) Input(ctx context.Context) (File, *Content, error) {
	t := c.tenant()
	f, err := t.File(ctx, c.Job.Input, time.Now())
	return f, t.Content(ctx, f), err
}

// Empty drops the lines of an earlier validation that did not come to its end.
func (c *Care) Empty(ctx context.Context) error {
	for {
		var there int
		err := c.tenant().read(ctx, func(tx *tx) error {
			return tx.row("SELECT 1 FROM lines WHERE job = ? LIMIT 1", []any{c.Job.Seq}, &there)
		})
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		err = c.step(ctx, func(tx *tx) error {
			_, err := tx.clearLines(c.Job.Seq)
			return err
		})
		if err != nil {
			return err
		}
	}
}

// AddLines takes valid lines in.
func (c *Care) AddLines(ctx context.Context, lines []Line) error {
	return c.step(ctx, func(tx *tx) error { return c.add(tx, lines) })
}

func (c *Care) add(tx *tx, lines []Line) error {
	return tx.insertLines(c.Job.Seq, lines, c.Job.Created)
}

// Begin takes the last lines in, and has all of them run, unless the job has been
// cancelled meanwhile.
func (c *Care) Begin(ctx context.Context, last []Line, total int64, now time.Time) error {
	return c.step(ctx, func(tx *tx) error {
		if err := c.add(tx, last); err != nil {
			return err
		}
		_, err := tx.exec("UPDATE jobs SET status = CASE status WHEN 'validating' THEN 'in_progress' ELSE status END, in_progress_at = ?, total = ? WHERE seq = ?",
			millis(now), total, c.Job.Seq)
		if err != nil {
			return err
		}
		return tx.letGo(c.Job.Seq)
	})
}

// Refuse ends a job that is not valid.
func (c *Care) Refuse(ctx context.Context, problems []byte, now time.Time) error {
	return c.step(ctx, func(tx *tx) error {
		if _, err := tx.exec("UPDATE jobs SET errors = ? WHERE seq = ?", string(problems), c.Job.Seq); err != nil {
			return err
		}
		return c.end(tx, Failed, "", "", now)
	})
}

// Close has no more lines run, and takes no more results: from here on the output can be
// put together. outcome is what the job will have come to.
func (c *Care) Close(ctx context.Context, outcome Status, now time.Time) error {
	c.Job.Outcome = outcome
	return c.step(ctx, func(tx *tx) error {
		if _, err := tx.exec("UPDATE lines SET state = 3, token = 0, lease_until = 0 WHERE job = ? AND state IN (0, 1)", c.Job.Seq); err != nil {
			return err
		}
		_, err := tx.exec("UPDATE jobs SET status = CASE status WHEN 'cancelling' THEN status ELSE 'finalizing' END, outcome = ?, "+
			"finalizing_at = CASE finalizing_at WHEN 0 THEN ? ELSE finalizing_at END WHERE seq = ?", string(outcome), millis(now), c.Job.Seq)
		return err
	})
}

// Output is one line for the output or the errors: its result, or nil where it has none.
type Output struct {
	N        int64
	CustomID string
	Result   *Result
}

// Outputs are up to most lines after the one numbered after.
func (c *Care) Outputs(ctx context.Context, after int64, most int) (out []Output, err error) {
	err = c.tenant().read(ctx, func(tx *tx) error {
		return tx.each("SELECT l.n, l.custom_id, l.state, coalesce(r.status, 0), coalesce(r.request_id, ''), coalesce(r.content_type, ''), r.body, "+
			"coalesce(r.code, ''), coalesce(r.message, '') FROM lines l LEFT JOIN results r ON r.job = l.job AND r.n = l.n WHERE l.job = ? AND l.n > ? ORDER BY l.n LIMIT ?",
			[]any{c.Job.Seq, after, most}, func(scan scan) error {
				var o Output
				var r Result
				var state int
				err := scan(&o.N, &o.CustomID, &state, &r.Status, &r.RequestID, &r.ContentType, &r.Body, &r.Code, &r.Message)
				if state == done {
					o.Result = &r
				}
				out = append(out, o)
				return err
			})
	})
	return out, err
}

// Write begins the content of an output, in place of what an earlier try has left of it.
func (c *Care) Write(ctx context.Context, id string) *Upload {
	return c.tenant().Upload(ctx, id)
}

// End ends the job with its files, where there are any.
func (c *Care) End(ctx context.Context, output, problems *Upload, now time.Time) error {
	return c.step(ctx, func(tx *tx) error {
		names := [2]string{}
		for i, u := range []*Upload{output, problems} {
			if u == nil || u.bytes == 0 {
				continue
			}
			if err := u.last(tx); err != nil {
				return err
			}
			if _, err := tx.exec("DELETE FROM uploads WHERE content = ?", u.id); err != nil {
				return err
			}
			f := File{
				ID: u.id, Purpose: "batch_output", Filename: c.Job.ID + []string{"_output.jsonl", "_error.jsonl"}[i],
				Bytes: u.bytes, SHA256: u.SHA256(), Created: now, Expires: now.Add(c.Job.Retention),
			}
			if err := tx.insertFile(c.Job.Tenant, f); err != nil {
				return err
			}
			names[i] = u.id
		}
		return c.end(tx, c.Job.Outcome, names[0], names[1], now)
	})
}

// end ends the job, and notes that somebody is to be told, where somebody is.
func (c *Care) end(tx *tx, status Status, output, problems string, now time.Time) error {
	if c.s.notifies(&c.Job) {
		if err := tx.notice(&c.Job, status, now); err != nil {
			return err
		}
	}
	return tx.end(&c.Job, status, output, problems, now)
}

// end ends a job. The credentials among its headers are forgotten, and what a batch's files
// hold by then is cleared away.
func (t *tx) end(j *Job, status Status, output, problems string, now time.Time) error {
	if _, err := t.exec("UPDATE jobs SET status = ?, outcome = ?, output = ?, error_file = ?, ended_at = ?, headers = '[]', token = 0, lease_until = 0 WHERE seq = ?",
		string(status), string(status), output, problems, millis(now), j.Seq); err != nil {
		return err
	}
	if j.Kind == Batch {
		if err := t.doom(linesOf, itoa(j.Seq)); err != nil {
			return err
		}
	}
	return t.record(j.Tenant, Entry{At: now, Action: "job." + string(status), Object: j.ID, Address: "-"})
}

// Hold lengthens the lease.
func (c *Care) Hold(ctx context.Context) error {
	return c.step(ctx, func(*tx) error { return nil })
}
