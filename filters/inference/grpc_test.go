package inference_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/fridaymesh/friday/filters/filtertest"
	"github.com/fridaymesh/friday/filters/inference"
)

// field is a field of m by its name.
func field(m protoreflect.Message, name string) protoreflect.FieldDescriptor {
	return m.Descriptor().Fields().ByName(protoreflect.Name(name))
}

// rawRows cuts raw data into n rows.
func rawRows(t testing.TB, datatype string, raw []byte, n int) [][]byte {
	t.Helper()
	var elements [][]byte
	if datatype == "BYTES" {
		for rest := raw; len(rest) > 0; {
			size := 4 + int(binary.LittleEndian.Uint32(rest))
			elements = append(elements, rest[:size])
			rest = rest[size:]
		}
	} else {
		for i := range raw {
			elements = append(elements, raw[i:i+1])
		}
	}
	require.Zero(t, len(elements)%n)
	rows := make([][]byte, n)
	for i := range rows {
		rows[i] = bytes.Join(elements[i*len(elements)/n:(i+1)*len(elements)/n], nil)
	}
	return rows
}

func hash(row string) []byte {
	h := fnv.New32a()
	_, _ = h.Write([]byte(row))
	return h.Sum(nil)
}

// modelGRPC answers as model does: of each input, the input itself and a number that
// depends on the row.
func modelGRPC(t testing.TB, body string) string {
	t.Helper()
	dynamic, err := filtertest.Unframe("ModelInferRequest", body)
	require.NoError(t, err)
	req := dynamic.ProtoReflect()
	answer := filtertest.Message("ModelInferResponse", `model_version: "1"`)
	resp := answer.ProtoReflect()
	resp.Set(field(resp, "model_name"), req.Get(field(req, "model_name")))
	id := req.Get(field(req, "id")).String()
	if id == "" {
		id = "made"
	}
	resp.Set(field(resp, "id"), protoreflect.ValueOfString(id))
	resp.SetUnknown(req.GetUnknown())
	raws := req.Get(field(req, "raw_input_contents")).List()
	inputs := req.Get(field(req, "inputs")).List()
	outputs := resp.Mutable(field(resp, "outputs")).List()
	answerRaw := func(raw []byte) {
		resp.Mutable(field(resp, "raw_output_contents")).List().Append(protoreflect.ValueOfBytes(raw))
	}
	for i := range inputs.Len() {
		in := inputs.Get(i).Message()
		outputs.Append(protoreflect.ValueOfMessage(proto.Clone(in.Interface()).ProtoReflect()))
		n := int(in.Get(field(in, "shape")).List().Get(0).Int())
		sums := outputs.NewElement().Message()
		sums.Set(field(sums, "name"), protoreflect.ValueOfString("sum"))
		sums.Set(field(sums, "datatype"), protoreflect.ValueOfString("FP32"))
		sums.Mutable(field(sums, "shape")).List().Append(protoreflect.ValueOfInt64(int64(n)))
		outputs.Append(protoreflect.ValueOfMessage(sums))
		if raws.Len() > 0 {
			raw := raws.Get(i).Bytes()
			answerRaw(raw)
			var all []byte
			for _, row := range rawRows(t, in.Get(field(in, "datatype")).String(), raw, n) {
				all = append(all, hash(string(row))...)
			}
			answerRaw(all)
			continue
		}
		contents := sums.Mutable(field(sums, "contents")).Message()
		floats := contents.Mutable(field(contents, "fp32_contents")).List()
		in.Get(field(in, "contents")).Message().Range(func(_ protoreflect.FieldDescriptor, v protoreflect.Value) bool {
			require.Zero(t, v.List().Len()%n)
			for row := range n {
				var all string
				for i := row * v.List().Len() / n; i < (row+1)*v.List().Len()/n; i++ {
					all += fmt.Sprint(v.List().Get(i).Interface(), ";")
				}
				floats.Append(protoreflect.ValueOfFloat32(float32(binary.BigEndian.Uint32(hash(all)) >> 9)))
			}
			return false
		})
	}
	return filtertest.Frame(answer)
}

// infers makes requests that may share a call.
type infers struct {
	*rand.Rand
	raw    bool
	kinds  []int
	dims   []int64
	more   bool
	wanted bool
}

func newInfers(seed uint64) *infers {
	w := &infers{Rand: rand.New(rand.NewPCG(seed, 8))} // #nosec G404 -- repeatable on purpose
	w.raw, w.more, w.wanted = w.IntN(2) == 0, w.IntN(2) == 0, w.IntN(2) == 0
	for range 1 + w.IntN(3) {
		w.kinds = append(w.kinds, w.IntN(len(lists)))
	}
	for range w.IntN(3) {
		w.dims = append(w.dims, 1+w.Int64N(3))
	}
	return w
}

// lists are the typed contents, and what the same is when it is raw.
var lists = [...]struct {
	list, datatype string
	size           int
}{
	{"bool_contents", "BOOL", 1},
	{"int_contents", "INT32", 4},
	{"int64_contents", "INT64", 8},
	{"uint_contents", "UINT16", 2},
	{"uint64_contents", "UINT64", 8},
	{"fp32_contents", "FP32", 4},
	{"fp64_contents", "FP64", 8},
	{"bytes_contents", "BYTES", 0},
}

func (w *infers) value(kind int) protoreflect.Value {
	n := w.Uint64() >> w.IntN(64)
	switch kind {
	case 0:
		return protoreflect.ValueOfBool(n%2 == 0)
	case 1:
		return protoreflect.ValueOfInt32(int32(n)) // #nosec G115 -- any will do
	case 2:
		return protoreflect.ValueOfInt64(int64(n)) // #nosec G115 -- any will do
	case 3:
		return protoreflect.ValueOfUint32(uint32(n)) // #nosec G115 -- any will do
	case 4:
		return protoreflect.ValueOfUint64(n)
	case 5:
		return protoreflect.ValueOfFloat32(math.Float32frombits(uint32(n >> 9))) // #nosec G115 -- any will do
	case 6:
		return protoreflect.ValueOfFloat64(float64(n))
	}
	return protoreflect.ValueOfBytes(w.bytes(w.IntN(300)))
}

func (w *infers) bytes(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(w.Uint32()) // #nosec G115 -- any will do
	}
	return b
}

// message is a request of n rows.
func (w *infers) message(n int) *dynamicpb.Message {
	text := `model_name: "gm" model_version: "2" parameters { key: "b" value { bool_param: true } }
		parameters { key: "a" value { string_param: "x" } } parameters { key: "sequence_start" value { bool_param: false } }`
	if w.wanted {
		text += ` outputs { name: "o" parameters { key: "x" value { int64_param: 3 } } parameters { key: "y" value { double_param: 1 } } }`
	}
	if w.IntN(3) > 0 {
		text += fmt.Sprintf(` id: "%x"`, w.bytes(w.IntN(100)))
	}
	m := filtertest.Message("ModelInferRequest", text)
	req := m.ProtoReflect()
	if w.more {
		req.SetUnknown(protowire.AppendVarint(protowire.AppendTag(nil, 99, protowire.VarintType), 7))
	}
	for i, kind := range w.kinds {
		inputs := req.Mutable(field(req, "inputs")).List()
		in := inputs.AppendMutable().Message()
		in.Set(field(in, "name"), protoreflect.ValueOfString(fmt.Sprint("x", i)))
		in.Set(field(in, "datatype"), protoreflect.ValueOfString(lists[kind].datatype))
		elements := n
		shape := in.Mutable(field(in, "shape")).List()
		shape.Append(protoreflect.ValueOfInt64(int64(n)))
		for _, dim := range w.dims {
			elements *= int(dim)
			shape.Append(protoreflect.ValueOfInt64(dim))
		}
		if w.raw {
			raw := w.bytes(elements * lists[kind].size)
			for range elements * (1 - min(1, lists[kind].size)) {
				text := w.bytes(w.IntN(5))
				raw = append(binary.LittleEndian.AppendUint32(raw, uint32(len(text))), text...) // #nosec G115 -- short
			}
			req.Mutable(field(req, "raw_input_contents")).List().Append(protoreflect.ValueOfBytes(raw))
			continue
		}
		contents := in.Mutable(field(in, "contents")).Message()
		list := contents.Mutable(field(contents, lists[kind].list)).List()
		for range elements {
			list.Append(w.value(kind))
		}
	}
	return m
}

func understandGRPC(t testing.TB, body string) *inference.Call {
	t.Helper()
	c, err := inference.Of(filtertest.GRPCRequest(body), 1<<20)
	require.NoError(t, err)
	require.NotNil(t, c, "%q", body)
	return c
}

// sameMessage requires two answers to say the same, but for an id that the server made.
func sameMessage(t testing.TB, want string, got []byte) {
	t.Helper()
	w, err := filtertest.Unframe("ModelInferResponse", want)
	require.NoError(t, err)
	g, err := filtertest.Unframe("ModelInferResponse", string(got))
	require.NoError(t, err)
	if id := field(w.ProtoReflect(), "id"); w.ProtoReflect().Get(id).String() == "made" {
		g.ProtoReflect().Set(id, w.ProtoReflect().Get(id))
	}
	require.True(t, proto.Equal(w, g), "%s\n%s", w, g)
}

func roundTripGRPC(t *testing.T, seed uint64) {
	t.Helper()
	w := newInfers(seed)
	bodies := make([]string, 1+w.IntN(5))
	calls := make([]*inference.Call, len(bodies))
	for i := range bodies {
		n := 1 + w.IntN(40)
		bodies[i] = filtertest.Frame(w.message(n))
		calls[i] = understandGRPC(t, bodies[i])
		require.Equal(t, n, calls[i].Items)
		require.Equal(t, "gm", calls[i].Model)
		require.Equal(t, calls[0].Key, calls[i].Key, "%q\n%q", bodies[0], bodies[i])
	}
	merged := string(inference.Merge(calls))
	understandGRPC(t, merged)
	answers, err := inference.Split(calls, []byte(modelGRPC(t, merged)))
	require.NoError(t, err)
	for i, body := range bodies {
		sameMessage(t, modelGRPC(t, body), answers[i])
	}

	whole := calls[0]
	var parts []*inference.Call
	var partly [][]byte
	for from := 0; from < whole.Items; {
		to := from + 1 + w.IntN(whole.Items-from)
		part := whole.Slice(from, to)
		parts = append(parts, part)
		company := []*inference.Call{calls[len(calls)-1], part}
		split, err := inference.Split(company, []byte(modelGRPC(t, string(inference.Merge(company)))))
		require.NoError(t, err)
		if w.IntN(2) == 0 {
			split[1] = []byte(modelGRPC(t, string(part.Body)))
		}
		partly = append(partly, split[1])
		from = to
	}
	joined, err := inference.Join(whole, parts, partly)
	require.NoError(t, err)
	sameMessage(t, modelGRPC(t, bodies[0]), joined)
}

func TestRoundTripGRPC(t *testing.T) {
	t.Parallel()
	for seed := range uint64(80) {
		roundTripGRPC(t, seed)
	}
}

func FuzzRoundTripGRPC(f *testing.F) {
	for seed := range uint64(4) {
		f.Add(seed)
	}
	f.Fuzz(roundTripGRPC)
}

// FuzzGRPC throws any bytes at the reader: what is understood is a message to
// Protocol Buffers' own library too, and so is what is made of it.
func FuzzGRPC(f *testing.F) {
	for seed := range uint64(8) {
		w := newInfers(seed)
		a, b := filtertest.Frame(w.message(2)), filtertest.Frame(w.message(3))
		f.Add([]byte(a)[5:], []byte(b)[5:], []byte(modelGRPC(f, a))[5:])
	}
	f.Fuzz(func(t *testing.T, a, b, answer []byte) {
		frame := func(m []byte) []byte {
			return append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(m))), m...) // #nosec G115 -- short
		}
		first, err := inference.Of(filtertest.GRPCRequest(string(frame(a))), 1<<20)
		require.NoError(t, err)
		second, err := inference.Of(filtertest.GRPCRequest(string(frame(b))), 1<<20)
		require.NoError(t, err)
		if first == nil {
			return
		}
		_, err = filtertest.Unframe("ModelInferRequest", string(frame(a)))
		valid := err == nil // the names in it may be no UTF-8
		calls := []*inference.Call{first, first}
		if second != nil && second.Key == first.Key {
			calls[1] = second
		}
		merged := string(inference.Merge(calls))
		again := understandGRPC(t, merged)
		require.Equal(t, calls[0].Items+calls[1].Items, again.Items)
		require.Equal(t, first.Key, again.Key)
		half := understandGRPC(t, string(first.Slice(first.Items/2, first.Items).Body))
		require.Equal(t, first.Items-first.Items/2, half.Items)
		if valid {
			_, err = filtertest.Unframe("ModelInferRequest", merged)
			require.NoError(t, err)
		}
		answers, err := inference.Split([]*inference.Call{first, first}, frame(answer))
		if err != nil {
			require.ErrorIs(t, err, inference.ErrMismatch)
			return
		}
		joined, err := inference.Join(first, []*inference.Call{first}, answers[:1])
		require.NoError(t, err)
		require.Equal(t, answers[0], joined)
	})
}
