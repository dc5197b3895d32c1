package store

import (
	"database/sql"
	"errors"
)

// dialect is how one database says what the other says otherwise.
type dialect struct {
	// enter goes on in another's name; nil: there is one user.
	enter func(*tx, actor) error
	// text is a statement as the database has it: in this package ? stands for a parameter.
	// in is what its arguments are handed over as, out takes back what was scanned.
	text func(string) string
	in   func([]any) []any
	out  func(err error, into []any) error

	// owner is the column with the tenant, in tables that have one with PostgreSQL only.
	owner string
	// locked ends a SELECT of rows that the same change is about to update, skipping one of
	// rows that are anybody's, so that who comes second takes others.
	locked, skipping string
	// nextToken hands out a fencing token.
	nextToken string
	// claim has some lines of a job run: token, lease, job, job, now, number. bodies reads
	// what they hold, where claim may not.
	claim, bodies string
	// closing ends the leases of many lines of a job by one statement: numbers, tokens, job;
	// empty: each has one.
	closing string
	// alone has what one tenant creates wait for each other, so that of two equal requests
	// the second sees what the first has made; empty: all changes do.
	alone string
	// chain appends to the audit trail.
	chain func(t *tx, tenant string, e Entry) error
}

func sqlite() *dialect {
	return &dialect{
		text:      func(s string) string { return s },
		in:        func(args []any) []any { return args },
		out:       func(err error, _ []any) error { return err },
		owner:     "''",
		nextToken: "UPDATE fence SET value = value + 1 RETURNING value",
		claim: "UPDATE lines SET state = 1, token = ?, lease_until = ?, attempts = attempts + 1 WHERE job = ? AND n IN " +
			"(SELECT n FROM lines WHERE job = ? AND state = 0 AND not_before <= ? ORDER BY not_before, n LIMIT ?) " +
			"RETURNING n, custom_id, attempts, fails, (SELECT body FROM bodies b WHERE b.job = lines.job AND b.n = lines.n)",
		chain: func(t *tx, tenant string, e Entry) error {
			var before []byte
			err := t.row("SELECT hash FROM audit ORDER BY seq DESC LIMIT 1", nil, &before)
			if err != nil && !errors.Is(err, sql.ErrNoRows) {
				return err
			}
			_, err = t.exec("INSERT INTO audit (at, tenant, action, object, address, outcome, hash) VALUES (?, ?, ?, ?, ?, ?, ?)",
				millis(e.At), tenant, e.Action, e.Object, e.Address, e.Outcome, chain(before, tenant, e))
			return err
		},
	}
}

func postgres() *dialect {
	texts := newTexts()
	return &dialect{ // #nosec G101 -- a fencing token is no secret
		enter:     become,
		text:      texts.numbered,
		in:        escapeAll,
		out:       unescapeAll,
		owner:     "tenant",
		locked:    "FOR UPDATE",
		skipping:  "FOR UPDATE SKIP LOCKED",
		nextToken: "SELECT nextval('fence')",
		// ARRAY(…) is computed once, whatever the plan.
		claim: "UPDATE lines SET state = 1, token = ?, lease_until = ?, attempts = attempts + 1 WHERE job = ? AND n = ANY(ARRAY" +
			"(SELECT n FROM lines WHERE job = ? AND state = 0 AND not_before <= ? ORDER BY not_before, n LIMIT ? FOR UPDATE SKIP LOCKED)) " +
			"RETURNING n, custom_id, attempts, fails, ''::bytea",
		bodies: "SELECT n, body FROM bodies WHERE job = ? AND n = ANY(?)",
		closing: "UPDATE lines SET state = 2, lease_until = 0 FROM unnest(?::bigint[], ?::bigint[]) AS r (n, token) " +
			"WHERE lines.job = ? AND lines.n = r.n AND lines.token = r.token AND lines.state = 1 RETURNING lines.n, lines.token",
		alone: "SELECT pg_advisory_xact_lock(hashtextextended(?, 0))",
		chain: func(t *tx, tenant string, e Entry) error {
			var seq int64
			var before []byte
			if err := t.row("SELECT seq, hash FROM audit_head FOR UPDATE", nil, &seq, &before); err != nil {
				return err
			}
			hash := chain(before, tenant, e)
			if _, err := t.exec("INSERT INTO audit (seq, at, tenant, action, object, address, outcome, hash) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
				seq+1, millis(e.At), tenant, e.Action, e.Object, e.Address, e.Outcome, hash); err != nil {
				return err
			}
			_, err := t.exec("UPDATE audit_head SET seq = ?, hash = ?", seq+1, hash)
			return err
		},
	}
}
