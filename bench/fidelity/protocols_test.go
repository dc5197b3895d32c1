package fidelity_test

import (
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// form is a protocol's requests and what is expected of Friday.
type form struct {
	name string
	does does
	excuse
	make func(g *generator) *request
}

// does is what Friday does with a protocol's requests.
type does string

const (
	// batches: requests that meet share calls.
	batches does = "batches"
	// passes: each goes to the server by itself.
	passes does = "passes"
)

// forms are all protocols. Where a protocol comes to be batched, its word here
// changes, and its excuses hold.
func forms() []form {
	return []form{
		{"openai embeddings", batches, excuse{usage: true}, embeddings},
		{"openai completions", passes, excuse{id: true, usage: true}, completions},
		{"rerank", batches, excuse{id: true, usage: true}, reranks},
		{"score", batches, excuse{id: true, usage: true}, scores},
		{"tei embed", batches, excuse{}, embed},
		{"tei predict", batches, excuse{}, classify},
		{"tei rerank", batches, excuse{}, teiRerank},
		{"kserve v1", batches, excuse{}, instances},
		{"tensorflow columns", batches, excuse{}, columns},
		{"kserve v1 explain", passes, excuse{}, explain},
		{"torchserve", passes, excuse{}, torch},
		{"open inference", batches, excuse{}, infer},
		{"open inference, binary", batches, excuse{}, inferBinary},
		{"chat", passes, excuse{}, chat},
	}
}

// oddities are those of models whose direct answers do not depend on the moment.
var oddities = []string{"miscount", "shapeless", "single", "gzip", "limited", "unavailable"}

// orBad is good, but for one in thirty.
func (g *generator) orBad(good string, bad ...string) string {
	if g.percent(3) {
		return one(g, bad...)
	}
	return good
}

// texts are OpenAI's forms of input.
func (g *generator) texts() string {
	switch {
	case g.percent(45):
		return g.text()
	case g.percent(70):
		return g.list(g.count(), g.text)
	case g.percent(50):
		return g.ids()
	case g.percent(80):
		return g.list(g.count(), g.ids)
	}
	return one(g, `[]`, `null`, `7`, `{}`, `["a",1]`, `[[1],"a"]`, `[[]]`, `["a",""]`, `[null]`, `[1.5]`, `[[1.5]]`, `[["a"]]`)
}

func (g *generator) ids() string {
	return g.list(1+g.IntN(6), func() string { return strconv.Itoa(g.IntN(30000)) })
}

func embeddings(g *generator) *request {
	odd := append([]string{"nocount", "reversed"}, oddities...)
	return post(one(g, "/v1/embeddings", "/v1/embeddings", "/v1/embeddings", "/v1/embeddings?v=1"), g.object(
		member{"model", g.sometimes(99, g.model(odd...))},
		member{"input", g.sometimes(99, g.texts())},
		member{"encoding_format", g.sometimes(10, one(g, `"float"`, `"base64"`, `"hex"`, `null`))},
		member{"dimensions", g.sometimes(8, one(g, `3`, `8`, `0`, `3.0`))},
		g.unknown(),
	))
}

func completions(g *generator) *request {
	return post("/v1/completions", g.object(
		member{"model", g.sometimes(99, g.model("nocount", "single", "limited"))},
		member{"prompt", g.sometimes(99, g.texts())},
		member{"max_tokens", one(g, `1`, `3`, `3`, `0`)},
		member{"n", g.sometimes(20, one(g, `1`, `2`, `5`, `0`))},
		member{"echo", g.sometimes(20, one(g, `true`, `false`))},
		member{"logprobs", g.sometimes(20, one(g, `0`, `2`, `null`, `9`))},
		member{"stream", g.sometimes(10, one(g, `true`, `false`))},
		g.unknown(),
	))
}

// queries are few, so that documents of equal ones meet.
func (g *generator) query() string {
	if g.percent(12) {
		return one(g, `"caf\u00e9"`, `""`, g.text())
	}
	return `"what is a batch"`
}

func reranks(g *generator) *request {
	document := g.text
	if g.percent(8) {
		document = func() string { return g.object(member{"text", g.text()}, member{"title", g.sometimes(10, g.text())}) }
	}
	return post(one(g, "/v1/rerank", "/v1/rerank", "/v1/rerank", "/v1/rerank", "/v2/rerank", "/rerank"), g.object(
		member{"model", g.sometimes(99, g.model("nocount", "single"))},
		member{"query", g.sometimes(99, g.query())},
		member{"documents", g.sometimes(98, g.orBad(g.list(g.count(), document), `[]`, `"a"`, `[7]`))},
		member{"top_n", g.sometimes(10, one(g, `1`, `3`, `100`, `0`))},
		member{"return_documents", g.sometimes(15, one(g, `true`, `false`))},
		g.unknown(),
	))
}

func teiRerank(g *generator) *request {
	return post("/rerank", g.object(
		member{"query", g.sometimes(99, g.query())},
		member{"texts", g.sometimes(98, g.orBad(g.list(g.count(), g.text), `[]`, `"a"`))},
		member{"return_text", g.sometimes(30, one(g, `true`, `false`))},
		member{"raw_scores", g.sometimes(10, one(g, `true`, `false`))},
	))
}

func scores(g *generator) *request {
	left := g.query()
	if g.percent(20) {
		left = g.list(g.count(), g.text)
	}
	return post(one(g, "/score", "/v1/score"), g.object(
		member{"model", g.model("nocount", "single")},
		member{"text_1", left},
		member{"text_2", one(g, g.text(), g.list(g.count(), g.text))},
		g.unknown(),
	))
}

func embed(g *generator) *request {
	return post("/embed", g.object(
		member{"inputs", g.sometimes(99, g.texts())},
		member{"normalize", g.sometimes(10, one(g, `true`, `false`))},
		member{"truncate", g.sometimes(10, one(g, `true`, `false`))},
		member{"dimensions", g.sometimes(5, `4`)},
		g.unknown(),
	))
}

func classify(g *generator) *request {
	in := g.text()
	switch {
	case g.percent(20):
		in = g.list(2, g.text)
	case g.percent(40):
		in = g.list(g.count(), func() string { return g.list(1+g.IntN(2), g.text) })
	case g.percent(5):
		in = one(g, `[]`, `["a","b","c"]`, `[["a"],"b"]`, `[[]]`, `3`)
	}
	return post("/predict", g.object(member{"inputs", in}, member{"raw_scores", g.sometimes(10, one(g, `true`, `false`))}))
}

// instance is a row: numbers, a named tensor, anything.
func (g *generator) instance() string {
	switch {
	case g.percent(60):
		return g.list(4, g.number)
	case g.percent(60):
		return g.object(member{"a", g.list(2, g.number)}, member{"b", g.text()})
	}
	return g.value(2)
}

func instances(g *generator) *request {
	path := "/v1/models/" + g.name(oddities...)
	if g.percent(5) {
		path += "/versions/2"
	}
	return post(path+":predict", g.object(
		member{"signature_name", g.sometimes(8, one(g, `"serving_default"`, `"other"`))},
		member{"instances", g.sometimes(99, g.orBad(g.list(g.count(), g.instance), `[]`, `{"a":1}`))},
		member{"parameters", g.sometimes(5, g.value(2))},
	))
}

func explain(g *generator) *request {
	return post("/v1/models/m:explain", g.object(member{"instances", g.list(g.count(), g.instance)}))
}

func columns(g *generator) *request {
	n := g.count()
	row := func() string { return g.list(2, g.number) }
	inputs := g.list(n, row)
	if g.percent(60) {
		if g.percent(3) {
			n = 0
		}
		inputs = g.object(member{"a", inputs}, member{"b", g.list(n, g.text)})
	}
	return post("/v1/models/"+g.name("single", "miscount")+":predict", g.object(
		member{"signature_name", g.sometimes(8, `"serving_default"`)}, member{"inputs", inputs}))
}

func torch(g *generator) *request {
	r := post("/predictions/"+g.name(), one(g, g.text(), g.value(2), "plain words", "\x89PNG\x00\xff"))
	r.header[0] = one(g, "content-type: application/json", "content-type: image/png", "content-type: text/plain")
	return r
}

// tensors writes the inputs of an Open Inference request of n rows.
func infer(g *generator) *request {
	n := g.count()
	data := func(each int, value func() string) string {
		if g.percent(12) && each > 1 { // nested
			return g.list(n, func() string { return g.list(each, value) })
		}
		return g.list(n*each, value)
	}
	shape := func(rest string) string {
		if g.percent(2) {
			return "[" + strconv.Itoa(n+1) + rest + "]"
		}
		return "[" + strconv.Itoa(n) + rest + "]"
	}
	inputs := []string{g.object(
		member{"name", `"input"`}, member{"shape", shape(",3")},
		member{"datatype", one(g, g.orBad(`"FP64"`, `"FP32"`), `"FP64"`)},
		member{"parameters", g.sometimes(5, `{"content_type":"np"}`)},
		member{"data", data(3, g.number)},
	)}
	if g.percent(8) {
		inputs = append(inputs, g.object(
			member{"name", `"words"`}, member{"shape", shape("")}, member{"datatype", `"BYTES"`}, member{"data", data(1, g.text)},
		))
	}
	path := "/v2/models/" + g.name(oddities...)
	if g.percent(5) {
		path += "/versions/1"
	}
	return post(path+"/infer", g.object(
		member{"id", g.sometimes(60, one(g, strconv.Quote(fmt.Sprint("r", g.IntN(1000))), `""`, `"\u00e9"`))},
		member{"parameters", g.sometimes(6, one(g, `{"p":1}`, `{"binary_data_output":false}`, `{"sequence_id":3}`))},
		member{"inputs", "[" + strings.Join(inputs, g.space()+",") + "]"},
		member{"outputs", g.sometimes(6, one(g, `[{"name":"sum"}]`, `[{"name":"nowhere"}]`, `[]`))},
	))
}

// inferBinary has its tensors behind the JSON.
func inferBinary(g *generator) *request {
	n := g.count()
	var raw []byte
	for range n * 3 {
		raw = binary.LittleEndian.AppendUint64(raw, math.Float64bits(float64(g.IntN(1000)-one(g, 0, 500))))
	}
	if g.IntN(100) == 0 {
		binary.LittleEndian.PutUint64(raw, math.Float64bits(-666))
	}
	inputs := []string{g.object(
		member{"name", `"input"`}, member{"shape", fmt.Sprintf("[%d,3]", n)}, member{"datatype", `"FP64"`},
		member{"parameters", fmt.Sprintf(`{"binary_data_size":%d}`, len(raw))},
	)}
	if g.percent(8) {
		start := len(raw)
		for range n {
			text := one(g, "a", "", "zwölf", "poi\x00son")
			raw = append(binary.LittleEndian.AppendUint32(raw, uint32(len(text))), text...)
		}
		inputs = append(inputs, g.object(
			member{"name", `"words"`}, member{"shape", fmt.Sprintf("[%d]", n)}, member{"datatype", `"BYTES"`},
			member{"parameters", fmt.Sprintf(`{"binary_data_size":%d}`, len(raw)-start)},
		))
	}
	head := g.object(
		member{"id", g.sometimes(60, strconv.Quote(fmt.Sprint("r", g.IntN(1000))))},
		member{"parameters", g.sometimes(90, g.orBad(`{"binary_data_output":true}`, `{"binary_data_output":false}`))},
		member{"inputs", "[" + strings.Join(inputs, ",") + "]"},
		member{"outputs", g.sometimes(6, `[{"name":"sum","parameters":{"binary_data":true}}]`)},
	)
	length := len(head)
	if g.percent(2) {
		length += one(g, 1, -1, 1000)
	}
	r := post("/v2/models/"+g.name("single", "miscount")+"/infer", head+string(raw), fmt.Sprintf("inference-header-content-length: %d", length))
	r.header[0] = g.orBad("content-type: application/octet-stream", "content-type: application/json")
	return r
}

func chat(g *generator) *request {
	return post("/v1/chat/completions", g.object(
		member{"model", g.model()},
		member{"messages", "[" + g.object(member{"role", `"user"`}, member{"content", g.text()}) + "]"},
		member{"max_tokens", one(g, `1`, `4`)},
		member{"stream", g.sometimes(40, one(g, `true`, `false`))},
		member{"stream_options", g.sometimes(10, `{"include_usage":true}`)},
		g.unknown(),
	))
}
