package modelinfer_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/fridaymesh/friday/filters/filtertest"
	"github.com/fridaymesh/friday/filters/inference/modelinfer"
	"github.com/fridaymesh/friday/filters/inference/wire"
)

// request reads what text, in prototext, says.
func request(text string) *wire.Message {
	return modelinfer.Protocol{}.Request(wire.Target{}, []byte(filtertest.Frame(filtertest.Message("ModelInferRequest", text))))
}

// input is one typed tensor, with more of its fields.
func input(shape, contents string, more ...string) string {
	return fmt.Sprintf(`inputs { name: "x" datatype: "FP32" shape: %s contents { %s } %s } `, shape, contents, strings.Join(more, " "))
}

func TestRequest(t *testing.T) {
	t.Parallel()
	const rawInput = `inputs { name: "x" datatype: "INT16" shape: [2, 1] } `
	parameter := func(name, value string) string {
		return fmt.Sprintf(`parameters { key: %q value { %s } } `, name, value)
	}
	one := input(`[1]`, `fp32_contents: 1`)
	tests := []struct {
		text  string
		items int // 0: not understood
	}{
		{one, 1},
		{input(`[2, 3]`, `fp32_contents: [1,2,3,4,5,6]`), 2},
		{input(`[2]`, `fp64_contents: [1,2]`), 2},
		{input(`[2]`, `bool_contents: [true, false]`), 2},
		{input(`[2]`, `int_contents: [-1, 1]`), 2},
		{input(`[2]`, `int64_contents: [-1, 300]`), 2},
		{input(`[2]`, `uint_contents: [1, 300]`), 2},
		{input(`[2]`, `uint64_contents: [1, 300]`), 2},
		{input(`[2, 2]`, `bytes_contents: ["", "a", "bc", ""]`), 2},
		{input(`[300]`, `bool_contents: [`+strings.Repeat("true,", 299)+`true]`), 300},
		{one + input(`[1, 2]`, `fp32_contents: [1, 2]`), 1},
		{rawInput + `raw_input_contents: "aabb"`, 2},
		{rawInput + rawInput + `raw_input_contents: ["aabb", "ccdd"]`, 2},
		{`inputs { name: "x" datatype: "INT16" shape: [2] contents {} } raw_input_contents: "aabb"`, 2},
		{one + parameter("a", "int64_param: 1") + parameter("", "") + `model_name: "m" model_version: "1" id: "7"`, 1},
		{one + parameter("sequence_start", "bool_param: false"), 1},
		{one + `outputs { name: "o" ` + parameter("classification", "int64_param: 2") + `}`, 1},
		{strings.Repeat(one, 1024), 1},

		{``, 0},
		{strings.Repeat(one, 1025), 0},
		{`model_name: "m"`, 0},
		{`inputs {}`, 0},
		{input(`[]`, `fp32_contents: 1`), 0},
		{input(`[0]`, ``), 0},
		{input(`[0]`, `fp32_contents: 1`), 0},
		{input(`[-1]`, `fp32_contents: 1`), 0},
		{input(`[1, 0]`, `fp32_contents: 1`), 0},
		{input(`[1, -1]`, `fp32_contents: 1`), 0},
		{input(`[1, 4611686018427387904, 4]`, `fp32_contents: 1`), 0},
		{input(`[65537]`, `fp32_contents: 1`), 0},
		{input(`[1]`, ``), 0},
		{input(`[2]`, `fp32_contents: 1`), 0},
		{input(`[1]`, `fp32_contents: [1, 2]`), 0},
		{input(`[2, 2]`, `fp64_contents: [1, 2, 3]`), 0},
		{input(`[2]`, `int64_contents: [1]`), 0},
		{input(`[1]`, `int64_contents: [1, 2]`), 0},
		{input(`[2]`, `bytes_contents: ["a"]`), 0},
		{input(`[2]`, `bytes_contents: ["a", "b", "c"]`), 0},
		{input(`[1]`, `fp32_contents: 1 int_contents: 1`), 0},
		{input(`[1]`, `fp32_contents: 1 bytes_contents: "a"`), 0},
		{one + input(`[2]`, `fp32_contents: [1, 2]`), 0},
		{one + `raw_input_contents: "aabb"`, 0},
		{rawInput, 0},
		{rawInput + `raw_input_contents: "aab"`, 0},
		{rawInput + `raw_input_contents: ["aabb", "aabb"]`, 0},
		{rawInput + rawInput + `raw_input_contents: "aabb"`, 0},
		{rawInput + one + `raw_input_contents: ["aabb", ""]`, 0},
		{one + parameter("sequence_id", "int64_param: 1"), 0},
		{one + parameter("sequence_start", "bool_param: true"), 0},
		{input(`[1]`, `fp32_contents: 1`, parameter("shared_memory_region", `string_param: "r"`)), 0},
		{one + `outputs { name: "o" ` + parameter("shared_memory_region", `string_param: "r"`) + `}`, 0},
	}
	for _, test := range tests {
		shown := test.text[:min(200, len(test.text))]
		m := request(test.text)
		if test.items == 0 {
			require.Nil(t, m, shown)
			continue
		}
		require.NotNil(t, m, shown)
		require.Equal(t, test.items, m.Items, shown)
	}
}

// bytesField is a field with a length.
func bytesField(number protowire.Number, parts ...string) string {
	return string(protowire.AppendString(protowire.AppendTag(nil, number, protowire.BytesType), strings.Join(parts, "")))
}

func varintField(number protowire.Number, n uint64) string {
	return string(protowire.AppendVarint(protowire.AppendTag(nil, number, protowire.VarintType), n))
}

func frame(message string) []byte {
	return append([]byte{0, 0, 0, byte(len(message) >> 8), byte(len(message))}, message...)
}

// TestUnusualMessages are valid, or nearly so, but written as no encoder does.
func TestUnusualMessages(t *testing.T) {
	t.Parallel()
	name, datatype, shape := bytesField(1, "x"), bytesField(2, "INT8"), bytesField(3, "\x01")
	contents := bytesField(5, bytesField(2, "\x07"))
	tensor := bytesField(5, name, datatype, shape, contents)
	group := "\x7b\x7c" // field 15, begun and ended
	for text, ok := range map[string]bool{
		tensor: true,
		bytesField(5, contents, shape, datatype, name): true,
		bytesField(5, shape, contents):                 true,
		tensor + varintField(99, 1) + "\x9d\x06abcd":   true,
		"\xaa\x80\x00" + tensor[1:]:                    true, // a tag of three bytes
		bytesField(3, "") + tensor:                     true,

		bytesField(1, "m") + bytesField(1, "m") + tensor:             false,
		bytesField(2, "m") + bytesField(2, "m") + tensor:             false,
		bytesField(3, "m") + tensor + bytesField(3, "m"):             false,
		bytesField(3, "\xff") + tensor:                               false,
		varintField(1, 1) + tensor:                                   false,
		varintField(5, 1) + tensor:                                   false,
		varintField(4, 1) + tensor:                                   false,
		varintField(6, 1) + tensor:                                   false,
		varintField(7, 1) + tensor:                                   false,
		group + tensor:                                               false,
		tensor[:len(tensor)-1]:                                       false,
		tensor + "\x1a":                                              false,
		tensor + "\x1a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f":      false,
		bytesField(5, name, name, shape, contents):                   false,
		bytesField(5, name, shape, shape, contents):                  false,
		bytesField(5, name, varintField(3, 1), contents):             false, // not packed
		bytesField(5, name, shape, contents, contents):               false,
		bytesField(5, name, shape, bytesField(5, varintField(2, 7))): false, // not packed
		bytesField(5, name, bytesField(3, "\x02"), bytesField(5, bytesField(2, "\x07"), bytesField(2, "\x07"))): false,
		bytesField(5, name, shape, bytesField(5, bytesField(2, "\x87"))):                                        false, // a varint cut short
		bytesField(5, name, shape, bytesField(5, bytesField(9, "\x07"))):                                        false,
		bytesField(5, name, shape, bytesField(5, bytesField(8, "a"), varintField(99, 1))):                       false,
		bytesField(5, name, bytesField(3, "\x01\x80"), contents):                                                false,
		tensor + bytesField(4, bytesField(1, "a")) + bytesField(4, bytesField(1, "a")):                          false,
		tensor + bytesField(4, bytesField(1, "a"), bytesField(1, "b")):                                          false,
		tensor + bytesField(4, varintField(1, 1)):                                                               false,
		tensor + bytesField(4, bytesField(3, "a")):                                                              false,
		tensor + bytesField(4, "\x0a"):                                                                          false,
		tensor + bytesField(6, "\x0a"):                                                                          false,
		tensor + bytesField(6, bytesField(1, "a"), bytesField(1, "b")):                                          false,
		tensor + bytesField(6, varintField(2, 1)):                                                               false,
	} {
		m := modelinfer.Protocol{}.Request(wire.Target{}, frame(text))
		require.Equal(t, ok, m != nil, "%q", text)
		if ok {
			all := m.Render(wire.Fill{Pieces: []wire.Piece{{Message: m, To: m.Items}}})
			require.Equal(t, frame(strings.TrimPrefix(text, bytesField(3, ""))), all, "only an id is left out")
		}
	}
	for name, body := range map[string]string{
		"empty": "", "a prefix": "\x00\x00\x00\x00", "compressed": "\x01" + string(frame(tensor))[1:],
		"too long": string(frame(tensor)) + "a", "too short": string(frame(tensor))[:10],
		"two": string(frame(tensor)) + string(frame(tensor)),
	} {
		require.Nil(t, modelinfer.Protocol{}.Request(wire.Target{}, []byte(body)), name)
	}
}

func TestKey(t *testing.T) {
	t.Parallel()
	const tensor = `inputs { name: "x" datatype: "INT32" shape: [1, 2] contents { int_contents: [1, 2] } } `
	const rest = `model_name: "m" model_version: "1" outputs { name: "o" } parameters { key: "a" value { int64_param: 1 } } `
	want := request(tensor + rest + `id: "7"`)
	tests := []struct {
		text  string
		equal bool
	}{
		{tensor + rest, true},
		{rest + `inputs { name: "x" datatype: "INT32" shape: [2, 2] contents { int_contents: [1, 2, 3, 4000] } } id: "8"`, true},
		{rest + `inputs { name: "y" datatype: "INT32" shape: [1, 2] contents { int_contents: [1, 2] } }`, false},
		{rest + `inputs { name: "x" datatype: "INT16" shape: [1, 2] contents { int_contents: [1, 2] } }`, false},
		{rest + `inputs { name: "x" datatype: "INT32" shape: [1, 3] contents { int_contents: [1, 2, 3] } }`, false},
		{rest + `inputs { name: "x" datatype: "INT32" shape: [1, 2, 1] contents { int_contents: [1, 2] } }`, false},
		{rest + `inputs { name: "x" datatype: "INT32" shape: [1, 2] contents { uint_contents: [1, 2] } }`, false},
		{rest + `inputs { name: "x" datatype: "INT32" shape: [1, 2] } raw_input_contents: "aaaabbbb"`, false},
		{rest + `inputs { name: "x" datatype: "INT32" shape: [1, 2] contents { int_contents: [1, 2] } parameters { key: "a" value {} } }`, false},
		{rest + tensor + tensor, false},
		{tensor, false},
		{tensor + strings.Replace(rest, `"m"`, `"n"`, 1), false},
		{tensor + strings.Replace(rest, `"1"`, `"2"`, 1), false},
		{tensor + strings.Replace(rest, `"o"`, `"p"`, 1), false},
		{tensor + strings.Replace(rest, `int64_param: 1`, `int64_param: 2`, 1), false},
		{tensor + strings.Replace(rest, `int64_param: 1`, `uint64_param: 1`, 1), false},
		{tensor + rest + `outputs { name: "p" }`, false},
		{tensor + rest + `parameters { key: "b" value {} }`, false},
	}
	for _, test := range tests {
		m := request(test.text)
		require.NotNil(t, m, test.text)
		require.Equal(t, test.equal, m.Key == want.Key, test.text)
	}
	require.Equal(t, "m", want.Model)
}

func TestAnswerThatDoesNotFit(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`outputs { name: "o" datatype: "INT8" shape: [2] } raw_output_contents: "ab"`:                    "",
		`outputs { name: "o" datatype: "INT8" shape: [2, 1] contents { int_contents: [1, 2] } } id: "x"`: "",
		``:           "no tensor",
		`id: "only"`: "no tensor",
		`outputs { name: "o" datatype: "INT8" shape: [1] } raw_output_contents: "a"`:                                                            "1 rows for 2",
		`outputs { name: "o" datatype: "INT8" shape: [3] } raw_output_contents: "abc"`:                                                          "outputs[0]",
		`outputs { name: "o" datatype: "INT8" shape: [2] } raw_output_contents: "abc"`:                                                          "raw contents 0",
		`outputs { name: "o" datatype: "INT8" shape: [2] } raw_output_contents: ["ab", "ab"]`:                                                   "1 tensors have 2",
		`outputs { name: "o" datatype: "INT8" shape: [2] }`:                                                                                     "no contents",
		`outputs { name: "o" datatype: "INT8" shape: [2] contents { int_contents: [1, 2, 3] } }`:                                                "outputs[0]",
		`outputs { name: "o" datatype: "INT8" shape: [2] contents { int_contents: [1, 2] } } outputs { shape: 1 contents { int_contents: 1 } }`: "tensor 1 has 1 rows",
		`outputs { name: "o" datatype: "INT8" shape: [2] parameters { key: "shared_memory_size" value { int64_param: 2 } } }`:                   "outputs[0]",
	} {
		_, err := modelinfer.Protocol{}.Answer(2, []byte(filtertest.Frame(filtertest.Message("ModelInferResponse", text))))
		if want == "" {
			require.NoError(t, err, text)
		} else {
			require.ErrorContains(t, err, want, text)
		}
	}
	for body, want := range map[string]string{
		"":                                     "uncompressed",
		"\x01\x00\x00\x00\x00":                 "uncompressed",
		"\x00\x00\x00\x00\x01\x0b":             "Protocol Buffers",
		"\x00\x00\x00\x00\x04\x1a\x00\x1a\x00": "the id",
		"\x00\x00\x00\x00\x02\x30\x01":         "not bytes",
	} {
		_, err := modelinfer.Protocol{}.Answer(2, []byte(body))
		require.ErrorContains(t, err, want, "%q", body)
	}
}

// FuzzRequest: what is understood renders, of all of its own items, to a message that
// is understood alike.
func FuzzRequest(f *testing.F) {
	f.Add([]byte(filtertest.Frame(filtertest.Message("ModelInferRequest", input(`[2]`, `bytes_contents: ["a", ""]`)+`id: "a"`))))
	f.Add([]byte(filtertest.Frame(filtertest.Message("ModelInferRequest", `inputs { datatype: "INT8" shape: 2 } raw_input_contents: "ab"`))))
	f.Fuzz(func(t *testing.T, body []byte) {
		m := modelinfer.Protocol{}.Request(wire.Target{}, body)
		if m == nil {
			return
		}
		again := modelinfer.Protocol{}.Request(wire.Target{}, m.Render(wire.Fill{Pieces: []wire.Piece{{Message: m, To: m.Items}}}))
		require.NotNil(t, again)
		require.Equal(t, m.Items, again.Items)
		require.Equal(t, m.Key, again.Key)
	})
}
