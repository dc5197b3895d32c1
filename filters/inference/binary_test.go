package inference_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp"

	"github.com/fridaymesh/friday/filters/inference"
	"github.com/fridaymesh/friday/proxy"
)

const lengthHeader = "Inference-Header-Content-Length"

// raw is a body of which the first part is JSON; told says that a header says so.
type raw struct {
	body   string
	length int
	told   bool
}

func (r raw) request() *proxy.Request {
	req := request(pathV2, r.body)
	if r.told {
		req.Header.SetContentType("application/octet-stream")
		req.Header.Set(lengthHeader, strconv.Itoa(r.length))
	}
	return req
}

func (r raw) understood(t testing.TB) *inference.Call {
	t.Helper()
	c, err := inference.Of(r.request(), 1<<20)
	require.NoError(t, err)
	require.NotNil(t, c, "%q", r.body)
	return c
}

// sent is what a call of body that began as r is sent as.
func (r raw) sent(t testing.TB, body []byte) raw {
	t.Helper()
	req := r.request()
	inference.Describe(req.Header, body)
	require.Equal(t, len(body), req.Header.ContentLength())
	length, err := strconv.Atoi(string(req.Header.Peek(lengthHeader)))
	require.Equal(t, r.told, err == nil)
	if !r.told {
		length = len(body)
	}
	return raw{string(body), length, r.told}
}

// got is the answer that a caller gets of whose merged call r was the answer.
func (r raw) got(t testing.TB, body []byte) raw {
	t.Helper()
	if !r.told {
		return raw{string(body), len(body), false}
	}
	var h fasthttp.ResponseHeader
	h.Set(lengthHeader, strconv.Itoa(r.length))
	told, err := inference.TellsJSON(&h, []byte(r.body))
	require.NoError(t, err)
	require.True(t, told)
	inference.DescribeAnswer(&h, body)
	length, err := strconv.Atoi(string(h.Peek(lengthHeader)))
	require.NoError(t, err)
	return raw{string(body), length, true}
}

// modelRaw answers as model does: of each input the sums of its rows and texts of
// them, raw where the request wants it so.
func modelRaw(t testing.TB, r raw) raw {
	t.Helper()
	req := decode(t, []byte(r.body)[:r.length])
	rest := []byte(r.body)[r.length:]
	wanted, _ := req["parameters"].(object)["binary_data_output"].(bool)
	outputs := []string{}
	var behind []byte
	output := func(name any, kind string, n int, text string, raw []byte) {
		if wanted {
			outputs = append(outputs, fmt.Sprintf(`{"name":"%v","datatype":%q,"shape":[%d,1],"parameters":{"binary_data_size": %d }}`, name, kind, n, len(raw)))
			behind = append(behind, raw...)
			return
		}
		outputs = append(outputs, fmt.Sprintf(`{"name":"%v","datatype":%q,"shape":[%d,1],"data":[%s]}`, name, kind, n, text))
	}
	for _, in := range req["inputs"].([]any) {
		in := in.(object)
		n, err := strconv.Atoi(string(in["shape"].([]any)[0].(json.Number)))
		require.NoError(t, err)
		rows := make([]string, n)
		if data, ok := in["data"].([]any); ok {
			for i := range rows {
				rows[i] = fmt.Sprint(data[i*len(data)/n : (i+1)*len(data)/n])
			}
		} else {
			size, err := strconv.Atoi(string(in["parameters"].(object)["binary_data_size"].(json.Number)))
			require.NoError(t, err)
			for i, row := range rawRows(t, in["datatype"].(string), rest[:size], n) {
				rows[i] = string(row)
			}
			rest = rest[size:]
		}
		var sums, texts []byte
		var sumText, textText []string
		for _, row := range rows {
			sums = append(sums, hash(row)...)
			sumText = append(sumText, fmt.Sprint(binary.BigEndian.Uint32(hash(row))))
			long := strings.Repeat("x", int(hash(row)[0]))
			texts = append(binary.LittleEndian.AppendUint32(texts, uint32(len(long))), long...) // #nosec G115 -- short
			textText = append(textText, strconv.Quote(long))
		}
		output(in["name"], "UINT32", n, strings.Join(sumText, ","), sums)
		output(fmt.Sprint(in["name"], "_text"), "BYTES", n, strings.Join(textText, " , "), texts)
	}
	require.Empty(t, rest)
	id := `"made"`
	if req["id"] != nil {
		id = string(encode(t, req["id"]))
	}
	text := fmt.Sprintf(` {"outputs":[%s],"id": %s,"model_name":"m"}`, strings.Join(outputs, " , "), id)
	return raw{text + string(behind), len(text), wanted}
}

// binaries makes requests that may share a call.
type binaries struct {
	*rand.Rand
	behind []bool // by input: raw
	kinds  []string
	dims   []int
	wanted string
}

func newBinaries(seed uint64) *binaries {
	w := &binaries{Rand: rand.New(rand.NewPCG(seed, 9))} // #nosec G404 -- repeatable on purpose
	w.wanted = []string{"true", "false"}[w.IntN(2)]
	for range 1 + w.IntN(3) {
		w.behind = append(w.behind, w.IntN(3) > 0)
		w.kinds = append(w.kinds, []string{"FP32", "INT64", "BYTES", "UINT8", "FP16"}[w.IntN(5)])
	}
	for range w.IntN(3) {
		w.dims = append(w.dims, 1+w.IntN(3))
	}
	return w
}

func (w *binaries) body(n int) raw {
	var inputs []string
	var behind []byte
	for i, kind := range w.kinds {
		shape, elements := fmt.Sprint(n), n
		for _, dim := range w.dims {
			shape += fmt.Sprintf(", %d", dim)
			elements *= dim
		}
		data := make([]string, elements)
		for e := range data {
			data[e] = fmt.Sprint(w.IntN(1000))
		}
		form := `"data":[` + strings.Join(data, ",") + `]`
		if w.behind[i] {
			at := len(behind)
			size := map[string]int{"FP32": 4, "INT64": 8, "UINT8": 1, "FP16": 2}[kind]
			for range elements {
				length := size
				if kind == "BYTES" {
					length = w.IntN(20)
					behind = binary.LittleEndian.AppendUint32(behind, uint32(length)) // #nosec G115 -- short
				}
				for range length {
					behind = append(behind, byte(w.Uint32())) // #nosec G115 -- any will do
				}
			}
			form = fmt.Sprintf(`"parameters":{"p":"q", "binary_data_size" : %d}`, len(behind)-at)
		}
		inputs = append(inputs, fmt.Sprintf(`{"name":"x%d","datatype":%q,"shape":[%s],%s}`, i, kind, shape, form))
	}
	id := ""
	if w.IntN(3) > 0 {
		id = fmt.Sprintf(`"id":"%d",`, w.Uint32())
	}
	text := fmt.Sprintf(`{%s"inputs":[%s],"parameters":{"binary_data_output":%s}}%s`, id, strings.Join(inputs, ","), w.wanted,
		strings.Repeat(" ", w.IntN(2)))
	return raw{text + string(behind), len(text), len(behind) > 0}
}

func sameRaw(t *testing.T, want, got raw) {
	t.Helper()
	require.Equal(t, want.told, got.told)
	wanted, found := decode(t, []byte(want.body)[:want.length]), decode(t, []byte(got.body)[:got.length])
	if wanted["id"] == "made" {
		found["id"] = "made"
	}
	require.Equal(t, wanted, found)
	require.Equal(t, want.body[want.length:], got.body[got.length:])
}

func roundTripRaw(t *testing.T, seed uint64) {
	t.Helper()
	w := newBinaries(seed)
	bodies := make([]raw, 1+w.IntN(5))
	calls := make([]*inference.Call, len(bodies))
	for i := range bodies {
		n := 1 + w.IntN(20)
		bodies[i] = w.body(n)
		calls[i] = bodies[i].understood(t)
		require.Equal(t, n, calls[i].Items)
		require.Equal(t, calls[0].Key, calls[i].Key, "%q\n%q", bodies[0].body, bodies[i].body)
	}
	merged := bodies[0].sent(t, inference.Merge(calls))
	merged.understood(t)
	answer := modelRaw(t, merged)
	answers, err := inference.Split(calls, []byte(answer.body))
	require.NoError(t, err)
	for i, body := range bodies {
		sameRaw(t, modelRaw(t, body), answer.got(t, answers[i]))
	}

	whole := calls[0]
	var parts []*inference.Call
	var partly [][]byte
	var first raw
	for from := 0; from < whole.Items; {
		to := from + 1 + w.IntN(whole.Items-from)
		part := whole.Slice(from, to)
		answer := modelRaw(t, bodies[0].sent(t, part.Body))
		if from == 0 {
			first = answer
		}
		parts, partly = append(parts, part), append(partly, []byte(answer.body))
		from = to
	}
	joined, err := inference.Join(whole, parts, partly)
	require.NoError(t, err)
	sameRaw(t, modelRaw(t, bodies[0]), first.got(t, joined))
}

func TestRoundTripRaw(t *testing.T) {
	t.Parallel()
	for seed := range uint64(80) {
		roundTripRaw(t, seed)
	}
}

func FuzzRoundTripRaw(f *testing.F) {
	for seed := range uint64(4) {
		f.Add(seed)
	}
	f.Fuzz(roundTripRaw)
}

// FuzzRaw throws any JSON and any bytes behind it at the reader: what is understood
// can be merged, cut and understood again.
func FuzzRaw(f *testing.F) {
	for seed := range uint64(8) {
		w := newBinaries(seed)
		a, b := w.body(2), w.body(3)
		answer := modelRaw(f, a)
		f.Add(a.body[:a.length], a.body[a.length:], b.body[:b.length], b.body[b.length:], []byte(answer.body))
	}
	f.Fuzz(func(t *testing.T, text, behind, text2, behind2 string, answer []byte) {
		one, two := raw{text + behind, len(text), true}, raw{text2 + behind2, len(text2), true}
		first, err := inference.Of(one.request(), 1<<20)
		require.NoError(t, err)
		second, err := inference.Of(two.request(), 1<<20)
		require.NoError(t, err)
		if first == nil {
			return
		}
		require.True(t, json.Valid([]byte(text)))
		calls := []*inference.Call{first, first}
		if second != nil && second.Key == first.Key {
			calls[1] = second
		}
		again := one.sent(t, inference.Merge(calls)).understood(t)
		require.Equal(t, calls[0].Items+calls[1].Items, again.Items)
		require.Equal(t, first.Key, again.Key)
		half := one.sent(t, first.Slice(first.Items/2, first.Items).Body).understood(t)
		require.Equal(t, first.Items-first.Items/2, half.Items)

		answers, err := inference.Split([]*inference.Call{first, first}, answer)
		if err != nil {
			require.ErrorIs(t, err, inference.ErrMismatch)
			return
		}
		joined, err := inference.Join(first, []*inference.Call{first}, answers[:1])
		require.NoError(t, err)
		require.True(t, bytes.Equal(answers[0], joined))
	})
}
