package jobs

import (
	"context"
	"errors"
	"os"

	"github.com/fridaymesh/friday/bench/realserver"
	"github.com/fridaymesh/friday/filters/jobs/store"
)

// Database makes a database for jobs, with its tables, and the files with how a sidecar and
// fridayctl connect; file says where they are.
func Database(ctx context.Context, server *realserver.RunningPostgres, name string, file func(string) string) (sidecars, operator string, err error) {
	if err := server.Make(ctx, name); err != nil {
		return "", "", err
	}
	sidecars, operator = file(name+"-dsn"), file(name+"-operator")
	err = errors.Join(os.WriteFile(sidecars, []byte(server.DSN("friday", name)), 0o600), os.WriteFile(operator, []byte(server.DSN("friday_operator", name)), 0o600))
	if err == nil {
		err = store.Postgres(operator).Migrate(ctx)
	}
	return sidecars, operator, err
}
