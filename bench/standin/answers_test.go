package standin_test

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/bench/standin"
)

// free costs nothing, so tests of answers take no time.
var free = standin.Config{Dimensions: 4}

type embeddings struct {
	Object string
	Model  string
	Data   []struct {
		Object    string
		Index     int
		Embedding json.RawMessage
	}
	Usage struct {
		Prompt int `json:"prompt_tokens"`
		Total  int `json:"total_tokens"`
	}
}

func decode[T any](t *testing.T, text string) T {
	t.Helper()
	var v T
	require.NoError(t, json.Unmarshal([]byte(text), &v), text)
	return v
}

func TestEmbeddingsOfABatchAreThoseOfItsItems(t *testing.T) {
	address, _ := serve(t, free)
	c := dial(t, address)
	inputs := []string{`"one"`, `"two words"`, `"esc\"aped \u00fc"`, `[1, 2,3]`, `"one"`}
	status, text := c.post("/v1/embeddings", `{"model":"m","input":[`+strings.Join(inputs, ", ")+`]}`)
	require.Equal(t, 200, status, text)
	batch := decode[embeddings](t, text)
	require.Len(t, batch.Data, len(inputs))
	tokens := 0
	for i, input := range inputs {
		status, text := c.post("/v1/embeddings", `{"input":`+input+`,"model":"m"}`)
		require.Equal(t, 200, status, text)
		one := decode[embeddings](t, text)
		require.Len(t, one.Data, 1, "a list of token ids is one item")
		require.Equal(t, one.Data[0].Embedding, batch.Data[i].Embedding)
		require.Equal(t, i, batch.Data[i].Index)
		tokens += one.Usage.Total
	}
	require.Equal(t, tokens, batch.Usage.Total)
	require.Equal(t, 1+2+2+3+1, tokens)
	require.NotEqual(t, batch.Data[0].Embedding, batch.Data[1].Embedding)
	require.Equal(t, batch.Data[0].Embedding, batch.Data[4].Embedding)
}

func TestEmbeddingIsWhatTheFunctionSays(t *testing.T) {
	address, _ := serve(t, free)
	c := dial(t, address)
	due := standin.Embedding("m", []byte("a ü"), 6)
	require.Len(t, slices.Compact(slices.Sorted(slices.Values(due))), 6, "numbers differ")
	for _, v := range due {
		require.True(t, v >= -1 && v < 1, v)
	}

	_, text := c.post("/v1/embeddings", `{"model":"m","input":"a \u00fc","dimensions":6}`)
	require.Equal(t, due, decode[[]float32](t, string(decode[embeddings](t, text).Data[0].Embedding)))

	_, text = c.post("/v1/embeddings", `{"model":"m","input":["a ü"],"dimensions":6,"encoding_format":"base64"}`)
	raw, err := base64.StdEncoding.DecodeString(decode[string](t, string(decode[embeddings](t, text).Data[0].Embedding)))
	require.NoError(t, err)
	require.Len(t, raw, 24)
	for i, v := range due {
		require.Equal(t, math.Float32bits(v), binary.LittleEndian.Uint32(raw[4*i:]))
	}
}

func TestPredictionsOfABatchAreThoseOfItsRows(t *testing.T) {
	address, _ := serve(t, free)
	c := dial(t, address)
	rows := []string{`[1,2]`, `[1.0,2]`, `{"a": [9007199254740993], "b":"x y"}`, `"text"`, `[1, 2]`}
	status, text := c.post("/v1/models/m:predict", `{"signature_name":"s","instances":[`+strings.Join(rows, ",")+`]}`)
	require.Equal(t, 200, status, text)
	type predictions struct{ Predictions []json.Number }
	batch := decode[predictions](t, text)
	require.Len(t, batch.Predictions, len(rows))
	for i, row := range rows {
		_, text := c.post("/v1/models/m:predict", `{"instances":[`+row+`]}`)
		require.Equal(t, batch.Predictions[i], decode[predictions](t, text).Predictions[0])
		require.Equal(t, strconv.FormatInt(standin.Prediction("m", []byte(row)), 10), batch.Predictions[i].String())
	}
	require.NotEqual(t, batch.Predictions[0], batch.Predictions[1], "1 and 1.0 are different text")
	require.Equal(t, batch.Predictions[0], batch.Predictions[4], "white space does not count")
	require.NotEqual(t, standin.Prediction("m", []byte("[1]")), standin.Prediction("n", []byte("[1]")))
}

func TestInferOfABatchIsThatOfItsRows(t *testing.T) {
	address, _ := serve(t, free)
	c := dial(t, address)
	type answer struct {
		Model   string `json:"model_name"`
		ID      *string
		Outputs []struct {
			Name, Datatype string
			Shape          []int
			Data           []int64
		}
	}
	ask := func(id string, n int, a, b string) answer {
		body := fmt.Sprintf(`{%s"inputs":[{"name":"a","shape":[%d,2],"datatype":"FP64","data":%s},{"name":"b","shape":[%d],"datatype":"BYTES","data":%s}]}`, id, n, a, n, b)
		status, text := c.post("/v2/models/m/infer", body)
		require.Equal(t, 200, status, text)
		return decode[answer](t, text)
	}
	batch := ask(`"id":"x",`, 3, `[1,2,3,4,1.0,2]`, `["p","q","p"]`)
	require.Equal(t, "x", *batch.ID)
	require.Equal(t, "m", batch.Model)
	require.Equal(t, []int{3, 1}, batch.Outputs[0].Shape)
	require.Equal(t, standin.SumOutput, batch.Outputs[0].Name)
	nested := ask("", 3, `[[1,2],[3,4],[1.0,2]]`, `["p","q","p"]`)
	require.Equal(t, batch.Outputs[0].Data, nested.Outputs[0].Data)
	require.Nil(t, nested.ID)
	for i, row := range [][2]string{{`[1,2]`, `["p"]`}, {`[3,4]`, `["q"]`}, {`[1.0,2]`, `["p"]`}} {
		require.Equal(t, batch.Outputs[0].Data[i], ask("", 1, row[0], row[1]).Outputs[0].Data[0])
	}
	sum := standin.NewRowSum("m")
	sum.Input("a")
	sum.Value([]byte("1"))
	sum.Value([]byte("2"))
	sum.Input("b")
	sum.Value([]byte(`"p"`))
	require.Equal(t, sum.Sum(), batch.Outputs[0].Data[0])
	require.NotEqual(t, batch.Outputs[0].Data[0], batch.Outputs[0].Data[2])
}

func TestBadCallsAreRefused(t *testing.T) {
	c := free
	c.MaxItems = 3
	address, s := serve(t, c)
	conn := dial(t, address)
	for _, tc := range []struct {
		path, body string
		status     int
		says       string
	}{
		{"/v1/embeddings", `{"model":"m","input":"fine"}`, 200, `"object":"list"`},
		{"/v1/embeddings", `{"model":"m","input":["fine","poison"]}`, 400, "poisoned"},
		{"/v1/embeddings", `{"model":"m","input":["fine","poison500"]}`, 500, "server_error"},
		{"/v1/embeddings", `{"model":"m","input":["1","2","3","4"]}`, 400, "over the maximum of 3"},
		{"/v1/embeddings", `{"model":"m","input":[]}`, 400, "empty"},
		{"/v1/embeddings", `{"model":"m","input":{}}`, 400, "neither a text nor a list"},
		{"/v1/embeddings", `{"model":"m","input":["a",1]}`, 400, "neither"},
		{"/v1/embeddings", `{"model":"m"}`, 400, "input: is missing"},
		{"/v1/embeddings", `{"input":"a"}`, 400, "model: is missing"},
		{"/v1/embeddings", `{"model":7,"input":"a"}`, 400, "is no text"},
		{"/v1/embeddings", `{"model":"m","input":"a","encoding_format":"hex"}`, 400, "hex"},
		{"/v1/embeddings", `{"model":"m","input":"a","dimensions":0}`, 400, "dimensions"},
		{"/v1/embeddings", `{"model":"m","input":["a"]`, 400, "not valid JSON"},
		{"/v1/embeddings", `[]`, 400, "model"},
		{"/v1/models/m:predict", `{"instances":[[1]]}`, 200, "predictions"},
		{"/v1/models/m:predict", `{"instances":[[1],[-666]]}`, 400, `{"error":"instance 1 is poisoned: -666"}`},
		{"/v1/models/m:predict", `{"instances":[[1],[[2],[-667.5]]]}`, 500, "poisoned"},
		{"/v1/models/m:predict", `{"instances":["a poison text"]}`, 400, "poisoned"},
		{"/v1/models/m:predict", `{"input":[[1]]}`, 400, "Expected"},
		{"/v1/models/m:predict", `{"instances":[]}`, 400, "empty"},
		{"/v2/models/m/infer", `{"inputs":[{"name":"a","shape":[1],"datatype":"FP32","data":[1]}]}`, 200, "model_name"},
		{"/v2/models/m/versions/3/infer", `{"inputs":[{"name":"a","shape":[1],"datatype":"FP32","data":[1]}]}`, 200, `"model_name":"m"`},
		{"/v2/models/m/infer", `{"inputs":[{"name":"a","shape":[2],"datatype":"FP32","data":[1]}]}`, 400, "1 values where the shape says 2"},
		{"/v2/models/m/infer", `{"inputs":[{"name":"a","shape":[1,2,2],"datatype":"FP32","data":[1,2,3,4,5]}]}`, 400, "5 values where the shape says 4"},
		{"/v2/models/m/infer", `{"inputs":[{"name":"a","shape":[2],"datatype":"FP32","data":[1,-666]}]}`, 400, "poisoned"},
		{"/v2/models/m/infer", `{"inputs":[{"name":"a","shape":[0],"datatype":"FP32","data":[]}]}`, 400, "no rows"},
		{"/v2/models/m/infer", `{"inputs":[{"name":"a","shape":[-1],"datatype":"FP32","data":[1]}]}`, 400, "no dimension"},
		{"/v2/models/m/infer", `{"inputs":[{"name":"a","shape":[1],"data":[1]}]}`, 400, "missing"},
		{"/v2/models/m/infer", `{"inputs":[]}`, 400, "missing or empty"},
		{"/v2/models/m/infer", `{"inputs":[{"name":"a","shape":[1],"datatype":"FP32","data":[1]}],"outputs":[{"name":"q"}]}`, 400, "unknown"},
		{"/v1/chat/completions", `{"model":"m","messages":[{"content":"poison"}]}`, 400, "poisoned"},
		{"/v1/chat/completions", `{"model":"m"}`, 400, "missing"},
		{"/v1/chat/completions", `{"model":"m","messages":[],"max_tokens":-1}`, 400, "max_tokens"},
		{"/nowhere", `{}`, 404, "no such path"},
	} {
		status, text := conn.post(tc.path, tc.body)
		require.Equal(t, tc.status, status, "%s %s: %s", tc.path, tc.body, text)
		require.Contains(t, text, tc.says, "%s %s", tc.path, tc.body)
		require.True(t, json.Valid([]byte(text)), text)
	}
	require.Positive(t, s.Stats().Failed)
}

func TestChatIsTheSameStreamedOrWhole(t *testing.T) {
	address, _ := serve(t, free)
	c := dial(t, address)
	const body = `{"model":"m","max_tokens":5,"messages":[ {"role":"user","content":"hi"} ]`
	seed := standin.ChatSeed("m", []byte(`[{"role":"user","content":"hi"}]`))
	var due strings.Builder
	for i := range 5 {
		due.WriteString(standin.ChatToken(seed, i))
	}
	_, text := c.post("/v1/chat/completions", body+`}`)
	whole := decode[struct {
		ID      string
		Choices []struct{ Message struct{ Content string } }
		Usage   struct {
			Completion int `json:"completion_tokens"`
		}
	}](t, text)
	require.Equal(t, due.String(), whole.Choices[0].Message.Content)
	require.Equal(t, standin.ChatID(seed), whole.ID)
	require.Equal(t, 5, whole.Usage.Completion)

	_, text = c.post("/v1/chat/completions", body+`,"stream":true,"stream_options":{"include_usage":true}}`)
	events := strings.Split(strings.TrimSuffix(text, "\n\n"), "\n\n")
	require.Len(t, events, 1+5+1+1+1, "role, tokens, end, usage, done")
	require.Equal(t, "data: [DONE]", events[8])
	require.Contains(t, events[7], `"choices":[],"usage":{"prompt_tokens":`)
	var streamed strings.Builder
	for _, e := range events[:7] {
		streamed.WriteString(decode[struct {
			Choices []struct{ Delta struct{ Content string } }
		}](t, strings.TrimPrefix(e, "data: ")).Choices[0].Delta.Content)
	}
	require.Equal(t, due.String(), streamed.String())
}

func TestReadingPaths(t *testing.T) {
	address, s := serve(t, free)
	c := dial(t, address)
	for path, says := range map[string]string{
		"/v1/models": `"object":"list"`, "/v1/models/m": `"ready":true`, "/v2": "standin", "/health": "{}",
		"/v2/health/ready": "{}", "/v2/health/live": "{}", "/v2/models/m/ready": "{}",
		"/v2/models/m": `"shape":[-1,-1]`, "/metrics": "standin_cancelled_total 0", "/stats": `"calls":0`,
	} {
		_, err := c.nc.Write([]byte("GET " + path + " HTTP/1.1\r\nhost: x\r\n\r\n"))
		require.NoError(t, err)
		status, text := c.receive()
		require.Equal(t, 200, status, path)
		require.Contains(t, text, says, path)
	}
	got, err := standin.FetchStats(t.Context(), address)
	require.NoError(t, err)
	require.Equal(t, s.Stats().Calls, got.Calls)
	_, err = standin.FetchStats(t.Context(), "127.0.0.1:1")
	require.ErrorContains(t, err, "stats of 127.0.0.1:1")
}
