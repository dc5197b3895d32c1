package store

import (
	"bytes"
	"database/sql"
	"errors"
	"time"
)

// inTurn has what a tenant creates wait for what it is just creating elsewhere.
func (t *tx) inTurn(who Tenant) error {
	if t.alone == "" {
		return nil
	}
	return t.each(t.alone, []any{who.id}, func(scan) error { return nil })
}

// known is the id that an Idempotency-Key stands for; empty: none. [ErrKeyReused] where
// the request was another.
func (t *tx) known(who Tenant, twice Twice) (id string, err error) {
	if twice.Key == "" {
		return "", nil
	}
	var digest []byte
	q := who.of("SELECT id, digest FROM idempotency", nil, "key = ?", "", twice.Key)
	err = t.row(q.text, q.args, &id, &digest)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return "", nil
	case err != nil:
		return "", err
	case !bytes.Equal(digest, twice.Digest):
		return "", ErrKeyReused
	}
	return id, nil
}

// keep remembers what an Idempotency-Key stands for.
func (t *tx) keep(who Tenant, twice Twice, id string, now time.Time) error {
	if twice.Key == "" {
		return nil
	}
	_, err := t.exec("INSERT INTO idempotency (tenant, key, digest, id, created_at) VALUES (?, ?, ?, ?, ?) ON CONFLICT (tenant, key) DO UPDATE SET digest = excluded.digest, id = excluded.id, created_at = excluded.created_at",
		who.id, twice.Key, twice.Digest, id, millis(now))
	return err
}
