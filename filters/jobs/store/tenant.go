package store

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"strconv"
	"strings"
)

// Tenant is a view of the store in which there is nobody else.
type Tenant struct {
	s  *Store
	id string
}

// Tenant is the view of one tenant, whose id must not be empty.
func (s *Store) Tenant(id string) Tenant { return Tenant{s, id} }

// ID is the tenant's.
func (t Tenant) ID() string { return t.id }

// query is a statement about one tenant's rows. It is put together of constants of this
// package; values are parameters.
type query struct {
	text string
	args []any
}

// of is the one place where statements that read or change what belongs to a tenant are
// put together: head, then the tenant's condition, then what else must hold. Of args the
// first are those of head; the tenant's follows them.
func (t Tenant) of(head string, headArgs []any, condition, tail string, args ...any) query {
	if t.id == "" {
		condition = "FALSE AND (" + condition + ")" // nobody has nothing
	}
	return query{
		text: strings.Join([]string{head, "WHERE tenant = ? AND (", condition, ")", tail}, " "),
		args: append(append(append(make([]any, 0, len(headArgs)+len(args)+1), headArgs...), t.id), args...),
	}
}

// one scans the only row; [ErrNotFound] where there is none.
func (t Tenant) one(ctx context.Context, q query, into ...any) error {
	return t.read(ctx, func(tx *tx) error { return tx.oneOf(q, into...) })
}

// oneOf is one within a change, or beside other reads.
func (t *tx) oneOf(q query, into ...any) error {
	err := t.row(q.text, q.args, into...)
	if errors.Is(err, sql.ErrNoRows) {
		return ErrNotFound
	}
	return err
}

// Page is a part of a list, the newest first unless Ascending.
type Page struct {
	// After is the id of the last one seen; empty: from the start. Of an unknown id
	// nothing is known to come after it: [ErrNotFound].
	After     string
	Limit     int
	Ascending bool
}

// page reads a page of table, and one row more, so that the caller knows whether there is
// more.
func (t Tenant) page(ctx context.Context, columns, table, condition string, args []any, p Page, each func(scan) error) error {
	head := "SELECT " + columns + " FROM " + table
	order, comes := "DESC", "<"
	if p.Ascending {
		order, comes = "ASC", ">"
	}
	return t.read(ctx, func(tx *tx) error {
		condition, args := condition, args
		if p.After != "" {
			var seq int64
			if err := tx.oneOf(t.of("SELECT seq FROM "+table, nil, "id = ? AND "+condition, "", append([]any{p.After}, args...)...), &seq); err != nil {
				return err
			}
			condition, args = condition+" AND seq "+comes+" ?", append(slices.Clone(args), seq)
		}
		q := t.of(head, nil, condition, "ORDER BY seq "+order+" LIMIT "+strconv.Itoa(p.Limit+1), args...)
		return tx.each(q.text, q.args, each)
	})
}
