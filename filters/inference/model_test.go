package inference_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/filters/filtertest"
	"github.com/fridaymesh/friday/filters/inference"
	"github.com/fridaymesh/friday/proxy"
)

// The paths that the tests call.
const (
	pathOpenAI = "/v1/embeddings"
	pathV1     = "/v1/models/m:predict"
	pathV2     = "/v2/models/m/infer"
	pathGRPC   = filtertest.ModelInferPath
)

// request is a POST of JSON.
func request(path, body string) *proxy.Request {
	req := &proxy.Request{Header: newHeader("POST", path), Body: proxy.NewBytesBody([]byte(body))}
	req.Header.Set("content-type", "application/json")
	return req
}

// understand returns the Call of a body that has to be understood.
func understand(t testing.TB, path, body string) *inference.Call {
	t.Helper()
	c, err := inference.Of(request(path, body), 1<<20)
	require.NoError(t, err)
	require.NotNil(t, c, "%s is not understood: %s", path, body)
	return c
}

// object is a decoded JSON object.
type object = map[string]any

func decode(t testing.TB, text []byte) object {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var o object
	require.NoError(t, d.Decode(&o), "%s", text)
	return o
}

func encode(t testing.TB, v any) []byte {
	t.Helper()
	text, err := json.Marshal(v)
	require.NoError(t, err)
	return text
}

// sum is a number that depends on every part of an item.
func sum(item any) json.Number {
	h := fnv.New32a()
	fmt.Fprintf(h, "%#v", item)
	return json.Number(fmt.Sprintf("0.%d", h.Sum32()))
}

// model answers as a model server does whose result for an item depends on that
// item, and on the request's options, alone. It writes in an order and with white
// space of its own.
func model(t testing.TB, path string, body []byte) []byte {
	t.Helper()
	req := decode(t, body)
	switch path {
	case pathOpenAI:
		return embed(t, req)
	case pathV1, pathTFRows:
		predictions := []any{}
		for _, instance := range req["instances"].([]any) {
			predictions = append(predictions, object{"of": instance, "sum": sum(instance)})
		}
		return encode(t, object{"predictions": predictions, "signature": req["signature_name"], "took": 1.50})
	case pathV2:
		return infer(t, req)
	}
	return moreModel(t, path, req)
}

func embed(t testing.TB, req object) []byte {
	t.Helper()
	items := items(req["input"])
	data := []string{}
	tokens := 0
	for i, item := range items {
		switch item := item.(type) {
		case string:
			tokens += len(item)
		case []any:
			tokens += len(item)
		}
		data = append(data, fmt.Sprintf(`{"object": "embedding", "embedding" :[ 1.50,%s ],
			"index" : %d }`, sum(item), i))
	}
	slices.Reverse(data) // any order will do
	var list bytes.Buffer
	for i, d := range data {
		if i > 0 {
			list.WriteString(" , ")
		}
		list.WriteString(d)
	}
	return fmt.Appendf(nil, `{"object":"list","data" : [ %s ] ,"model":%s,"extra":{"usage":1},
		"usage":{"prompt_tokens": %d,"details":{"n":%d,"none":null,"rate":0.5},"total_tokens":%d} }`,
		list.Bytes(), encode(t, req["model"]), tokens, len(items), tokens)
}

func infer(t testing.TB, req object) []byte {
	t.Helper()
	outputs := []any{}
	for _, in := range req["inputs"].([]any) {
		in := in.(object)
		shape := in["shape"].([]any)
		var rows int
		require.NoError(t, json.Unmarshal([]byte(shape[0].(json.Number)), &rows))
		data := in["data"].([]any)
		sums := []any{}
		for i := range rows {
			row := data[i*len(data)/rows : (i+1)*len(data)/rows]
			sums = append(sums, sum(fmt.Sprint(row)))
		}
		outputs = append(outputs,
			object{"name": in["name"], "datatype": in["datatype"], "shape": shape, "data": data},
			object{"name": in["name"].(string) + "_sum", "datatype": "FP64", "shape": []int{rows, 1}, "data": sums, "parameters": object{"p": 1}})
	}
	answer := object{"model_name": "m", "outputs": outputs, "parameters": req["parameters"]}
	answer["id"] = req["id"]
	if req["id"] == nil {
		answer["id"] = "made"
	}
	return encode(t, answer)
}
