package inference_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/filters/inference"
)

// writer makes requests that may share a call, each written in its own way.
type writer struct {
	*rand.Rand
	options string // what all of them have
	flat    bool
	tokens  bool
	dims    []int
}

func newWriter(seed uint64) *writer {
	w := &writer{Rand: rand.New(rand.NewPCG(seed, 7))} // #nosec G404 -- repeatable on purpose
	w.flat, w.tokens = w.IntN(2) == 0, w.IntN(2) == 0
	w.options = w.pick(`"parameters":{"a":1.0}`, `"signature_name":"s\u0061"`, `"z":[ ]`, `"parameters" : null`)
	for range 1 + w.IntN(2) {
		w.dims = append(w.dims, 1+w.IntN(3))
	}
	return w
}

func (w *writer) pick(of ...string) string { return of[w.IntN(len(of))] }

// list joins n texts as an array, with white space of any kind.
func (w *writer) list(n int, one func() string) string {
	var s strings.Builder
	s.WriteString("[" + w.space())
	for i := range n {
		if i > 0 {
			s.WriteString(w.space() + "," + w.space())
		}
		s.WriteString(one())
	}
	return s.String() + w.space() + "]"
}

func (w *writer) space() string { return w.pick("", "", "", " ", "\n\t", "\r\n  ") }

func (w *writer) number() string {
	return w.pick("0", "-0", "1.50", "12345678901234567890", "1E-7", "-0.0", fmt.Sprint(w.Float64()))
}

func (w *writer) text() string {
	return w.pick(`"a"`, `"\u00e9\n"`, `"[1,\"2\"]"`, `"日本 語"`, `"\\"`, `"longer than eight bytes, and than sixteen"`)
}

// object joins members in any order.
func (w *writer) object(members ...string) string {
	w.Shuffle(len(members), func(i, j int) { members[i], members[j] = members[j], members[i] })
	return w.space() + "{" + w.space() + strings.Join(members, w.space()+","+w.space()) + w.space() + "}" + w.space()
}

// body is a request of n items.
func (w *writer) body(path string, n int) string {
	if body := w.more(path, n); body != "" {
		return body
	}
	switch path {
	case pathOpenAI:
		return w.object(`"input":`+w.inputs(n), `"model":"m"`, w.options)
	case pathV1, pathTFRows:
		instance := func() string {
			return w.pick(w.number(), w.text(), "null", w.list(2, w.number), w.object(`"b64":"QQ=="`, `"x":`+w.number()))
		}
		return w.object(`"instances" : `+w.list(n, instance), w.options)
	}
	tensors := 0
	inputs := w.list(2, func() string {
		tensors++
		shape := w.list(1, func() string { return fmt.Sprint(n) })
		dims := w.dims
		if tensors == 2 {
			dims = nil
		}
		shape = strings.TrimRight(shape, "] \r\n\t")
		for _, d := range dims {
			shape += fmt.Sprintf(",%d", d)
		}
		kind, value := `"FP32"`, w.number
		if tensors == 1 && w.tokens {
			kind, value = `"BYTES"`, w.text
		}
		return w.object(fmt.Sprintf(`"name":"x%d"`, tensors), `"shape":`+shape+"]", `"datatype":`+kind,
			`"data":`+w.data(append([]int{n}, dims...), value), `"parameters":{"p":[1]}`)
	})
	members := []string{`"inputs":` + inputs, w.options}
	if w.IntN(3) > 0 {
		members = append(members, fmt.Sprintf(`"id":%s`, w.pick(`"a"`, `"b\"c"`, "null")))
	}
	return w.object(members...)
}

func (w *writer) data(dims []int, value func() string) string {
	if w.flat {
		n := 1
		for _, d := range dims {
			n *= d
		}
		return w.list(n, value)
	}
	return w.list(dims[0], func() string {
		if len(dims) == 1 {
			return value()
		}
		return w.data(dims[1:], value)
	})
}

// same requires two answers to be equal but for the shares of the usage and for an
// id that the server made.
func same(t *testing.T, path, body string, want, got []byte) {
	t.Helper()
	require.True(t, json.Valid(got), "%s", got)
	if got[0] == '[' {
		require.Equal(t, decodeAny(t, want), decodeAny(t, got), "%s", body)
		return
	}
	wanted, found := decode(t, want), decode(t, got)
	for _, answer := range []object{wanted, found} {
		if counted(path) {
			delete(answer, "usage")
			delete(answer, "meta")
		}
		order(answer, "data")
		order(answer, "choices")
	}
	if path == pathV2 && decode(t, []byte(body))["id"] == nil {
		require.Contains(t, found, "id")
		delete(wanted, "id")
		delete(found, "id")
	}
	require.Equal(t, wanted, found, "%s", body)
}

// order puts an answer's results in the order of their index.
func order(answer object, name string) {
	data, ok := answer[name].([]any)
	if !ok {
		return
	}
	ordered := make([]any, len(data))
	for _, d := range data {
		i, err := d.(object)["index"].(json.Number).Int64()
		if err == nil {
			ordered[i] = d
		}
	}
	answer[name] = ordered
}

// roundTrip sends requests together, and one of them in slices, and requires the
// answers to be those that each gets alone.
func roundTrip(t *testing.T, path string, seed uint64) {
	t.Helper()
	w := newWriter(seed)
	bodies := make([]string, 1+w.IntN(5))
	calls := make([]*inference.Call, len(bodies))
	for i := range bodies {
		n := 1 + w.IntN(4)
		bodies[i] = w.body(path, n)
		calls[i] = understand(t, path, bodies[i])
		require.Equal(t, n, calls[i].Items, bodies[i])
		require.Equal(t, calls[0].Key, calls[i].Key, "%s\n%s", bodies[0], bodies[i])
	}
	answer := model(t, path, inference.Merge(calls))
	answers, err := inference.Split(calls, answer)
	require.NoError(t, err)
	used := map[string]int64{}
	for i, body := range bodies {
		single := model(t, path, []byte(body))
		same(t, path, body, single, answers[i])
		if !counted(path) {
			continue
		}
		told := counts(t, answers[i])
		for name, n := range told {
			used[name] += n
		}
		if path == pathOpenAI && w.tokens {
			require.Equal(t, counts(t, single)["usage.total_tokens"], told["usage.total_tokens"], "exact where tokens are told")
		}
		if path == pathCompletions {
			require.Equal(t, told["usage.total_tokens"], told["usage.prompt_tokens"]+told["usage.completion_tokens"])
		}
	}
	if counted(path) {
		require.Equal(t, counts(t, answer), used)
	}

	whole := calls[0]
	var parts []*inference.Call
	var partly [][]byte
	for from := 0; from < whole.Items; {
		to := from + 1 + w.IntN(whole.Items-from)
		part := whole.Slice(from, to)
		parts = append(parts, part)
		// In company, as the batcher sends the last of an oversize request.
		company := []*inference.Call{calls[len(calls)-1], part}
		split, err := inference.Split(company, model(t, path, inference.Merge(company)))
		require.NoError(t, err)
		if w.IntN(2) == 0 {
			split[1] = model(t, path, part.Body)
		}
		partly = append(partly, split[1])
		from = to
	}
	joined, err := inference.Join(whole, parts, partly)
	require.NoError(t, err)
	same(t, path, bodies[0], model(t, path, []byte(bodies[0])), joined)
}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	for _, path := range paths() {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(300) {
				roundTrip(t, path, seed)
			}
		})
	}
}

func FuzzRoundTrip(f *testing.F) {
	for seed := range uint8(22) {
		f.Add(seed, uint64(seed))
	}
	f.Fuzz(func(t *testing.T, path uint8, seed uint64) {
		roundTrip(t, paths()[int(path)%len(paths())], seed)
	})
}
