package store

import (
	"context"
	"database/sql"
	"errors"
)

// Step is what a step of a pipeline has answered.
type Step struct {
	// Version is the pipeline's: what another one's step of the name has answered is of no
	// use.
	Version, Name string
	Status        int
	ContentType   string
	Body          []byte
}

// Steps are what the steps of a line have answered, by name.
func (s *Store) Steps(ctx context.Context, l Lease, version string) (steps map[string]Step, err error) {
	err = s.read(ctx, func(tx *tx) error {
		steps = map[string]Step{}
		if err := tx.asOwnerOf(l.Job); err != nil {
			return err
		}
		return tx.each("SELECT step, status, content_type, body FROM steps WHERE job = ? AND n = ? AND version = ?", []any{l.Job, l.N, version}, func(scan scan) error {
			one := Step{Version: version}
			err := scan(&one.Name, &one.Status, &one.ContentType, &one.Body)
			steps[one.Name] = one
			return err
		})
	})
	if errors.Is(err, sql.ErrNoRows) {
		err = ErrStale
	}
	return steps, err
}

// KeepStep takes in what a step has answered; [ErrStale] where the line has gone to somebody
// else.
func (s *Store) KeepStep(ctx context.Context, l Lease, step Step) error {
	err := s.write(ctx, func(tx *tx) error {
		if err := tx.asOwnerOf(l.Job); err != nil {
			return err
		}
		var n int64
		if err := tx.row("SELECT n FROM lines WHERE job = ? AND n = ? AND token = ? AND state = 1 "+tx.locked, []any{l.Job, l.N, l.Token}, &n); err != nil {
			return err
		}
		_, err := tx.exec("INSERT INTO steps (job, n, version, step, status, content_type, body) VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
			l.Job, l.N, step.Version, step.Name, step.Status, step.ContentType, nonNil(step.Body))
		return err
	})
	if errors.Is(err, sql.ErrNoRows) {
		return ErrStale
	}
	return err
}
