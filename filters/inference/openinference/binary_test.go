package openinference_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/filters/inference/openinference"
	"github.com/fridaymesh/friday/filters/inference/wire"
)

// sized is one tensor of a shape whose data stands behind the JSON.
func sized(shape, datatype string, size int) string {
	return fmt.Sprintf(`{"name":"x","shape":%s,"datatype":%q,"parameters":{"a":1,"binary_data_size":%d}}`, shape, datatype, size)
}

func TestRawRequest(t *testing.T) {
	t.Parallel()
	const inJSON = `{"name":"y","shape":[2],"datatype":"FP32","data":[1,2]}`
	inputs := func(tensors string) string {
		return `{"inputs":[` + tensors + `],"parameters":{"binary_data_output":true}}`
	}
	two := inputs(sized(`[2,1]`, "FP32", 8))
	tests := []struct {
		name, text, raw string
		length          int // 0: that of text
		items           int // 0: not understood
	}{
		{name: "fixed", text: two, raw: "aaaabbbb", items: 2},
		{name: "texts", text: inputs(sized(`[2]`, "BYTES", 9)), raw: "\x01\x00\x00\x00a\x00\x00\x00\x00", items: 2},
		{name: "blanks behind", text: two + " \r\n", raw: "aaaabbbb", items: 2},
		{name: "raw that looks like JSON", text: inputs(sized(`[2,1]`, "INT8", 2)), raw: " }", items: 2},
		{name: "two", text: inputs(sized(`[2,1]`, "INT8", 2) + "," + sized(`[2,2]`, "INT8", 4)), raw: "abccdd", items: 2},
		{name: "beside JSON", text: inputs(inJSON + "," + sized(`[2,1]`, "INT8", 2) + "," + inJSON), raw: "ab", items: 2},
		{name: "JSON alone", text: inputs(inJSON), items: 2},
		{name: "size before shape", text: inputs(`{"parameters":{"binary_data_size":1},"datatype":"BOOL","shape":[1],"name":"x"}`), raw: "\x01", items: 1},

		{name: "too little", text: two, raw: "aaaabbb"},
		{name: "too much", text: two, raw: "aaaabbbbc"},
		{name: "none", text: two},
		{name: "another size", text: inputs(sized(`[2,1]`, "FP32", 4)), raw: "aaaa"},
		{name: "size of nothing", text: inputs(sized(`[1]`, "FP32", 0))},
		{name: "size beyond all", text: inputs(sized(`[1]`, "INT8", 1<<53)), raw: "a"},
		{name: "a negative size", text: inputs(sized(`[1]`, "INT8", -1)), raw: "a"},
		{name: "a size with a point", text: inputs(`{"name":"x","shape":[1],"datatype":"INT8","parameters":{"binary_data_size":1.0}}`), raw: "a"},
		{name: "a size twice", text: inputs(`{"name":"x","shape":[1],"datatype":"INT8","parameters":{"binary_data_size":1,"binary_data_size":1}}`), raw: "a"},
		{name: "parameters twice", text: inputs(`{"name":"x","shape":[1],"datatype":"INT8","parameters":{"binary_data_size":1},"parameters":{"binary_data_size":1}}`), raw: "a"},
		{name: "here and there", text: inputs(`{"name":"x","shape":[1],"datatype":"INT8","data":[1],"parameters":{"binary_data_size":1}}`), raw: "a"},
		{name: "nowhere", text: inputs(`{"name":"x","shape":[1],"datatype":"INT8"}`)},
		{name: "no shape", text: inputs(`{"name":"x","datatype":"INT8","parameters":{"binary_data_size":1}}`), raw: "a"},
		{name: "unknown datatype", text: inputs(sized(`[1]`, "INT4", 1)), raw: "a"},
		{name: "shared memory", text: inputs(`{"name":"x","shape":[1],"datatype":"INT8","parameters":{"binary_data_size":1,"shared_memory_region":"r"}}`), raw: "a"},
		{name: "unequal rows", text: inputs(sized(`[2]`, "INT8", 2) + "," + sized(`[1]`, "INT8", 1)), raw: "aab"},
		{name: "the length too great", text: two, raw: "aaaabbbb", length: 1000},
		{name: "the length too small", text: two, raw: "aaaabbbb", length: len(two) - 1},
		{name: "the length into the data", text: two, raw: "    bbbb", length: len(two) + 1},
		{name: "not UTF-8", text: `{"x":"` + "\xff" + `","inputs":[` + inJSON + `]}`},
		{name: "the raw form of one tensor", raw: "aaaa"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			length := test.length
			if length == 0 {
				length = len(test.text)
			}
			m := openinference.Protocol{}.RequestIn(wire.Target{}, wire.Head{JSON: length}, []byte(test.text+test.raw))
			if test.items == 0 {
				require.Nil(t, m)
				return
			}
			require.NotNil(t, m)
			require.Equal(t, test.items, m.Items)
			n, ok := openinference.HeaderLength([]byte(test.text + test.raw))
			require.True(t, ok)
			require.Equal(t, length, n)
			if test.raw != "" {
				require.Nil(t, openinference.Protocol{}.Request(wire.Target{}, []byte(test.text+test.raw)), "not without the header")
			}
		})
	}
}

func TestRawAnswerThatDoesNotFit(t *testing.T) {
	t.Parallel()
	outputs := func(tensors string) string { return `{"outputs":[` + tensors + `]}` }
	for body, want := range map[string]string{
		outputs(sized(`[2]`, "INT8", 2)) + "a":                                                             "do not make the whole",
		outputs(sized(`[2]`, "INT8", 2)) + "abc":                                                           "do not make the whole",
		outputs(sized(`[2]`, "INT8", 2)) + "\nab":                                                          "",
		outputs(sized(`[2]`, "INT8", 2)) + "ab":                                                            "",
		outputs(sized(`[2]`, "INT16", 2)) + "ab":                                                           "binary data is not",
		outputs(sized(`[1]`, "INT16", 2)) + "ab":                                                           "1 rows for 2",
		outputs(sized(`[2]`, "INT8", 2)+`,{"name":"y","shape":[2],"datatype":"FP32","data":[1,2]}`) + "ab": "",
		outputs(sized(`[2]`, "INT8", 2))[1:] + "ab":                                                        "not an object",
		`{"outputs":[` + sized(`[2]`, "INT8", 2) + "ab":                                                    "do not make the whole",
	} {
		_, err := openinference.Protocol{}.Answer(2, []byte(body))
		if want == "" {
			require.NoError(t, err, body)
		} else {
			require.ErrorContains(t, err, want, body)
		}
	}
}

func TestAccepts(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		head wire.Head
		ok   bool
	}{
		{wire.Head{JSON: -1}, true},
		{wire.Head{JSON: -1, Type: "application/json"}, true},
		{wire.Head{JSON: -1, Type: "application/octet-stream"}, false},
		{wire.Head{JSON: 10}, true},
		{wire.Head{JSON: 10, Type: "application/json"}, true},
		{wire.Head{JSON: 10, Type: "application/octet-stream"}, true},
		{wire.Head{JSON: 10, Type: "application/grpc"}, false},
	} {
		require.Equal(t, test.ok, openinference.Protocol{}.Accepts(wire.Target{TypeOptional: true}, test.head), "%+v", test.head)
	}
}
