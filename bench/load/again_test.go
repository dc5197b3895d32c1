package load

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestZipf(t *testing.T) {
	const texts, requests = 1000, 100_000
	z := Zipf{Workload: Embeddings{Items: 1}, Texts: texts, S: 1.1}
	count := make([]int, texts)
	for n := range uint64(requests) {
		count[z.Text(n)]++
	}
	require.Greater(t, count[0], requests/8, "the first is asked for very often")
	require.Greater(t, count[0], count[9]*5)
	require.Greater(t, count[9], count[99]*5)
	require.Positive(t, count[998]+count[999], "the last, too")
	require.Equal(t, z.Workload.AppendBody(nil, z.Text(7)), z.AppendBody(nil, 7))
}

func TestRepeat(t *testing.T) {
	r := Repeat{Workload: Embeddings{Items: 1}, Of: 3}
	require.Equal(t, r.AppendBody(nil, 1), r.AppendBody(nil, 4))
	require.NotEqual(t, r.AppendBody(nil, 1), r.AppendBody(nil, 2))
}
