package store

import (
	"context"
	"crypto/rand"
	"slices"
	"time"
)

// Notice is what somebody is to be told: how a job has ended. It is kept until it was.
type Notice struct {
	ID string
	// Kind and Object are the job's, Status is its end.
	Kind           Kind
	Object, Origin string
	Status         Status
	Created        time.Time
	// Attempts is how often telling has been tried, with this time.
	Attempts int
}

// Notify has the ends of the jobs of those origins kept as notices from now on.
func (s *Store) Notify(origins []string) { s.notify.Store(&origins) }

// notifies says whether a job's end is to be told.
func (s *Store) notifies(j *Job) bool {
	origins := s.notify.Load()
	return origins != nil && slices.Contains(*origins, j.Origin)
}

// notice keeps one, in the transaction that ends the job.
func (t *tx) notice(j *Job, status Status, now time.Time) error {
	_, err := t.exec("INSERT INTO notices (id, tenant, kind, object, origin, status, created_at, attempts, not_before) VALUES (?, ?, ?, ?, ?, ?, ?, 0, 0)",
		"evt_"+rand.Text(), j.Tenant, string(j.Kind), j.ID, j.Origin, string(status), millis(now))
	return err
}

// Notices hands out up to n that are to be told now; until then they are nobody else's.
func (s *Store) Notices(ctx context.Context, n int, now, until time.Time) (all []Notice, err error) {
	err = s.write(ctx, func(tx *tx) error {
		all = nil
		return tx.each("UPDATE notices SET attempts = attempts + 1, not_before = ? WHERE id IN "+
			"(SELECT id FROM notices WHERE not_before <= ? ORDER BY not_before LIMIT ? "+tx.skipping+") RETURNING id, kind, object, origin, status, created_at, attempts",
			[]any{millis(until), millis(now), n}, func(scan scan) error {
				var one Notice
				var created int64
				err := scan(&one.ID, &one.Kind, &one.Object, &one.Origin, &one.Status, &created, &one.Attempts)
				one.Created = moment(created)
				all = append(all, one)
				return err
			})
	})
	return all, err
}

// Told forgets a notice.
func (s *Store) Told(ctx context.Context, id string) error {
	return s.write(ctx, func(tx *tx) error {
		_, err := tx.exec("DELETE FROM notices WHERE id = ?", id)
		return err
	})
}

// TellLater has a notice be handed out again, not before a time.
func (s *Store) TellLater(ctx context.Context, id string, notBefore time.Time) error {
	return s.write(ctx, func(tx *tx) error {
		_, err := tx.exec("UPDATE notices SET not_before = ? WHERE id = ?", millis(notBefore), id)
		return err
	})
}
