package load

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/fridaymesh/friday/bench/standin"
)

// Workloads are by the name of their protocol what may be asked of a stand-in,
// whose Model they name, with so many items a request.
func Workloads(protocol string, items int) (Workload, error) {
	kinds := map[string]Workload{
		"openai":         Embeddings{Items: items},
		"kserve_v1":      Predict{Items: items},
		"open_inference": Infer{Items: items},
	}
	w, ok := kinds[protocol]
	if !ok {
		return nil, fmt.Errorf("protocol %q is none of %s", protocol, strings.Join(slices.Sorted(maps.Keys(kinds)), ", "))
	}
	if items < 1 {
		return nil, fmt.Errorf("items: %d is below 1", items)
	}
	return w, nil
}

// Model is the model's name in every request.
const Model = "standin"

// appendText appends item j of request n: some words like no other item's.
func appendText(dst []byte, n uint64, j int) []byte {
	dst = append(dst, "text "...)
	dst = strconv.AppendInt(dst, int64(j), 10)
	dst = append(dst, " of request "...)
	dst = strconv.AppendUint(dst, n, 10)
	return append(dst, ", to be turned into an embedding"...)
}

// width is how many numbers a row has.
const width = 16

// appendRow appends the numbers of item j of request n, like no other item's.
func appendRow(dst []byte, n uint64, j int) []byte {
	dst = strconv.AppendUint(dst, n, 10)
	dst = append(dst, ',')
	dst = strconv.AppendInt(dst, int64(j), 10)
	for i := 2; i < width; i++ {
		dst = append(dst, ',')
		dst = strconv.AppendUint(dst, (n*31+uint64(i+j)*17)%256, 10) // #nosec G115 -- small
		dst = append(dst, ".5"...)
	}
	return dst
}

// list appends n elements with commas between them.
func list(dst []byte, n int, element func(dst []byte, j int) []byte) []byte {
	for j := range n {
		if j > 0 {
			dst = append(dst, ',')
		}
		dst = element(dst, j)
	}
	return dst
}

// Embeddings asks /v1/embeddings for the embeddings of Items texts.
type Embeddings struct{ Items int }

var _ Workload = Embeddings{}

// Path is OpenAI's.
func (Embeddings) Path() string { return "/v1/embeddings" }

// AppendBody appends one text as such, several as a list.
func (w Embeddings) AppendBody(dst []byte, n uint64) []byte {
	text := func(dst []byte, j int) []byte {
		return append(appendText(append(dst, '"'), n, j), '"')
	}
	dst = append(dst, `{"model":"`+Model+`","input":`...)
	if w.Items == 1 {
		dst = text(dst, 0)
	} else {
		dst = append(list(append(dst, '['), w.Items, text), ']')
	}
	return append(dst, '}')
}

// Check compares every embedding, its index, and that usage is reported.
func (w Embeddings) Check(n uint64, body []byte) error {
	if w.Items == 1 && w.quick(n, body) {
		return nil
	}
	var answer struct {
		Object string
		Model  string
		Data   []struct {
			Object    string
			Index     *int
			Embedding json.RawMessage
		}
		Usage struct {
			Prompt int `json:"prompt_tokens"`
			Total  int `json:"total_tokens"`
		}
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return fmt.Errorf("the answer is not JSON: %w", err)
	}
	if answer.Object != "list" || answer.Model != Model || len(answer.Data) != w.Items {
		return fmt.Errorf("object %q, model %q, %d embeddings where %d are due", answer.Object, answer.Model, len(answer.Data), w.Items)
	}
	if answer.Usage.Prompt < 1 || answer.Usage.Total < answer.Usage.Prompt {
		return fmt.Errorf("usage of %d and %d tokens", answer.Usage.Prompt, answer.Usage.Total)
	}
	for j, d := range answer.Data {
		text := appendText(nil, n, j)
		// The length is the server's choice; the numbers are not.
		dims := bytes.Count(d.Embedding, []byte{','}) + 1
		due := standin.AppendEmbedding(nil, Model, text, dims, false)
		if d.Index == nil || *d.Index != j || !bytes.Equal(d.Embedding, due) {
			return fmt.Errorf("embedding %d is not that of its text: %s", j, shown(body))
		}
	}
	return nil
}

// quick recognises the right answer to a single item as the stand-in writes it, at
// a tenth of the cost, so that the generator does not become what is measured.
// What it does not recognise may still be right.
func (w Embeddings) quick(n uint64, body []byte) bool {
	const before = `{"object":"list","data":[{"object":"embedding","index":0,"embedding":`
	const after = `}],"model":"` + Model + `","usage":{"prompt_tokens":`
	end := bytes.IndexByte(body, ']')
	if end < len(before) || string(body[:len(before)]) != before {
		return false
	}
	var room [128]byte
	var due [1024]byte
	embedding := body[len(before) : end+1]
	dims := bytes.Count(embedding, []byte{','}) + 1
	if !bytes.Equal(embedding, standin.AppendEmbedding(due[:0], Model, appendText(room[:0], n, 0), dims, false)) {
		return false
	}
	usage, ok := bytes.CutPrefix(body[end+1:], []byte(after))
	prompt, total, ok2 := bytes.Cut(usage, []byte(`,"total_tokens":`))
	return ok && ok2 && len(prompt) > 0 && prompt[0] != '0' && string(total) == string(prompt)+"}}"
}
