package store

import (
	"context"
	"database/sql"
	"time"
)

// The states of a line.
const (
	waiting = 0
	running = 1
	done    = 2
	dropped = 3
)

// Line is one request of a job.
type Line struct {
	Job int64
	// N is its number in the job, from 1.
	N        int64
	CustomID string
	Body     []byte
	// Attempts is how often it has been claimed, with this time; Fails how often it was
	// put back.
	Attempts, Fails int
	// Token is the lease's.
	Token int64
}

// Result is what became of a line.
type Result struct {
	Job, N, Token int64
	// Status is that of the answer; 0: there is none, and Code and Message say why.
	Status                 int
	RequestID, ContentType string
	Body                   []byte
	Code, Message          string
}

const resultColumns = "n, status, request_id, content_type, body, code, message"

// OK says that the line is one of those completed.
func (r *Result) OK() bool { return r.Status >= 200 && r.Status < 300 }

// Return puts a line back.
type Return struct {
	Job, N, Token int64
	NotBefore     time.Time
	// Unsent says that the attempt does not count.
	Unsent bool
}

func (t *tx) insertLine(job int64, l Line, now time.Time) error {
	if _, err := t.exec("INSERT INTO lines (job, n, custom_id, not_before) VALUES (?, ?, ?, ?)", job, l.N, l.CustomID, millis(now)); err != nil {
		return err
	}
	_, err := t.exec("INSERT INTO bodies VALUES (?, ?, ?)", job, l.N, nonNil(l.Body))
	return err
}

// Claim hands out up to n lines that may run now, of jobs of the given origin, under a
// lease. Tenants get equal shares, and so do the jobs of one tenant.
func (s *Store) Claim(ctx context.Context, origin string, n int, now time.Time, lease time.Duration) (lines []Line, err error) {
	err = s.write(ctx, func(tx *tx) error {
		shares, err := tx.shares(origin, n, now)
		if err != nil || len(shares) == 0 {
			return err
		}
		var token int64
		if err := tx.row("UPDATE fence SET value = value + 1 RETURNING value", nil, &token); err != nil {
			return err
		}
		for _, share := range shares {
			err := tx.each("UPDATE lines SET state = 1, token = ?, lease_until = ?, attempts = attempts + 1 WHERE job = ? AND n IN "+
				"(SELECT n FROM lines WHERE job = ? AND state = 0 AND not_before <= ? ORDER BY not_before, n LIMIT ?) "+
				"RETURNING n, custom_id, attempts, fails, (SELECT body FROM bodies b WHERE b.job = lines.job AND b.n = lines.n)",
				[]any{token, millis(now.Add(lease)), share.job, share.job, millis(now), share.n}, func(rows *sql.Rows) error {
					l := Line{Job: share.job, Token: token}
					err := rows.Scan(&l.N, &l.CustomID, &l.Attempts, &l.Fails, &l.Body)
					lines = append(lines, l)
					return err
				})
			if err != nil {
				return err
			}
		}
		return nil
	})
	return lines, err
}

// share is how many lines of a job are claimed.
type share struct {
	job int64
	n   int
}

// mostJobs is how many jobs share a claim.
const mostJobs = 64

// shares divides n among those jobs that have lines to run: one each in turn, of each
// tenant in turn.
func (t *tx) shares(origin string, n int, now time.Time) (out []share, err error) {
	var tenants []string
	jobs := map[string][]int64{}
	err = t.each("SELECT seq, tenant FROM jobs WHERE status = 'in_progress' AND ended_at = 0 AND origin = ? AND expires_at > ? AND EXISTS "+
		"(SELECT 1 FROM lines WHERE job = jobs.seq AND state = 0 AND not_before <= ?) ORDER BY seq LIMIT ?",
		[]any{origin, millis(now), millis(now), mostJobs}, func(rows *sql.Rows) error {
			var seq int64
			var tenant string
			if err := rows.Scan(&seq, &tenant); err != nil {
				return err
			}
			if jobs[tenant] == nil {
				tenants = append(tenants, tenant)
			}
			jobs[tenant] = append(jobs[tenant], seq)
			return nil
		})
	for i, tenant := range tenants {
		of := n / len(tenants)
		if i < n%len(tenants) {
			of++
		}
		for k, job := range jobs[tenant] {
			part := of / len(jobs[tenant])
			if k < of%len(jobs[tenant]) {
				part++
			}
			if part > 0 {
				out = append(out, share{job, part})
			}
		}
	}
	return out, err
}

// Done is what came of taking results in.
type Done struct {
	// Stale are those that came too late: their lines have gone to somebody else.
	Stale []Result
	// Full are the jobs whose lines all have a result.
	Full []int64
}

// Finish takes results in, once for each line.
func (s *Store) Finish(ctx context.Context, results []Result) (d Done, err error) {
	err = s.write(ctx, func(tx *tx) error {
		type count struct{ completed, failed int64 }
		counts := map[int64]*count{}
		for _, r := range results {
			n, err := tx.exec("UPDATE lines SET state = 2, lease_until = 0 WHERE job = ? AND n = ? AND token = ? AND state = 1", r.Job, r.N, r.Token)
			if err != nil {
				return err
			}
			if n == 0 {
				d.Stale = append(d.Stale, r)
				continue
			}
			if _, err := tx.exec("INSERT INTO results (job, "+resultColumns+") VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
				r.Job, r.N, r.Status, r.RequestID, r.ContentType, nonNil(r.Body), r.Code, r.Message); err != nil {
				return err
			}
			if counts[r.Job] == nil {
				counts[r.Job] = new(count)
			}
			if r.OK() {
				counts[r.Job].completed++
			} else {
				counts[r.Job].failed++
			}
		}
		for job, c := range counts {
			var left int64
			if err := tx.row("UPDATE jobs SET completed = completed + ?, failed = failed + ? WHERE seq = ? RETURNING total - completed - failed",
				[]any{c.completed, c.failed, job}, &left); err != nil {
				return err
			}
			if left == 0 {
				d.Full = append(d.Full, job)
			}
		}
		return nil
	})
	return d, err
}

// nonNil is b, or no bytes: what is not there is not NULL.
func nonNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// PutBack has lines wait for another attempt.
func (s *Store) PutBack(ctx context.Context, lines []Return) error {
	return s.write(ctx, func(tx *tx) error {
		for _, l := range lines {
			counts := 0
			if l.Unsent {
				counts = 1
			}
			if _, err := tx.exec("UPDATE lines SET state = 0, lease_until = 0, token = 0, attempts = attempts - ?, fails = fails + 1, not_before = ? "+
				"WHERE job = ? AND n = ? AND token = ? AND state = 1", counts, millis(l.NotBefore), l.Job, l.N, l.Token); err != nil {
				return err
			}
		}
		return nil
	})
}

// Lease names a line that is being run.
type Lease struct{ Job, N, Token int64 }

// Heartbeat lengthens leases, and returns those that have been lost: their lines went to
// somebody else, or their job runs no more.
func (s *Store) Heartbeat(ctx context.Context, leases []Lease, until time.Time) (lost []Lease, err error) {
	err = s.write(ctx, func(tx *tx) error {
		for _, l := range leases {
			n, err := tx.exec("UPDATE lines SET lease_until = ? WHERE job = ? AND n = ? AND token = ? AND state = 1 AND "+
				"(SELECT status FROM jobs WHERE seq = lines.job) = 'in_progress'", millis(until), l.Job, l.N, l.Token)
			if err != nil {
				return err
			}
			if n == 0 {
				lost = append(lost, l)
			}
		}
		return nil
	})
	return lost, err
}

// Recover has the lines wait again whose leases have run out, and says how many.
func (s *Store) Recover(ctx context.Context, now time.Time) (n int64, err error) {
	err = s.write(ctx, func(tx *tx) error {
		n, err = tx.exec("UPDATE lines SET state = 0, token = 0, lease_until = 0 WHERE state = 1 AND lease_until < ?", millis(now))
		return err
	})
	return n, err
}
