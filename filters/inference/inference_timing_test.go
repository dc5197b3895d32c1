package inference_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/filters/inference"
)

// load is 32 requests of one item and the answer to them together.
type load struct {
	name, path, body string
	answer           string
}

const together = 32

// floats are n numbers as Python writes float32 values.
func floats(r *rand.Rand, n int) string {
	var s strings.Builder
	for i := range n {
		if i > 0 {
			s.WriteByte(',')
		}
		fmt.Fprint(&s, float64(r.Float32()-0.5))
	}
	return s.String()
}

func loads() []load {
	r := rand.New(rand.NewPCG(1, 2)) // #nosec G404 -- repeatable on purpose
	var data, rows []string
	for i := range together {
		data = append(data, fmt.Sprintf(`{"object":"embedding","index":%d,"embedding":[%s]}`, i, floats(r, 384)))
		rows = append(rows, floats(r, 64))
	}
	return []load{
		{
			"embeddings", pathOpenAI,
			`{"model":"all-MiniLM-L6-v2","input":"` + strings.Repeat("A sentence of the usual kind. ", 8) + `","encoding_format":"float"}`,
			`{"object":"list","data":[` + strings.Join(data, ",") + `],"model":"m","usage":{"prompt_tokens":2048,"total_tokens":2048}}`,
		},
		{
			"infer", pathV2,
			`{"id":"4f0c","inputs":[{"name":"x","shape":[1,64],"datatype":"FP32","data":[` + rows[0] + `]}]}`,
			fmt.Sprintf(`{"model_name":"m","id":"x","outputs":[{"name":"y","shape":[%d,64],"datatype":"FP32","data":[%s]}]}`, together, strings.Join(rows, ",")),
		},
		{
			"predict", pathV1, `{"instances":[[` + rows[0] + `]]}`,
			`{"predictions":[[` + strings.Join(rows, "],[") + `]]}`,
		},
	}
}

func (l load) calls(b *testing.B) []*inference.Call {
	b.Helper()
	calls := make([]*inference.Call, together)
	for i := range calls {
		calls[i] = understand(b, l.path, l.body)
	}
	return calls
}

func perRequest(b *testing.B, n int) {
	b.Helper()
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/request")
	b.ReportAllocs()
}

func BenchmarkOf(b *testing.B) {
	for _, l := range loads() {
		b.Run(l.name, func(b *testing.B) {
			req := request(l.path, l.body)
			b.SetBytes(int64(len(l.body)))
			for b.Loop() {
				req.Call = nil
				call, err := inference.Of(req, 1<<20)
				if err != nil || call == nil {
					b.Fatal(err)
				}
			}
			perRequest(b, 1)
		})
	}
}

func BenchmarkMerge(b *testing.B) {
	for _, l := range loads() {
		b.Run(l.name, func(b *testing.B) {
			calls := l.calls(b)
			b.SetBytes(int64(len(inference.Merge(calls))))
			for b.Loop() {
				inference.Merge(calls)
			}
			perRequest(b, together)
		})
	}
}

func BenchmarkSplit(b *testing.B) {
	for _, l := range loads() {
		b.Run(l.name, func(b *testing.B) {
			calls := l.calls(b)
			answer := []byte(l.answer)
			b.SetBytes(int64(len(answer)))
			for b.Loop() {
				_, err := inference.Split(calls, answer)
				require.NoError(b, err)
			}
			perRequest(b, together)
		})
	}
}
