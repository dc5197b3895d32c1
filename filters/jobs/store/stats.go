package store

import (
	"context"
	"database/sql"
	"errors"
	"time"
)

// Stats is what the store has in it.
type Stats struct {
	// Jobs is how many have not ended, by status.
	Jobs map[Status]int64
	// Waiting is how many lines of them have no result yet, Running how many of those have
	// been claimed.
	Waiting, Running int64
	// Oldest is since when the oldest job that has not ended waits; zero: there is none.
	Oldest time.Time
}

// Stats counts.
func (s *Store) Stats(ctx context.Context) (out Stats, err error) {
	err = s.read(ctx, func(tx *tx) error {
		out.Jobs = map[Status]int64{}
		err := tx.each("SELECT status, count(*) FROM jobs WHERE ended_at = 0 GROUP BY status", nil, func(scan scan) error {
			var status Status
			var n int64
			err := scan(&status, &n)
			out.Jobs[status] = n
			return err
		})
		if err != nil {
			return err
		}
		var oldest sql.NullInt64
		err = errors.Join(
			tx.row("SELECT coalesce(sum(total - completed - failed), 0), min(created_at) FROM jobs WHERE ended_at = 0", nil, &out.Waiting, &oldest),
			tx.row("SELECT count(*) FROM lines WHERE state = 1", nil, &out.Running))
		out.Oldest = moment(oldest.Int64)
		return err
	})
	return out, err
}
