package fidelity_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/bench/load"
	"github.com/fridaymesh/friday/bench/standin"
)

// Twenty thousand answers are checked while callers leave at random and some items
// are poisoned: none is wrong, the poisoned get their own errors and nobody else
// gets one. batchbench does the same with a million.
func TestManyAnswers(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name     string
		workload load.Workload
		fixed    time.Duration
		requests uint64
	}{
		{"embeddings, a server without cost", load.Embeddings{Items: 1}, 0, 8_000},
		{"embeddings", load.Embeddings{Items: 3}, time.Millisecond, 6_000},
		{"rows", load.Predict{Items: 2}, time.Millisecond, 3_000},
		{"tensors", load.Infer{Items: 5}, time.Millisecond, 3_000},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, standin.Config{Dimensions: 4, Fixed: tc.fixed})
			r, err := load.Run(t.Context(), load.Options{
				Target: load.Target{Address: w.through}, Workload: load.Poisoned{Workload: tc.workload, Share: .01},
				Concurrency: 32, Requests: tc.requests, First: 1 << 40, Leave: .05,
			})
			require.NoError(t, err)
			require.True(t, r.Clean(), r.Trouble())
			require.Equal(t, tc.requests, r.Requests+r.Refused+r.Left, "each came to its end")
			require.Positive(t, r.Refused)
			require.Positive(t, r.Left)
			require.Less(t, r.Left, tc.requests/10)
			if tc.fixed > 0 {
				require.Greater(t, w.Stats().MeanBatch(), float64(items(tc.workload)), "calls are shared")
			}
			eventually(t, "nobody works for who has left", func() bool { return w.Stats().Active == 0 && w.queued() == 0 })
		})
	}
}

func items(w load.Workload) int {
	switch w := w.(type) {
	case load.Embeddings:
		return w.Items
	case load.Predict:
		return w.Items
	case load.Infer:
		return w.Items
	}
	return 1
}
