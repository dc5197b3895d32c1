package exposition_test

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/bench/exposition"
)

const text = `# HELP friday_batch_size Items in an upstream call of the batcher.
# TYPE friday_batch_size histogram
friday_batch_size_bucket{cluster="a",model="m",le="1"} 3
friday_batch_size_sum{cluster="a",model="m"} 30
friday_batch_size_count{cluster="a",model="m"} 10
friday_batch_size_sum{cluster="b c}",model="{\"x\" 7"} 1.5e1 1395066363000
friday_batch_size_count{cluster="b c}",model="{\"x\" 7"} 5
friday_batch_size_sum_other 99
friday_batch_size_sum
nv_inference_exec_count{model="mlp",version="1"} 4
nv_inference_exec_count{model="mlp_dyn",version="1"} 40
`

func TestSum(t *testing.T) {
	for metric, due := range map[string]float64{
		"friday_batch_size_sum": 45, "friday_batch_size_count": 15, "friday_batch_size_sum_other": 99, "friday_absent": 0,
	} {
		require.InDelta(t, due, exposition.Sum(text, metric), 0, metric)
	}
	for label, due := range map[string]float64{`model="mlp"`: 4, `model="mlp_dyn"`: 40, `version="1"`: 44, `odel="mlp"`: 0} {
		require.InDelta(t, due, exposition.Sum(text, "nv_inference_exec_count", label), 0, label)
	}
	require.InDelta(t, 40, exposition.Sum(text, "nv_inference_exec_count", `model="mlp_dyn"`, `version="1"`), 0)
	require.Zero(t, exposition.Sum(text, "friday_batch_size_sum_other", `model="m"`))
}

func TestBatches(t *testing.T) {
	b := exposition.Batches{Items: 45, Calls: 15}.Sub(exposition.Batches{Items: 5, Calls: 5})
	require.InDelta(t, 4, b.Mean(), 0)
	require.InDelta(t, 4.5, b.Add(exposition.Batches{Items: 54.5, Calls: 11}).Mean(), 1e-9)
	require.Zero(t, exposition.Batches{}.Mean())
}

func FuzzSum(f *testing.F) {
	f.Add(text)
	f.Add("friday_batch_size_sum{ 1\nfriday_batch_size_sum} 2")
	f.Fuzz(func(t *testing.T, text string) {
		total := exposition.Sum(text, "friday_batch_size_sum")
		if total == 0 || math.IsNaN(total) {
			return
		}
		require.Contains(t, text, "friday_batch_size_sum")
		exposition.Sum(text, "friday_batch_size_sum", `model="m"`)
	})
}
