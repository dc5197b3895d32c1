package sidecar

import (
	"context"
	"errors"

	"github.com/fridaymesh/friday/bench/process"
	"github.com/fridaymesh/friday/xds/bootstrap"
)

// WithJobs is Proxy with the jobs filter before the others: it starts friday with the
// bootstrap file that "--upstream" stands for, and jobs kept in the file store.
func WithJobs(ctx context.Context, g *process.Group, bin, name, upstream, listen, admin, store string, args ...string) (*Sidecar, error) {
	return withJobs(ctx, g, bin, name, upstream, listen, admin, map[string]any{"sqlitePath": store}, args)
}

// WithPostgresJobs is WithJobs with jobs kept in the PostgreSQL whose connection string is in
// the file dsn.
func WithPostgresJobs(ctx context.Context, g *process.Group, bin, name, upstream, listen, admin, dsn string, args ...string) (*Sidecar, error) {
	return withJobs(ctx, g, bin, name, upstream, listen, admin, map[string]any{"postgresDsnFile": dsn}, args)
}

func withJobs(ctx context.Context, g *process.Group, bin, name, upstream, listen, admin string, store map[string]any, args []string) (*Sidecar, error) {
	return edited(ctx, g, bin, name, bootstrap.Flags{Upstream: upstream, Listen: listen, Admin: admin}, func(tree any) error {
		if addJobs(tree, store) != 1 {
			return errors.New("there is not one chain of filters to put jobs into")
		}
		return nil
	}, args)
}

// addJobs puts jobs into every chain of a tree of JSON and returns how many there were.
func addJobs(tree any, store map[string]any) int {
	n := 0
	switch t := tree.(type) {
	case map[string]any:
		for _, v := range t {
			n += addJobs(v, store)
		}
		if chain, ok := t["httpFilters"].([]any); ok {
			t["httpFilters"] = append([]any{map[string]any{
				"name": "friday.filters.http.jobs",
				"typedConfig": map[string]any{
					"@type": "type.googleapis.com/friday.filters.http.jobs.v1.Jobs",
					"store": store,
				},
			}}, chain...)
			n++
		}
	case []any:
		for _, v := range t {
			n += addJobs(v, store)
		}
	}
	return n
}
