package main

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/bench/exposition"
	"github.com/fridaymesh/friday/bench/process"
)

func TestPercentFor(t *testing.T) {
	for live, want := range map[uint64]int{0: 400, 4 << 20: 400, 8 << 20: 200, 16 << 20: 100, 1 << 40: 100} {
		require.Equal(t, want, percentFor(live), "%d", live)
	}
}

// A sidecar that holds little does not collect its garbage all the time, unless the
// environment has another opinion.
func TestGarbageIsCollectedSeldom(t *testing.T) {
	bin := build(t)
	for name, tt := range map[string]struct {
		environment []string
		least, most float64
	}{
		"by itself":       {nil, leastGarbage, 64 << 20},
		"GOGC":            {[]string{"GOGC=20"}, 1, leastGarbage - 1},
		"a limit as well": {[]string{"GOMEMLIMIT=12MiB"}, 1, leastGarbage - 1},
	} {
		t.Run(name, func(t *testing.T) {
			addresses, err := process.FreeAddresses(0, 0)
			require.NoError(t, err)
			p, err := run(t).Start("friday", tt.environment, filepath.Join(bin, "friday"), "proxy", "--upstream", "127.0.0.1:1", "--listen", addresses[0], "--admin", addresses[1])
			require.NoError(t, err)
			require.NoError(t, p.Await(t.Context(), patience, process.Listening(addresses[0])))
			text, err := process.Get(t.Context(), "http://"+addresses[1]+"/metrics")
			require.NoError(t, err)
			next := exposition.Sum(string(text), "go_memstats_next_gc_bytes")
			require.GreaterOrEqual(t, next, tt.least)
			require.Less(t, next, tt.most)
		})
	}
}
