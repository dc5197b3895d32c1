package fidelity_test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// excuse is what of two answers to one request may differ.
type excuse struct {
	// id: the server makes an id of what it was asked, all of it.
	id bool
	// usage: token counts of a shared call are divided in proportion. Their sums
	// are compared over all requests.
	usage bool
}

// compare says in what through differs from direct; empty: in nothing.
func compare(direct, through *answer, e excuse) string {
	if direct.err != nil || through.err != nil {
		return fmt.Sprintf("direct: %v, through Friday: %v", direct.err, through.err)
	}
	if direct.status != through.status {
		return fmt.Sprintf("status %d became %d", direct.status, through.status)
	}
	if d, f := endToEnd(direct.header), endToEnd(through.header); !maps.EqualFunc(d, f, equalLines) {
		return fmt.Sprintf("header %v became %v", d, f)
	}
	direct, draw := cut(direct)
	through, fraw := cut(through)
	if draw != fraw {
		return fmt.Sprintf("binary tensors %.300q became %.300q", draw, fraw)
	}
	if bytes.Equal(direct.body, through.body) {
		return ""
	}
	d, derr := tree(direct)
	f, ferr := tree(through)
	if derr != nil || ferr != nil {
		return fmt.Sprintf("bodies that are no JSON differ: %.300q became %.300q", direct.body, through.body)
	}
	if !ascending(d) {
		order(d)
		order(f)
	}
	forgive(d, e)
	forgive(f, e)
	if !reflect.DeepEqual(d, f) {
		return fmt.Sprintf("body %.600s became %.600s", direct.body, through.body)
	}
	return ""
}

func equalLines(a, b []string) bool { return strings.Join(a, "\n") == strings.Join(b, "\n") }

// endToEnd are the header lines that are not about the connection or the body's
// framing (RFC 9110 section 7.6.1).
func endToEnd(h http.Header) map[string][]string {
	out := maps.Clone(h)
	if out["Inference-Header-Content-Length"] != nil {
		out["Inference-Header-Content-Length"] = []string{"looked at beside the body"}
	}
	for _, name := range []string{"Connection", "Keep-Alive", "Transfer-Encoding", "Content-Length", "Date"} {
		delete(out, name)
	}
	return out
}

// tree is a JSON answer with its numbers as text. What is encoded or of another
// type is no JSON here: its bytes have to be equal.
func tree(a *answer) (any, error) {
	if !strings.HasPrefix(a.header.Get("Content-Type"), "application/json") || a.header.Get("Content-Encoding") != "" {
		return nil, fmt.Errorf("content type %q", a.header.Get("Content-Type"))
	}
	dec := json.NewDecoder(bytes.NewReader(a.body))
	dec.UseNumber()
	var v any
	err := dec.Decode(&v)
	if err == nil && dec.More() {
		err = fmt.Errorf("more than one document")
	}
	return v, err
}

// cut takes an answer of the Open Inference Protocol's binary extension apart: its
// JSON, as an answer by itself, and the tensors behind it. Other answers it leaves.
func cut(a *answer) (*answer, string) {
	n, err := strconv.Atoi(a.header.Get("Inference-Header-Content-Length"))
	if err != nil || n < 0 || n > len(a.body) {
		return a, ""
	}
	head := &answer{status: a.status, header: http.Header{"Content-Type": {"application/json"}}, body: a.body[:n]}
	return head, string(a.body[n:])
}

// results are those of an answer that says by a number, index, whose each is.
func results(v any) []any {
	object, _ := v.(map[string]any)
	list, _ := object["data"].([]any)
	return list
}

func index(result any) int64 {
	object, _ := result.(map[string]any)
	number, _ := object["index"].(json.Number)
	n, err := number.Int64()
	if err != nil {
		return -1
	}
	return n
}

func byIndex(a, b any) int { return cmp.Compare(index(a), index(b)) }

// ascending says whether an answer's results stand in the order of their index.
// Where a server writes them otherwise, their order means nothing.
func ascending(v any) bool { return slices.IsSortedFunc(results(v), byIndex) }

func order(v any) { slices.SortStableFunc(results(v), byIndex) }

// forgive takes out of an answer's top what is excused; the names stay.
func forgive(v any, e excuse) {
	object, ok := v.(map[string]any)
	if !ok {
		return
	}
	if _, has := object["id"]; has && e.id {
		object["id"] = "excused"
	}
	if e.usage {
		counts(object, map[string]int64{})
	}
}

// counts adds the token counts of an answer to sums, by their path, and leaves a
// word in the place of each.
func counts(answer map[string]any, sums map[string]int64) {
	for _, name := range []string{"usage", "meta"} {
		if v, has := answer[name].(map[string]any); has {
			countIn(v, name, sums)
		}
	}
}

func countIn(object map[string]any, path string, sums map[string]int64) {
	for name, v := range object {
		switch v := v.(type) {
		case map[string]any:
			countIn(v, path+"."+name, sums)
		case json.Number:
			if n, err := v.Int64(); err == nil {
				sums[path+"."+name] += n
				object[name] = "counted elsewhere"
			}
		}
	}
}

// tally adds an answer's token counts to sums.
func tally(sums map[string]int64, a *answer) {
	v, err := tree(a)
	if object, ok := v.(map[string]any); err == nil && ok {
		counts(object, sums)
	}
}

// The comparison finds what it is for.
func TestCompare(t *testing.T) {
	plain := func(body string) *answer {
		return &answer{status: 200, header: http.Header{"Content-Type": {"application/json"}}, body: []byte(body)}
	}
	text := func(body string) *answer {
		return &answer{status: 200, header: http.Header{"Content-Type": {"text/plain"}}, body: []byte(body)}
	}
	raw := func(n int, body string) *answer {
		a := text(body)
		a.header.Set("Inference-Header-Content-Length", strconv.Itoa(n))
		return a
	}
	retry := plain(`1`)
	retry.header.Set("Retry-After", "1")
	teapot := plain(`1`)
	teapot.status = 418
	for _, tc := range []struct {
		a, b  *answer
		e     excuse
		equal bool
	}{
		{plain(`{"a":1,"b":[2]}`), plain(` {"b": [2], "a": 1}`), excuse{}, true},
		{plain(`{"a":1}`), plain(`{"a":1.0}`), excuse{}, false},
		{plain(`{"a":9007199254740993}`), plain(`{"a":9007199254740992}`), excuse{}, false},
		{plain(`{"a":1}`), plain(`{"a":1}x`), excuse{}, false},
		{plain(`{"id":"x"}`), plain(`{"id":"y"}`), excuse{}, false},
		{plain(`{"id":"x"}`), plain(`{"id":"y"}`), excuse{id: true}, true},
		{plain(`{"id":"x"}`), plain(`{}`), excuse{id: true}, false},
		{plain(`{"usage":{"total_tokens":1}}`), plain(`{"usage":{"total_tokens":2}}`), excuse{usage: true}, true},
		{plain(`{"usage":{"total_tokens":1}}`), plain(`{"usage":{"prompt_tokens":1}}`), excuse{usage: true}, false},
		{plain(`{"usage":{"total_tokens":1}}`), plain(`{"usage":null}`), excuse{usage: true}, false},
		{plain(`{"usage":{"total_tokens":1}}`), plain(`{"usage":{"total_tokens":1.5}}`), excuse{usage: true}, false},
		{plain(`{"meta":{"billed_units":{"x":1}}}`), plain(`{"meta":{"billed_units":{"x":2}}}`), excuse{usage: true}, true},
		{plain(`{"data":[{"index":1},{"index":0}]}`), plain(`{"data":[{"index":0},{"index":1}]}`), excuse{}, true},
		{plain(`{"data":[{"index":0},{"index":1}]}`), plain(`{"data":[{"index":1},{"index":0}]}`), excuse{}, false},
		{text(`{"a":1}`), text(`{"a": 1}`), excuse{}, false},
		{raw(7, `{"a":1}xyz`), raw(8, `{"a": 1}xyz`), excuse{}, true},
		{raw(7, `{"a":1}xyz`), raw(7, `{"a":1}xyy`), excuse{}, false},
		{raw(7, `{"a":1}xyz`), raw(8, `{"a":1}xyz`), excuse{}, false},
		{raw(7, `{"a":1}xyz`), text(`{"a":1}xyz`), excuse{}, false},
		{plain(`1`), text(`1`), excuse{}, false},
		{plain(`1`), retry, excuse{}, false},
		{plain(`1`), teapot, excuse{}, false},
		{plain(`1`), &answer{err: http.ErrServerClosed}, excuse{}, false},
	} {
		require.Equal(t, tc.equal, compare(tc.a, tc.b, tc.e) == "", "%s and %s", tc.a, tc.b)
	}
}
