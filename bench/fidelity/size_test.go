package fidelity_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/bench/standin"
)

// free is a server that answers at once.
var free = standin.Config{Dimensions: 4, Tokens: 3}

func contextWithCancel(t testing.TB) (context.Context, context.CancelFunc) {
	t.Helper()
	return context.WithCancel(t.Context())
}

// texts is a request of n texts.
func textsOf(n int, model, text string) *request {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf(`"%s, text %d"`, text, i)
	}
	return post("/v1/embeddings", fmt.Sprintf(`{"model":%q,"input":[%s]}`, model, strings.Join(list, ", ")))
}

// rowsOf are requests of n rows in the protocols of tensors.
func rowsOf(n, seed int) []*request {
	rows, flat := make([]string, n), make([]string, n)
	for i := range rows {
		flat[i] = fmt.Sprintf("%d, %d.0", seed, i)
		rows[i] = "[" + flat[i] + "]"
	}
	return []*request{
		post("/v1/models/m:predict", `{"instances":[`+strings.Join(rows, ",")+`]}`),
		post("/v2/models/m/infer", fmt.Sprintf(`{"id":"%d","inputs":[{"name":"input","shape":[%d,2],"datatype":"FP64","data":[%s]}]}`, seed, n, strings.Join(flat, ","))),
	}
}

// No call is larger than max_batch_size, whatever comes together.
func TestHardCap(t *testing.T) {
	t.Parallel()
	w := newWorld(t, free, maxBatch(8))
	w.slowly()
	var requests []*request
	for i := range 60 {
		requests = append(requests, textsOf(1+i%8, "m", fmt.Sprint("request ", i)))
		requests = append(requests, rowsOf(1+i%8, i)...)
	}
	_, calls := w.same(excuse{usage: true}, requests...)
	require.Less(t, calls, len(requests))
	require.LessOrEqual(t, w.largest(), 8)
}

// What alone is larger is cut, and put together again in its order; or goes alone,
// as it is, where the configuration says so.
func TestOversize(t *testing.T) {
	t.Parallel()
	var requests []*request
	for i, n := range []int{9, 33, 64, 100, 257} {
		requests = append(requests, textsOf(n, "m", fmt.Sprint("request ", i)))
		requests = append(requests, rowsOf(n, i)...)
	}
	t.Run("split", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, free, maxBatch(8))
		w.slowly()
		w.same(excuse{usage: true}, append(numbered(16, "m", "beside"), requests...)...)
	})
	t.Run("no call is larger", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, free, maxBatch(8))
		w.slowly()
		w.good(w.through, requests...)
		require.LessOrEqual(t, w.largest(), 8)
	})
	t.Run("pass through", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, free, maxBatch(8), passOversize)
		w.slowly()
		w.good(w.through, requests...)
		require.Equal(t, 257, w.largest())
		for _, r := range requests {
			require.Equal(t, 1, w.holding(string(r.body)), "as it came")
		}
		require.Len(t, w.calls(), len(requests))
	})
}

// Its own limit is the server's to name: a request beyond it gets the server's
// words.
func TestTheServersOwnLimit(t *testing.T) {
	t.Parallel()
	w := newWorld(t, standin.Config{Dimensions: 4, MaxItems: 6})
	w.slowly()
	requests := numbered(12, "m", "beside")
	requests = append(requests, textsOf(6, "m", "just"), textsOf(7, "m", "over"), textsOf(5, "m", "below"))
	answers, _ := w.same(excuse{usage: true}, requests...)
	require.Equal(t, 400, answers[13].status)
	require.Contains(t, string(answers[13].body), "over the maximum of 6")
}
