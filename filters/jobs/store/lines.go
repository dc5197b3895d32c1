package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
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

func (t *tx) insertLines(job int64, lines []Line, now time.Time) error {
	rows := t.into("lines", "job", "n", "custom_id", "not_before")
	bodies := t.into("bodies", "job", "n", "body")
	for _, l := range lines {
		if err := rows.add(job, l.N, l.CustomID, millis(now)); err != nil {
			return err
		}
		if err := bodies.add(job, l.N, nonNil(l.Body)); err != nil {
			return err
		}
	}
	return errors.Join(rows.flush(), bodies.flush())
}

// Claim hands out up to n lines that may run now, of jobs of the given origin, under a
// lease. Tenants get equal shares, and so do the jobs of one tenant.
func (s *Store) Claim(ctx context.Context, origin string, n int, now time.Time, lease time.Duration) (lines []Line, err error) {
	err = s.write(ctx, func(tx *tx) error {
		lines = nil
		shares, err := tx.shares(origin, n, now)
		if err != nil || len(shares) == 0 {
			return err
		}
		var token int64
		if err := tx.row(tx.nextToken, nil, &token); err != nil {
			return err
		}
		for i := range shares {
			from := len(lines)
			err := tx.each(tx.claim, []any{token, millis(now.Add(lease)), shares[i].job, shares[i].job, millis(now), shares[i].n}, func(scan scan) error {
				l := Line{Job: shares[i].job, Token: token}
				err := scan(&l.N, &l.CustomID, &l.Attempts, &l.Fails, &l.Body)
				lines = append(lines, l)
				return err
			})
			if err != nil {
				return err
			}
			shares[i].lines = lines[from:]
		}
		return tx.readBodies(shares)
	})
	return lines, err
}

// readBodies reads what claimed lines hold, each job's in its tenant's name, where who
// claims may not see it.
func (t *tx) readBodies(shares []share) error {
	if t.bodies == "" {
		return nil
	}
	for _, s := range shares {
		if len(s.lines) == 0 {
			continue
		}
		numbers := make([]int64, len(s.lines))
		at := make(map[int64]*Line, len(s.lines))
		for i := range s.lines {
			numbers[i], at[s.lines[i].N] = s.lines[i].N, &s.lines[i]
		}
		if err := t.as(of(s.tenant)); err != nil {
			return err
		}
		found := 0
		err := t.each(t.bodies, []any{s.job, numbers}, func(scan scan) error {
			var n int64
			var body []byte
			if err := scan(&n, &body); err != nil {
				return err
			}
			at[n].Body = body
			found++
			return nil
		})
		if err == nil && found != len(numbers) {
			err = fmt.Errorf("job %d: %d of %d lines have a body", s.job, found, len(numbers))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// share is how many lines of a job are claimed.
type share struct {
	job    int64
	tenant string
	n      int
	lines  []Line // what became of it
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
		[]any{origin, millis(now), millis(now), mostJobs}, func(scan scan) error {
			var seq int64
			var tenant string
			if err := scan(&seq, &tenant); err != nil {
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
				out = append(out, share{job: job, tenant: tenant, n: part})
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
	// Always in the same order, so that two who wait for each other's rows are rare.
	results = slices.Clone(results)
	slices.SortStableFunc(results, func(a, b Result) int { return cmp.Or(cmp.Compare(a.Job, b.Job), cmp.Compare(a.N, b.N)) })
	err = s.write(ctx, func(tx *tx) error {
		d = Done{}
		for rest := results; len(rest) > 0; {
			n := 1
			for n < len(rest) && rest[n].Job == rest[0].Job {
				n++
			}
			if err := tx.finish(&d, rest[:n]); err != nil {
				return err
			}
			rest = rest[n:]
		}
		return nil
	})
	return d, err
}

// finish takes results of one job in.
func (t *tx) finish(d *Done, results []Result) error {
	job := results[0].Job
	err := t.asOwnerOf(job)
	if err == nil && t.locked != "" { // the job before its lines, as whoever closes it
		var seq int64
		err = t.row("SELECT seq FROM jobs WHERE seq = ? "+t.locked, []any{job}, &seq)
	}
	if errors.Is(err, sql.ErrNoRows) {
		d.Stale = append(d.Stale, results...)
		return nil
	}
	if err != nil {
		return err
	}
	ours, err := t.close(job, results)
	if err != nil {
		return err
	}
	var completed, failed int64
	rows := t.into("results", append([]string{"job"}, strings.Split(resultColumns, ", ")...)...)
	for _, r := range results {
		if !ours[Lease{job, r.N, r.Token}] {
			d.Stale = append(d.Stale, r)
			continue
		}
		ours[Lease{job, r.N, r.Token}] = false // what comes twice comes too late
		if err := rows.add(r.Job, r.N, r.Status, r.RequestID, r.ContentType, nonNil(r.Body), r.Code, r.Message); err != nil {
			return err
		}
		if r.OK() {
			completed++
		} else {
			failed++
		}
	}
	if err := rows.flush(); err != nil {
		return err
	}
	if completed+failed == 0 {
		return nil
	}
	var left int64
	if err := t.row("UPDATE jobs SET completed = completed + ?, failed = failed + ? WHERE seq = ? RETURNING total - completed - failed",
		[]any{completed, failed, job}, &left); err != nil {
		return err
	}
	if left == 0 {
		d.Full = append(d.Full, job)
	}
	return nil
}

// close ends the leases of lines of one job that have a result, and returns which leases they
// were.
func (t *tx) close(job int64, results []Result) (ours map[Lease]bool, err error) {
	ours = make(map[Lease]bool, len(results))
	if t.closing != "" {
		numbers, tokens := make([]int64, len(results)), make([]int64, len(results))
		for i := range results {
			numbers[i], tokens[i] = results[i].N, results[i].Token
		}
		err = t.each(t.closing, []any{numbers, tokens, job}, func(scan scan) error {
			l := Lease{Job: job}
			err := scan(&l.N, &l.Token)
			ours[l] = true
			return err
		})
		return ours, err
	}
	for i := range results {
		n, err := t.exec("UPDATE lines SET state = 2, lease_until = 0 WHERE job = ? AND n = ? AND token = ? AND state = 1", job, results[i].N, results[i].Token)
		if err != nil {
			return nil, err
		}
		if n > 0 {
			ours[Lease{job, results[i].N, results[i].Token}] = true
		}
	}
	return ours, nil
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
	lines = slices.Clone(lines)
	slices.SortFunc(lines, func(a, b Return) int { return cmp.Or(cmp.Compare(a.Job, b.Job), cmp.Compare(a.N, b.N)) })
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
	leases = slices.Clone(leases)
	slices.SortFunc(leases, func(a, b Lease) int { return cmp.Or(cmp.Compare(a.Job, b.Job), cmp.Compare(a.N, b.N)) })
	err = s.write(ctx, func(tx *tx) error {
		lost = nil
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
