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

// noticesAreKept: the end of a job is to be told where somebody is, each by one at a time.
func noticesAreKept(t *testing.T, s *Store) {
	t.Helper()
	ctx, now := t.Context(), time.Now()
	end := func(id string) {
		started(t, s, "a", id, 1)
		lines, err := s.Claim(ctx, "o", 1, now.Add(time.Second), time.Minute)
		require.NoError(t, err)
		_, err = s.Finish(ctx, []Result{{Job: lines[0].Job, N: 1, Token: lines[0].Token, Status: 200}})
		require.NoError(t, err)
		c, err := s.Take(ctx, "o", now, time.Minute)
		require.NoError(t, err)
		require.NoError(t, c.Close(ctx, Completed, now))
		require.NoError(t, c.End(ctx, nil, nil, now))
	}
	end("batch_1")
	s.Notify([]string{"x", "o"})
	end("batch_2")
	s.Notify([]string{"x"})
	end("batch_3")
	all, err := s.Notices(ctx, 10, now, now.Add(time.Minute))
	require.NoError(t, err)
	require.Len(t, all, 1)
	one := all[0]
	require.Equal(t, "batch_2", one.Object)
	require.Equal(t, Completed, one.Status)
	require.Equal(t, Batch, one.Kind)
	require.Equal(t, "o", one.Origin)
	require.Equal(t, 1, one.Attempts)
	require.WithinDuration(t, now, one.Created, time.Second)
	all, err = s.Notices(ctx, 10, now, now.Add(time.Minute))
	require.NoError(t, err)
	require.Empty(t, all, "it is in somebody's hands")
	require.NoError(t, s.TellLater(ctx, one.ID, now.Add(time.Second)))
	all, err = s.Notices(ctx, 10, now.Add(2*time.Second), now.Add(time.Minute))
	require.NoError(t, err)
	require.Len(t, all, 1)
	require.Equal(t, 2, all[0].Attempts)
	require.NoError(t, s.Told(ctx, one.ID))
	all, err = s.Notices(ctx, 10, now.Add(time.Hour), now.Add(2*time.Hour))
	require.NoError(t, err)
	require.Empty(t, all)
}
