package store

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"strconv"
	"strings"
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
	_, err := t.exec("INSERT INTO doomed (kind, id) VALUES (?, ?) ON CONFLICT DO NOTHING", kind, id)
	if err == nil && kind == content {
		_, err = t.exec("DELETE FROM uploads WHERE content = ?", id)
	}
	return err
}

// clearLines removes some of a job's lines, and says how many rows went.
func (t *tx) clearLines(job int64) (total int64, err error) {
	for _, statement := range []string{
		"DELETE FROM steps WHERE (job, n, version, step) IN (SELECT job, n, version, step FROM steps WHERE job = ? LIMIT ?)",
		"DELETE FROM bodies WHERE (job, n) IN (SELECT job, n FROM bodies WHERE job = ? LIMIT ?)",
		"DELETE FROM results WHERE (job, n) IN (SELECT job, n FROM results WHERE job = ? LIMIT ?)",
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

// noticeAge is how long a notice is kept that nobody tells any more.
const noticeAge = 7 * 24 * time.Hour

// Expire dooms what is past its time.
func (s *Store) Expire(ctx context.Context, now time.Time) error {
	return s.write(ctx, func(tx *tx) error {
		type found struct{ kind, id, tenant string }
		var all []found
		collect := func(kind string) func(scan) error {
			return func(scan scan) error {
				f := found{kind: kind}
				err := scan(&f.id, &f.tenant)
				all = append(all, f)
				return err
			}
		}
		err := errors.Join(
			tx.each("SELECT id, tenant FROM files WHERE expires_at <= ? LIMIT ?", []any{millis(now), sweepRows}, collect(content)),
			tx.each("SELECT content, "+tx.owner+" FROM uploads WHERE touched_at <= ? LIMIT ?", []any{millis(now.Add(-abandoned)), sweepRows}, collect(content)),
			tx.each("SELECT seq, tenant FROM jobs WHERE ended_at > 0 AND ended_at + retention <= ? LIMIT ?", []any{millis(now), sweepRows}, collect(job)))
		if err != nil {
			return err
		}
		if _, err := tx.exec("DELETE FROM idempotency WHERE created_at <= ?", millis(now.Add(-keyAge))); err != nil {
			return err
		}
		if _, err := tx.exec("DELETE FROM notices WHERE created_at <= ?", millis(now.Add(-noticeAge))); err != nil {
			return err
		}
		slices.SortStableFunc(all, func(a, b found) int { return strings.Compare(a.tenant, b.tenant) })
		for _, f := range all {
			if err := tx.as(of(f.tenant)); err != nil {
				return err
			}
			if f.kind == content {
				if _, err := tx.exec("DELETE FROM files WHERE id = ?", f.id); err != nil {
					return err
				}
			}
			if err := tx.doom(f.kind, f.id); err != nil {
				return err
			}
		}
		return nil
	})
}

// Sweep clears one piece away, and says whether there may be more.
func (s *Store) Sweep(ctx context.Context) (more bool, err error) {
	var kind, id, tenant string
	err = s.read(ctx, func(tx *tx) error {
		return tx.row("SELECT kind, id, "+tx.owner+" FROM doomed LIMIT 1", nil, &kind, &id, &tenant)
	})
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, s.engine.write(ctx, of(tenant), func(tx *tx) error {
		n, err := tx.sweep(kind, id)
		if err != nil || n > 0 {
			return err
		}
		if kind == job {
			seq, err := strconv.ParseInt(id, 10, 64)
			if err != nil {
				return err
			}
			if _, err := tx.exec("DELETE FROM jobs WHERE seq = ?", seq); err != nil {
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
		return t.exec("DELETE FROM chunks WHERE (content, n) IN (SELECT content, n FROM chunks WHERE content = ? LIMIT ?)", id, sweepChunks)
	}
	seq, err := strconv.ParseInt(id, 10, 64)
	if err != nil {
		return 0, err
	}
	return t.clearLines(seq)
}
