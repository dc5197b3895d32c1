package store

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// stepsAreFenced: what a step has answered is kept once, for its pipeline's version, and by
// whoever has the line.
func stepsAreFenced(t *testing.T, s *Store) {
	t.Helper()
	ctx, now := t.Context(), time.Now()
	j := started(t, s, "a", "batch_1", 2)
	lines, err := s.Claim(ctx, "o", 2, now.Add(time.Second), time.Minute)
	require.NoError(t, err)
	require.Len(t, lines, 2)
	lease := Lease{Job: j.Seq, N: lines[0].N, Token: lines[0].Token}
	one := Step{Version: "v", Name: "one", Status: 200, ContentType: "application/json", Body: []byte("{}\x00")}
	require.NoError(t, s.KeepStep(ctx, lease, one))
	require.NoError(t, s.KeepStep(ctx, lease, Step{Version: "v", Name: "one", Status: 201}), "the first counts")
	require.NoError(t, s.KeepStep(ctx, lease, Step{Version: "w", Name: "one", Status: 202}))
	steps, err := s.Steps(ctx, lease, "v")
	require.NoError(t, err)
	require.Equal(t, map[string]Step{"one": one}, steps)
	steps, err = s.Steps(ctx, Lease{Job: j.Seq, N: lines[1].N}, "v")
	require.NoError(t, err)
	require.Empty(t, steps)

	late := lease
	late.Token--
	require.ErrorIs(t, s.KeepStep(ctx, late, Step{Version: "v", Name: "two"}), ErrStale)
	require.ErrorIs(t, s.KeepStep(ctx, Lease{Job: j.Seq + 1000, N: 1, Token: 1}, one), ErrStale)
	_, err = s.Finish(ctx, []Result{{Job: j.Seq, N: lease.N, Token: lease.Token, Status: 200}})
	require.NoError(t, err)
	require.ErrorIs(t, s.KeepStep(ctx, lease, Step{Version: "v", Name: "two"}), ErrStale)
}
