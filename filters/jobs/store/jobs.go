package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"time"
)

// Kind is what a job is.
type Kind string

// The kinds.
const (
	// Batch is one of OpenAI's Batch API.
	Batch Kind = "batch"
	// Request is a single one whose caller does not wait.
	Request Kind = "request"
)

// Status is where a job stands, in OpenAI's words.
type Status string

// The statuses. The last four are ends.
const (
	Validating Status = "validating"
	InProgress Status = "in_progress"
	Finalizing Status = "finalizing"
	Cancelling Status = "cancelling"

	Completed Status = "completed"
	Failed    Status = "failed"
	Expired   Status = "expired"
	Cancelled Status = "cancelled"
)

// Ended says that a status is an end.
func (s Status) Ended() bool {
	return s == Completed || s == Failed || s == Expired || s == Cancelled
}

// Job is a batch, or a request whose caller does not wait.
type Job struct {
	Seq    int64
	ID     string
	Tenant string
	Kind   Kind
	// Origin is where the request for it came to, and its lines are answered.
	Origin string
	// Endpoint is the path that its lines are for, Input the id of the file with them.
	Endpoint, Input string
	// Metadata is the caller's JSON. Headers are what the lines are sent with; they are
	// forgotten at the end.
	Metadata json.RawMessage
	Headers  [][2]string
	Digest   []byte
	// Creator is the span of the request that it was created by, as a traceparent; empty: it
	// was not sampled.
	Creator string

	MaxAttempts int
	// Retention is how long it is kept after its end.
	Retention time.Duration

	Status, Outcome Status
	// Errors are those of validation, as JSON; empty: none.
	Errors            json.RawMessage
	Output, ErrorFile string

	Total, Completed, Failed int64

	Created, InProgress, Finalizing, Cancelling, Ended, Expires time.Time
}

const jobColumns = "seq, id, tenant, kind, origin, endpoint, input, metadata, headers, digest, max_attempts, retention, status, outcome, errors, " +
	"output, error_file, total, completed, failed, created_at, in_progress_at, finalizing_at, cancelling_at, ended_at, expires_at, creator"

func scanJob(scan scan) (j Job, err error) {
	var metadata, headers, problems string
	var retention int64
	var at [6]int64
	err = scan(&j.Seq, &j.ID, &j.Tenant, &j.Kind, &j.Origin, &j.Endpoint, &j.Input, &metadata, &headers, &j.Digest, &j.MaxAttempts, &retention,
		&j.Status, &j.Outcome, &problems, &j.Output, &j.ErrorFile, &j.Total, &j.Completed, &j.Failed, &at[0], &at[1], &at[2], &at[3], &at[4], &at[5], &j.Creator)
	if err != nil {
		return j, err
	}
	j.Metadata, j.Errors = json.RawMessage(metadata), json.RawMessage(problems)
	j.Retention = time.Duration(retention) * time.Millisecond
	j.Created, j.InProgress, j.Finalizing = moment(at[0]), moment(at[1]), moment(at[2])
	j.Cancelling, j.Ended, j.Expires = moment(at[3]), moment(at[4]), moment(at[5])
	return j, json.Unmarshal([]byte(headers), &j.Headers)
}

// Create makes a job, and returns it, or the one that an earlier request for the same has
// made: by the caller's key, or equal and not at its end. body is the one line of a
// Request.
func (t Tenant) Create(ctx context.Context, j Job, body []byte, twice Twice, e Entry) (Job, error) {
	headers, err := json.Marshal(j.Headers)
	if err != nil {
		return j, err
	}
	j.Tenant = t.id
	var there Job
	err = t.write(ctx, func(tx *tx) error {
		err := tx.inTurn(t)
		if err != nil {
			return err
		}
		if there, err = t.jobBefore(tx, j, twice); err != nil || there.ID != "" {
			return err
		}
		if err := tx.insertJob(&j, headers, body); err != nil {
			return err
		}
		if err := tx.keep(t, twice, j.ID, j.Created); err != nil {
			return err
		}
		e.Object = j.ID
		return tx.record(t.id, e)
	})
	if there.ID != "" {
		return there, err
	}
	return j, err
}

func (t *tx) insertJob(j *Job, headers, body []byte) error {
	err := t.row("INSERT INTO jobs (id, tenant, kind, origin, endpoint, input, metadata, headers, digest, max_attempts, retention, status, total, created_at, in_progress_at, expires_at, creator) "+
		"VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING seq", []any{
		j.ID, j.Tenant, string(j.Kind), j.Origin, j.Endpoint, j.Input, string(j.Metadata), string(headers), j.Digest, j.MaxAttempts,
		j.Retention.Milliseconds(), string(j.Status), j.Total, millis(j.Created), millis(j.InProgress), millis(j.Expires), j.Creator,
	}, &j.Seq)
	if err != nil || j.Kind != Request {
		return err
	}
	return t.insertLines(j.Seq, []Line{{N: 1, CustomID: j.ID, Body: body}}, j.Created)
}

// jobBefore is the job that an equal request has made; its id is empty: none has.
func (t Tenant) jobBefore(tx *tx, j Job, twice Twice) (there Job, err error) {
	id, err := tx.known(t, twice)
	if err != nil {
		return there, err
	}
	q := t.of("SELECT "+jobColumns+" FROM jobs", nil, "id = ?", "", id)
	if id == "" {
		if j.Kind != Batch {
			return there, nil
		}
		q = t.of("SELECT "+jobColumns+" FROM jobs", nil, "digest = ? AND ended_at = 0", "ORDER BY seq DESC LIMIT 1", j.Digest)
	}
	there, err = scanJob(func(into ...any) error { return tx.oneOf(q, into...) })
	if Ours(err) {
		return Job{}, nil
	}
	return there, err
}

// Job finds one.
func (t Tenant) Job(ctx context.Context, kind Kind, id string) (Job, error) {
	q := t.of("SELECT "+jobColumns+" FROM jobs", nil, "id = ? AND kind = ?", "", id, string(kind))
	return scanJob(func(into ...any) error { return t.one(ctx, q, into...) })
}

// Jobs lists those of a kind. more says that there are others after the page.
func (t Tenant) Jobs(ctx context.Context, kind Kind, p Page) (jobs []Job, more bool, err error) {
	err = t.page(ctx, jobColumns, "jobs", "kind = ?", []any{string(kind)}, p, func(scan scan) error {
		j, err := scanJob(scan)
		jobs = append(jobs, j)
		return err
	})
	if len(jobs) > p.Limit {
		return jobs[:p.Limit], true, err
	}
	return jobs, false, err
}

// Cancel has no more lines of a job run. What has a result keeps it. [ErrEnded] comes with
// the job as it ended.
func (t Tenant) Cancel(ctx context.Context, kind Kind, id string, e Entry) (j Job, err error) {
	err = t.write(ctx, func(tx *tx) error {
		q := t.of("SELECT "+jobColumns+" FROM jobs", nil, "id = ? AND kind = ?", tx.locked, id, string(kind))
		var err error
		if j, err = scanJob(func(into ...any) error { return tx.oneOf(q, into...) }); err != nil {
			return err
		}
		switch {
		case j.Status == Cancelling || j.Outcome == Cancelled && !j.Status.Ended():
			return nil
		case j.Status.Ended() || j.Status == Finalizing:
			return ErrEnded
		}
		j.Status, j.Outcome, j.Cancelling = Cancelling, Cancelled, e.At
		q = t.of("UPDATE jobs SET status = ?, outcome = ?, cancelling_at = ?", []any{string(j.Status), string(j.Outcome), millis(e.At)}, "id = ?", "", id)
		if _, err := tx.exec(q.text, q.args...); err != nil {
			return err
		}
		return tx.record(t.id, e)
	})
	return j, err
}

// Result is the answer to a job's only line; [ErrNotFound] where it has none.
func (t Tenant) Result(ctx context.Context, j Job) (r Result, err error) {
	if j.Tenant != t.id {
		return r, ErrNotFound
	}
	err = t.read(ctx, func(tx *tx) error {
		return tx.row("SELECT "+resultColumns+" FROM results WHERE job = ? AND n = 1", []any{j.Seq},
			&r.N, &r.Status, &r.RequestID, &r.ContentType, &r.Body, &r.Code, &r.Message)
	})
	if errors.Is(err, sql.ErrNoRows) {
		err = ErrNotFound
	}
	return r, err
}

// JobOf finds a job, whosever it is, by what its lines know of it.
func (s *Store) JobOf(ctx context.Context, seq int64) (j Job, err error) {
	err = s.read(ctx, func(tx *tx) error {
		if err := tx.asOwnerOf(seq); err != nil {
			return err
		}
		j, err = tx.job(seq)
		return err
	})
	return j, err
}

// job reads one by what its lines know of it.
func (t *tx) job(seq int64) (Job, error) {
	return scanJob(func(into ...any) error {
		return t.row("SELECT "+jobColumns+" FROM jobs WHERE seq = ?", []any{seq}, into...)
	})
}
