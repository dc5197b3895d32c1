package sidecar

import (
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

const exposition = `# HELP friday_batch_size Items in an upstream call of the batcher.
# TYPE friday_batch_size histogram
friday_batch_size_bucket{cluster="a",model="m",le="1"} 3
friday_batch_size_sum{cluster="a",model="m"} 30
friday_batch_size_count{cluster="a",model="m"} 10
friday_batch_size_sum{cluster="b c}",model="{\"x\" 7"} 1.5e1 1395066363000
friday_batch_size_count{cluster="b c}",model="{\"x\" 7"} 5
friday_batch_size_sum_other 99
friday_batch_size_sum
`

func TestSum(t *testing.T) {
	for metric, due := range map[string]float64{
		"friday_batch_size_sum": 45, "friday_batch_size_count": 15, "friday_batch_size_sum_other": 99, "friday_absent": 0,
	} {
		require.InDelta(t, due, sum(exposition, metric), 0, metric)
	}
	b := Batches{Items: 45, Calls: 15}.Sub(Batches{Items: 5, Calls: 5})
	require.InDelta(t, 4, b.Mean(), 0)
	require.Zero(t, Batches{}.Mean())
}

func FuzzSum(f *testing.F) {
	f.Add(exposition)
	f.Add("friday_batch_size_sum{ 1\nfriday_batch_size_sum} 2")
	f.Fuzz(func(t *testing.T, text string) {
		total := sum(text, "friday_batch_size_sum")
		if total == 0 || math.IsNaN(total) {
			return
		}
		require.Contains(t, text, "friday_batch_size_sum")
	})
}

func TestBinaries(t *testing.T) {
	dir := t.TempDir()
	_, err := Binaries(dir)
	require.ErrorContains(t, err, "the program friday is not in "+dir+"; build it first with \"go build -o bin/")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "friday"), nil, 0o600))
	got, err := Binaries(dir)
	require.NoError(t, err)
	require.Equal(t, dir, got)
}
