package inference_test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// More paths that the tests call.
const (
	pathCompletions = "/v1/completions"
	pathCohere      = "/v2/rerank"
	pathScore       = "/v1/score"
	pathEmbed       = "/embed"
	pathPredict     = "/predict"
	pathRerank      = "/rerank"
	pathTFRows      = "/v1/models/m/labels/l:predict"
	pathTFColumns   = "/v1/models/m/versions/3:predict"
)

// paths are all of them.
func paths() []string {
	return []string{
		pathOpenAI, pathV1, pathV2, pathCompletions, pathCohere, pathScore, pathEmbed, pathPredict, pathRerank,
		pathTFRows, pathTFColumns,
	}
}

// counted says whether the answers of a path have a usage.
func counted(path string) bool {
	return slices.Contains([]string{pathOpenAI, pathCompletions, pathCohere, pathScore}, path)
}

// more writes a request of n items for the paths of this file.
func (w *writer) more(path string, n int) string {
	switch path {
	case pathCompletions:
		members := []string{`"prompt":` + w.inputs(n), `"model":"m"`, w.options, `"stop":["a","b"]`}
		if w.flat {
			members = append(members, `"n":3`)
		}
		return w.object(members...)
	case pathCohere:
		document := w.text
		if w.flat {
			document = func() string { return w.object(`"text":` + w.text()) }
		}
		members := []string{`"query":"q"`, `"documents":` + w.list(n, document), w.options}
		if w.IntN(2) == 0 {
			members = append(members, fmt.Sprintf(`"top_n": %d `, n+w.IntN(2)))
		}
		return w.object(members...)
	case pathScore:
		texts := w.list(n, w.text)
		if n == 1 && w.IntN(2) == 0 {
			texts = w.text()
		}
		return w.object(`"text_1":"q"`, `"text_2":`+texts, w.options)
	case pathEmbed:
		return w.object(`"inputs":`+w.inputs(n), `"truncate":true`, w.options)
	case pathRerank:
		return w.object(`"query":"q"`, `"return_text" : true`, `"texts":`+w.list(n, w.text), w.options)
	case pathPredict:
		sequence := func() string { return w.list(1+w.IntN(2), w.text) }
		inputs := w.list(n, sequence)
		if n == 1 {
			inputs = w.pick(inputs, w.text(), sequence())
		}
		return w.object(`"inputs":`+inputs, w.options)
	case pathTFColumns:
		row := func() string { return w.list(2, w.number) }
		if w.flat {
			return w.object(`"inputs":`+w.list(n, row), w.options)
		}
		return w.object(w.options, `"inputs":`+w.object(`"x":`+w.list(n, row), `"y" : `+w.list(n, w.text),
			`"z":`+w.list(n, func() string { return `{ "b64":` + w.pick(`"QQ=="`, `"Qg=="`) + "}" })))
	}
	return ""
}

// inputs are n texts or lists of token ids, one of them perhaps without a list
// around it.
func (w *writer) inputs(n int) string {
	item := w.text
	if w.tokens {
		item = func() string { return w.list(1+w.IntN(3), func() string { return w.pick("1", "22", "333") }) }
	}
	if n == 1 && w.IntN(2) == 0 {
		return item()
	}
	return w.list(n, item)
}

// items are what OpenAI's forms of an input mean.
func items(input any) []any {
	list, ok := input.([]any)
	if !ok {
		return []any{input}
	}
	if _, number := list[0].(json.Number); number {
		return []any{input}
	}
	return list
}

// moreModel answers as model does, for the paths of this file.
func moreModel(t testing.TB, path string, req object) []byte {
	t.Helper()
	switch path {
	case pathCompletions:
		return complete(t, req)
	case pathCohere:
		results := ranked(req["documents"].([]any), "relevance_score", "document")
		if top, ok := req["top_n"].(json.Number); ok {
			n, err := strconv.Atoi(string(top))
			require.NoError(t, err)
			results = results[:min(n, len(results))]
		}
		n := len(fmt.Sprint(req["documents"]))
		return encode(t, object{
			"id": "r", "results": results, "usage": object{"total_tokens": n},
			"meta": object{"api_version": object{"version": "2"}, "billed_units": object{"search_units": 1}},
		})
	case pathScore:
		data, n := []any{}, 0
		for i, text := range items(req["text_2"]) {
			data = append(data, object{"index": i, "object": "score", "score": sum(text)})
			n += len(text.(string))
		}
		return encode(t, object{"data": data, "usage": object{"prompt_tokens": n, "total_tokens": n}})
	case pathEmbed:
		rows := []any{}
		for _, input := range items(req["inputs"]) {
			rows = append(rows, []any{1.50, sum(input)})
		}
		return append(encode(t, rows), '\n')
	case pathRerank:
		return encode(t, ranked(req["texts"].([]any), "score", "text"))
	case pathPredict:
		return predict(t, req)
	}
	return columns(t, req)
}

// ranked is what a reranker makes of documents.
func ranked(documents []any, score, document string) []any {
	results := []any{}
	for i, d := range documents {
		results = append(results, object{"index": i, score: sum(d), document: d})
	}
	slices.SortStableFunc(results, func(a, b any) int {
		x, _ := a.(object)[score].(json.Number).Float64()
		y, _ := b.(object)[score].(json.Number).Float64()
		return cmp.Compare(y, x)
	})
	return results
}

func complete(t testing.TB, req object) []byte {
	t.Helper()
	each := 1
	if n, ok := req["n"].(json.Number); ok {
		require.NoError(t, json.Unmarshal([]byte(n), &each))
	}
	choices := []string{}
	prompts, completions := 0, 0
	for i, item := range items(req["prompt"]) {
		prompts += len(fmt.Sprint(item))
		for j := range each {
			text := strings.Repeat("x", 1+j) + string(sum(item))
			completions += len(text)
			choices = append(choices, fmt.Sprintf(`{"text": %q , "index" :%d, "logprobs":null}`, text, i*each+j))
		}
	}
	slices.Reverse(choices) // any order will do
	return fmt.Appendf(nil, `{"id":"c","choices" : [ %s ] ,"usage":{"prompt_tokens":%d,"completion_tokens":%d,"total_tokens":%d,
		"completion_tokens_details":{"reasoning_tokens":0}}}`, strings.Join(choices, " ,\n"), prompts, completions, prompts+completions)
}

func predict(t testing.TB, req object) []byte {
	t.Helper()
	labels := func(input any) []any {
		return []any{object{"score": sum(input), "label": "a"}, object{"score": 1.50, "label": fmt.Sprint(input)}}
	}
	list, ok := req["inputs"].([]any)
	if !ok {
		return encode(t, labels([]any{req["inputs"]}))
	}
	if _, ok := list[0].(string); ok {
		return encode(t, labels(list))
	}
	all := []any{}
	for _, input := range list {
		all = append(all, labels(input))
	}
	return encode(t, all)
}

func columns(t testing.TB, req object) []byte {
	t.Helper()
	sums := func(tensor any) []any {
		rows := []any{}
		for _, row := range tensor.([]any) {
			rows = append(rows, []any{sum(row), row})
		}
		return rows
	}
	named, ok := req["inputs"].(object)
	if !ok {
		return encode(t, object{"outputs": sums(req["inputs"])})
	}
	outputs := object{}
	for name, tensor := range named {
		outputs[name+"_sum"] = sums(tensor)
	}
	return encode(t, object{"outputs": outputs})
}

// decodeAny is decode for a text that need not be an object.
func decodeAny(t testing.TB, text []byte) any {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var v any
	require.NoError(t, d.Decode(&v), "%s", text)
	return v
}

// counts are all whole numbers of an answer's usage and bills.
func counts(t testing.TB, answer []byte) map[string]int64 {
	t.Helper()
	all := map[string]int64{}
	var walk func(path string, v any)
	walk = func(path string, v any) {
		switch v := v.(type) {
		case object:
			for name, inner := range v {
				walk(path+"."+name, inner)
			}
		case json.Number:
			if n, err := v.Int64(); err == nil {
				all[path] = n
			}
		}
	}
	o := decode(t, answer)
	walk("usage", o["usage"])
	walk("meta", o["meta"])
	return all
}
