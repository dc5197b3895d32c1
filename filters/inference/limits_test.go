package inference_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/filters/inference"
)

const (
	yes     = inference.BatchableYes
	no      = inference.BatchableNo
	unknown = inference.BatchableUnknown
)

func TestQuestions(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		path, body string
		want       []string
	}{
		{"/v2/models/a%20b/infer", v2Body, []string{"/v2/models/a%20b/config", "/v2/models/a%20b"}},
		{"/v2/models/m/versions/3/infer", v2Body, []string{"/v2/models/m/versions/3/config", "/v2/models/m/versions/3"}},
		{pathV1, v1Body, nil},
		{pathTFColumns, `{"inputs":[1]}`, []string{"/v1/models/m/versions/3/metadata"}},
		{pathV1, `{"inputs":[1]}`, []string{"/v1/models/m/metadata"}},
		{pathTFRows, v1Body, []string{"/v1/models/m/labels/l/metadata"}},
		{pathEmbed, `{"inputs":"a"}`, []string{"/info"}},
		{pathPredict, `{"inputs":"a"}`, []string{"/info"}},
		{pathRerank, `{"query":"q","texts":["a"]}`, []string{"/info"}},
		{pathRerank, `{"query":"q","documents":["a"]}`, []string{"/info"}},
		{pathOpenAI, openAIBody, []string{"/info"}},
		{pathCompletions, `{"prompt":"a"}`, nil},
	} {
		var got []string
		for _, q := range understand(t, test.path, test.body).Questions() {
			got = append(got, q.Path)
		}
		require.Equal(t, test.want, got, test.path)
	}
}

// limitsOf reads what a server answered to the nth question about a path.
func limitsOf(t testing.TB, path, body string, n int, answer string) (inference.Limits, error) {
	t.Helper()
	return understand(t, path, body).Questions()[n].Read([]byte(answer))
}

func TestLimits(t *testing.T) {
	t.Parallel()
	tf := func(signatures string) string {
		return `{"model_spec":{"name":"m"},"metadata":{"signature_def":{"signature_def":{` + signatures + `}}}}`
	}
	input := func(shape string) string { return `{"inputs":{"x":{"dtype":"DT_FLOAT","tensor_shape":` + shape + `}}}` }
	variable, fixed := input(`{"dim":[{"size":"-1"},{"size":"4"}]}`), input(`{"dim":[{"size":"1"},{"size":"4"}]}`)
	for _, test := range []struct {
		name, path, body string
		question         int
		answer           string
		want             inference.Limits
		bad              bool
	}{
		{"triton", pathV2, v2Body, 0, `{"name":"m","max_batch_size":8,"input":[]}`, inference.Limits{MaxItems: 8, Batchable: yes}, false},
		{"triton dynamic", pathV2, v2Body, 0, `{"max_batch_size":8,"dynamic_batching":{"max_queue_delay_microseconds":0}}`, inference.Limits{MaxItems: 8, Batchable: yes, SelfBatching: true}, false},
		{"triton dynamic null", pathV2, v2Body, 0, `{"max_batch_size":8,"dynamic_batching":null}`, inference.Limits{MaxItems: 8, Batchable: yes}, false},
		{"triton none", pathV2, v2Body, 0, `{"max_batch_size":0}`, inference.Limits{MaxItems: 1, Batchable: no}, false},
		{"triton sequences", pathV2, v2Body, 0, `{"max_batch_size":8,"sequence_batching":{}}`, inference.Limits{MaxItems: 1, Batchable: no}, false},
		{"triton decoupled", pathV2, v2Body, 0, `{"max_batch_size":8,"model_transaction_policy":{"decoupled":true}}`, inference.Limits{MaxItems: 1, Batchable: no}, false},
		{"triton negative", pathV2, v2Body, 0, `{"max_batch_size":-1}`, inference.Limits{}, true},
		{"no configuration", pathV2, v2Body, 0, `{"detail":"Not Found"}`, inference.Limits{}, true},
		{"no JSON", pathV2, v2Body, 0, `<html>`, inference.Limits{}, true},

		{"metadata", pathV2, v2Body, 1, `{"name":"m","inputs":[{"name":"x","shape":[-1,4]},{"shape":[-1]}]}`, inference.Limits{Batchable: yes}, false},
		{"metadata fixed", pathV2, v2Body, 1, `{"name":"m","inputs":[{"shape":[-1,4]},{"shape":[3]}]}`, inference.Limits{MaxItems: 1, Batchable: no}, false},
		{"metadata empty", pathV2, v2Body, 1, `{"name":"m","inputs":[]}`, inference.Limits{Batchable: unknown}, false},
		{"metadata absent", pathV2, v2Body, 1, `{"name":"m"}`, inference.Limits{Batchable: unknown}, false},
		{"metadata without shape", pathV2, v2Body, 1, `{"name":"m","inputs":[{"shape":[-1]},{}]}`, inference.Limits{Batchable: unknown}, false},
		{"metadata of nothing", pathV2, v2Body, 1, `{}`, inference.Limits{}, true},
		{"metadata no JSON", pathV2, v2Body, 1, ``, inference.Limits{}, true},

		{"info", pathOpenAI, openAIBody, 0, `{"model_id":"e5","model_type":{"embedding":{"pooling":"mean"}},"max_client_batch_size":32}`, inference.Limits{MaxItems: 32, Batchable: yes, SelfBatching: true}, false},
		{"info of another", pathOpenAI, openAIBody, 0, `{"model_id":"e5","max_client_batch_size":4}`, inference.Limits{}, true},
		{"info without limit", pathOpenAI, openAIBody, 0, `{"model_id":"e5","model_type":{}}`, inference.Limits{}, true},
		{"info no JSON", pathOpenAI, openAIBody, 0, `[]`, inference.Limits{}, true},

		{"tf", pathTFRows, v1Body, 0, tf(`"serving_default":` + variable + `,"__saved_model_init_op":{"inputs":{}}`), inference.Limits{Batchable: yes}, false},
		{"tf fixed", pathTFRows, v1Body, 0, tf(`"serving_default":` + fixed), inference.Limits{MaxItems: 1, Batchable: no}, false},
		{"tf scalar", pathTFRows, v1Body, 0, tf(`"serving_default":` + input(`{"dim":[]}`)), inference.Limits{MaxItems: 1, Batchable: no}, false},
		{"tf both", pathTFRows, v1Body, 0, tf(`"a":` + variable + `,"b":` + fixed), inference.Limits{}, false},
		{"tf unknown", pathTFRows, v1Body, 0, tf(`"a":` + variable + `,"b":` + input(`{"unknown_rank":true}`)), inference.Limits{}, false},
		{"tf nothing", pathTFRows, v1Body, 0, `{"error":"no"}`, inference.Limits{}, true},
		{"tf no JSON", pathTFRows, v1Body, 0, `{`, inference.Limits{}, true},
	} {
		got, err := limitsOf(t, test.path, test.body, test.question, test.answer)
		require.Equal(t, test.bad, err != nil, "%s: %v", test.name, err)
		require.Equal(t, test.want, got, test.name)
	}
}

func FuzzLimits(f *testing.F) {
	for _, answer := range []string{
		`{"name":"m","max_batch_size":8,"dynamic_batching":{}}`, `{"name":"m","inputs":[{"shape":[-1,4]}]}`,
		`{"model_id":"e5","model_type":{},"max_client_batch_size":32}`,
		`{"metadata":{"signature_def":{"signature_def":{"s":{"inputs":{"x":{"tensor_shape":{"dim":[{"size":"-1"}]}}}}}}}}`,
	} {
		f.Add([]byte(answer))
	}
	calls := []*inference.Call{
		understand(f, pathV2, v2Body), understand(f, pathOpenAI, openAIBody), understand(f, pathTFRows, v1Body),
	}
	f.Fuzz(func(t *testing.T, answer []byte) {
		for _, call := range calls {
			for _, q := range call.Questions() {
				limits, err := q.Read(answer)
				require.GreaterOrEqual(t, limits.MaxItems, 0)
				if err != nil {
					require.Equal(t, inference.Limits{}, limits)
				}
				if limits.Batchable == no {
					require.Equal(t, 1, limits.MaxItems)
				}
			}
		}
	})
}
