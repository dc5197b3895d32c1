package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"time"
)

// Entry is what somebody did.
type Entry struct {
	At time.Time
	// Action is what, Object to which id, Address from where.
	Action, Object, Address string
	// Outcome is the status that the caller got.
	Outcome int
}

// record appends to the audit trail.
func (t *tx) record(tenant string, e Entry) error {
	if e.Action == "" {
		return nil
	}
	return t.chain(t, tenant, e)
}

// chain is the hash of an entry that comes after the one whose hash is before.
func chain(before []byte, tenant string, e Entry) []byte {
	h := sha256.New()
	field := func(b []byte) {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(b))))
		h.Write(b)
	}
	field(before)
	field(binary.BigEndian.AppendUint64(nil, uint64(millis(e.At)))) // #nosec G115 -- the bits are what counts
	for _, s := range []string{tenant, e.Action, e.Object, e.Address} {
		field([]byte(s))
	}
	field(binary.BigEndian.AppendUint64(nil, uint64(e.Outcome))) // #nosec G115 -- as above
	return h.Sum(nil)
}

// Record appends an entry that no change goes with.
func (t Tenant) Record(ctx context.Context, e Entry) error {
	return t.write(ctx, func(tx *tx) error { return tx.record(t.id, e) })
}

func broken(format string, args ...any) error {
	return fmt.Errorf("the audit trail is broken: "+format, args...)
}

// Trail is what [Verify] has found.
type Trail struct {
	// Entries is how many there are, Head the hash of the last one, in hexadecimal.
	Entries int64  `json:"entries"`
	Head    string `json:"head"`
	// Found says that the hash that was asked for is one of the chain's.
	Found bool `json:"found"`
}

// Verify goes along the audit trail of the file at path. The error names the first entry
// that does not follow from the ones before it. head, where not empty, is a hash that
// the trail must contain: one that was noted earlier.
func Verify(ctx context.Context, path, head string) (trail Trail, err error) {
	err = view(ctx, path, func(tx *tx) error {
		var given sql.NullInt64
		if trail, err = tx.verify(head); err != nil {
			return err
		}
		if err := tx.row("SELECT max(seq) FROM sqlite_sequence WHERE name = 'audit'", nil, &given); err != nil {
			return err
		}
		return trail.whole(given.Int64, head)
	})
	return trail, err
}

// verify goes along the trail.
func (t *tx) verify(head string) (trail Trail, err error) {
	var before []byte
	last := int64(0)
	err = t.each("SELECT seq, at, tenant, action, object, address, outcome, hash FROM audit ORDER BY seq", nil, func(scan scan) error {
		var e Entry
		var seq, at int64
		var tenant string
		var hash []byte
		if err := scan(&seq, &at, &tenant, &e.Action, &e.Object, &e.Address, &e.Outcome, &hash); err != nil {
			return err
		}
		if e.At = moment(at); seq != last+1 {
			return broken("entry %d is missing", last+1)
		}
		if !bytes.Equal(hash, chain(before, tenant, e)) {
			return broken("entry %d (%s, %s %s) does not follow from the ones before it: it, or one of them, has been changed",
				seq, e.At.UTC().Format(time.RFC3339), e.Action, e.Object)
		}
		before, last = hash, seq
		trail.Entries, trail.Head = seq, hex.EncodeToString(hash)
		trail.Found = trail.Found || trail.Head == head
		return nil
	})
	return trail, err
}

// whole says what a trail lacks of which given entries have been written, and that has the
// hash head in it.
func (t *Trail) whole(given int64, head string) error {
	if given > t.Entries {
		return broken("entries %d to %d are missing at the end", t.Entries+1, given)
	}
	if head != "" && !t.Found {
		return broken("no entry has the hash %s: the trail is not the one that it was noted of, or has been written anew", head)
	}
	return nil
}
