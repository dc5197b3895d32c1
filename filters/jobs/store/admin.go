package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/pressly/goose/v3"
)

// Migrate brings the tables up to date, or makes them. Who the connection string names must
// be a member of friday_owner.
func (p Postgres) Migrate(ctx context.Context) error {
	return p.stepping(func(steps *goose.Provider) error { return upgrade(ctx, steps) })
}

// stepping goes about the tables as their owner.
func (p Postgres) stepping(do func(*goose.Provider) error) (err error) {
	db, err := p.connect(roleOwner, 2)
	if err != nil {
		return fmt.Errorf("jobs store %s: %w", p, err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	steps, err := steps(goose.DialectPostgres, db, "migrations/postgres")
	if err == nil {
		err = do(steps)
	}
	if err != nil {
		return fmt.Errorf("jobs store %s: %w", p, err)
	}
	return nil
}

// view reads in one snapshot, as the role that sees all.
func (p Postgres) view(ctx context.Context, do func(*tx) error) (err error) {
	db, err := p.connect(roleBackup, 1)
	if err != nil {
		return fmt.Errorf("jobs store %s: %w", p, err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	on, err := db.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true})
	if err != nil {
		return fmt.Errorf("jobs store %s: %w", p, err)
	}
	defer func() { err = errors.Join(err, rollback(on)) }()
	if err := do(&tx{dialect: postgres(), on: on, ctx: ctx}); err != nil {
		return fmt.Errorf("jobs store %s: %w", p, err)
	}
	return nil
}

// List is all jobs, the newest first. Who the connection string names must be a member of
// friday_backup, as for Verify and Backup.
func (p Postgres) List(ctx context.Context, limit int) (jobs []Job, err error) {
	err = p.view(ctx, func(tx *tx) error {
		jobs, err = tx.allJobs(limit)
		return err
	})
	return jobs, err
}

// Verify goes along the audit trail, as the function of that name does with a file's.
func (p Postgres) Verify(ctx context.Context, head string) (trail Trail, err error) {
	err = p.view(ctx, func(tx *tx) error {
		var given int64
		if trail, err = tx.verify(head); err != nil {
			return err
		}
		if err := tx.row("SELECT seq FROM audit_head", nil, &given); err != nil {
			return err
		}
		return trail.whole(given, head)
	})
	return trail, err
}
