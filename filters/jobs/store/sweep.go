package store

import (
	"context"
	"database/sql"
	"errors"
	"strconv"
	"time"
)

// What is cleared away piece by piece.
const (
	content = "content"
	linesOf = "lines"
	job     = "job"
)

// sweepRows is how many rows go in one piece, so that nobody waits long.
const sweepRows = 500

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

// doom has something cleared away.
func (t *tx) doom(kind, id string) error {
	_, err := t.exec("INSERT INTO doomed VALUES (?, ?) ON CONFLICT DO NOTHING", kind, id)
	if err == nil && kind == content {
		_, err = t.exec("DELETE FROM uploads WHERE content = ?", id)
	}
	return err
}

// clearLines removes some of a job's lines, and says how many rows went.
func (t *tx) clearLines(job int64) (total int64, err error) {
	for _, statement := range []string{
		"DELETE FROM bodies WHERE rowid IN (SELECT rowid FROM bodies WHERE job = ? LIMIT ?)",
		"DELETE FROM results WHERE rowid IN (SELECT rowid FROM results WHERE job = ? LIMIT ?)",
		"DELETE FROM lines WHERE (job, n) IN (SELECT job, n FROM lines WHERE job = ? LIMIT ?)",
	} {
		n, err := t.exec(statement, job, sweepRows)
		if err != nil {
			return total, err
		}
		total += n
	}
	return total, nil
}

// abandoned is after how long an upload that nobody has touched is given up.
const abandoned = time.Hour

// keyAge is how long an Idempotency-Key is remembered.
const keyAge = 24 * time.Hour

// Expire dooms what is past its time.
func (s *Store) Expire(ctx context.Context, now time.Time) error {
	return s.write(ctx, func(tx *tx) error {
		var ids []string
		collect := func(rows *sql.Rows) error {
			var id string
			err := rows.Scan(&id)
			ids = append(ids, id)
			return err
		}
		err := errors.Join(
			tx.each("SELECT id FROM files WHERE expires_at <= ? LIMIT ?", []any{millis(now), sweepRows}, collect),
			tx.each("SELECT content FROM uploads WHERE touched_at <= ? LIMIT ?", []any{millis(now.Add(-abandoned)), sweepRows}, collect))
		if err != nil {
			return err
		}
		for _, id := range ids {
			if _, err := tx.exec("DELETE FROM files WHERE id = ?", id); err != nil {
				return err
			}
			if err := tx.doom(content, id); err != nil {
				return err
			}
		}
		ids = nil
		if err := tx.each("SELECT seq FROM jobs WHERE ended_at > 0 AND ended_at + retention <= ? LIMIT ?", []any{millis(now), sweepRows}, collect); err != nil {
			return err
		}
		for _, id := range ids {
			if err := tx.doom(job, id); err != nil {
				return err
			}
		}
		_, err = tx.exec("DELETE FROM idempotency WHERE created_at <= ?", millis(now.Add(-keyAge)))
		return err
	})
}

// Sweep clears one piece away, and says whether there may be more.
func (s *Store) Sweep(ctx context.Context) (more bool, err error) {
	var kind, id string
	err = s.reads.QueryRowContext(ctx, "SELECT kind, id FROM doomed LIMIT 1").Scan(&kind, &id)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, s.write(ctx, func(tx *tx) error {
		n, err := tx.sweep(kind, id)
		if err != nil || n > 0 {
			return err
		}
		if kind == job {
			if _, err := tx.exec("DELETE FROM jobs WHERE seq = ?", id); err != nil {
				return err
			}
		}
		_, err = tx.exec("DELETE FROM doomed WHERE kind = ? AND id = ?", kind, id)
		return err
	})
}

// sweepChunks is sweepRows for what is larger.
const sweepChunks = 16

func (t *tx) sweep(kind, id string) (int64, error) {
	if kind == content {
		return t.exec("DELETE FROM chunks WHERE rowid IN (SELECT rowid FROM chunks WHERE content = ? LIMIT ?)", id, sweepChunks)
	}
	seq, err := strconv.ParseInt(id, 10, 64)
	if err != nil {
		return 0, err
	}
	return t.clearLines(seq)
}
