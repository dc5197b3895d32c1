package main

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/bench/jobs"
)

// A sidecar that is killed while it runs a batch, and started again, has one result of
// every line at the end. bench/cmd/jobsbench does it a hundred times.
func TestJobsSurviveKills(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	defer cancel()
	k := jobs.Kills{Group: run(t), Bin: build(t), Lines: 600, Number: 3, Store: filepath.Join(t.TempDir(), "jobs.db")}
	o, err := k.Run(ctx)
	require.NoError(t, err)
	require.Equal(t, 3, o.Kills)
	t.Logf("%+v", o)
}
