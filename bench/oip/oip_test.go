package oip_test

import (
	"encoding/binary"
	"encoding/json"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/fridaymesh/friday/bench/oip"
)

var request = oip.Request{Model: "mlp", ID: "q7", Input: "x", Output: "y", Width: 2, Data: []float32{1, -0.5, 1e-9, 3}}

func TestRequestInEachForm(t *testing.T) {
	require.Equal(t,
		`{"id":"q7","inputs":[{"name":"x","shape":[2,2],"datatype":"FP32","data":[1,-0.5,1e-09,3]}],"outputs":[{"name":"y"}]}`,
		string(request.AppendJSON(nil)))

	body, length := request.AppendBinary([]byte("before "))
	head := `{"id":"q7","inputs":[{"name":"x","shape":[2,2],"datatype":"FP32","parameters":{"binary_data_size":16}}],` +
		`"outputs":[{"name":"y","parameters":{"binary_data":true}}]}`
	require.Equal(t, len(head), length)
	require.Equal(t, "before "+head, string(body[:7+length]))
	require.Len(t, body, 7+length+16)
	require.Equal(t, math.Float32bits(-0.5), binary.LittleEndian.Uint32(body[7+length+4:]))

	whole := request
	whole.Output = ""
	body, length = whole.AppendBinary(nil)
	require.Contains(t, string(body[:length]), `}],"parameters":{"binary_data_output":true}}`)
	require.NotContains(t, string(whole.AppendJSON(nil)), "outputs")
}

// message puts fields one after the other.
func message(parts ...[]byte) []byte {
	var m []byte
	for _, p := range parts {
		m = append(m, p...)
	}
	return m
}

func field(number protowire.Number, value string) []byte {
	return protowire.AppendString(protowire.AppendTag(nil, number, protowire.BytesType), value)
}

// The request is read with the reader of answers, whose first fields are the same.
func TestRequestMessage(t *testing.T) {
	whole := request
	whole.Output = ""
	got, err := oip.DecodeMessage(whole.AppendMessage(nil))
	require.NoError(t, err)
	require.Equal(t, map[string]any{
		"model_name": "mlp", "id": "q7",
		"outputs": []any{map[string]any{"name": "x", "datatype": "FP32", "shape": []any{json.Number("2"), json.Number("2")}}},
	}, got)
	body, length := request.AppendBinary(nil)
	m := string(request.AppendMessage(nil))
	require.True(t, strings.HasSuffix(m, string(field(6, string(field(1, "y"))))+string(field(7, string(body[length:])))))
}

// The same answer in each form comes to the same.
func TestAnswerInEachForm(t *testing.T) {
	due, err := oip.DecodeJSON([]byte(`{"model_name":"mlp","model_version":"1","id":"q7","outputs":[
		{"name":"y","datatype":"FP32","shape":[1,2],"data":[1e+00,-5e-01]},
		{"name":"z","datatype":"INT64","shape":[1,1],"data":[-7]}]}`))
	require.NoError(t, err)
	y := binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(nil, math.Float32bits(1)), math.Float32bits(-0.5))
	z := protowire.AppendFixed64(nil, math.MaxUint64-6)

	head := `{"model_name":"mlp","model_version":"1","id":"q7","outputs":[` +
		`{"name":"y","datatype":"FP32","shape":[1,2],"parameters":{"binary_data_size":8}},` +
		`{"name":"z","datatype":"INT64","shape":[1,1],"data":[-7]}]}`
	got, err := oip.DecodeBinary(append([]byte(head), y...), len(head))
	require.NoError(t, err)
	delete(got.(map[string]any)["outputs"].([]any)[0].(map[string]any), "parameters")
	require.Equal(t, due, got)

	shape := func(numbers ...uint64) string {
		var packed []byte
		for _, n := range numbers {
			packed = protowire.AppendVarint(packed, n)
		}
		return string(packed)
	}
	answer := func(y, z []byte, raw ...[]byte) []byte {
		parts := [][]byte{
			field(1, "mlp"), field(2, "1"), field(3, "q7"),
			field(5, string(message(field(1, "y"), field(2, "FP32"), field(3, shape(1, 2)), y))),
			field(5, string(message(field(1, "z"), field(2, "INT64"), field(3, shape(1, 1)), z))),
		}
		return message(append(parts, raw...)...)
	}
	for name, m := range map[string][]byte{
		"raw":   answer(nil, nil, field(6, string(y)), field(6, string(z))),
		"typed": answer(field(5, string(field(6, string(y)))), field(5, string(field(3, shape(math.MaxUint64-6))))),
		"not packed": answer(
			field(5, string(protowire.AppendFixed32(protowire.AppendTag(
				protowire.AppendFixed32(protowire.AppendTag(nil, 6, protowire.Fixed32Type), math.Float32bits(1)),
				6, protowire.Fixed32Type), math.Float32bits(-0.5)))),
			field(5, string(protowire.AppendVarint(protowire.AppendTag(nil, 3, protowire.VarintType), math.MaxUint64-6)))),
	} {
		got, err := oip.DecodeMessage(m)
		require.NoError(t, err, name)
		require.Equal(t, due, got, name)
	}
}

func TestBrokenAnswers(t *testing.T) {
	for body, length := range map[string]int{
		`{}`: 3, `{} `: -1, `{}x`: 2, `{`: 1, `{}{}`: 4,
		`{"outputs":[{"datatype":"FP32","parameters":{"binary_data_size":8}}]}1234`: 69,
		`{"outputs":[{"datatype":"FP32","parameters":{"binary_data_size":3}}]}123`:  69,
		`{"outputs":[{"datatype":"ODD","parameters":{"binary_data_size":4}}]}1234`:  68,
	} {
		_, err := oip.DecodeBinary([]byte(body), length)
		require.Error(t, err, body)
	}
	for _, m := range [][]byte{
		{0xff},
		{0x0a, 0x05, 'x'},
		field(6, "1234"), field(5, string(field(5, string(field(8, "bytes"))))),
		field(5, string(field(3, "\xff"))),
	} {
		_, err := oip.DecodeMessage(m)
		require.Error(t, err, "%q", m)
	}
}

func FuzzAnswers(f *testing.F) {
	body, length := request.AppendBinary(nil)
	f.Add(body, length)
	f.Add(request.AppendMessage(nil), 3)
	f.Add([]byte(`{"outputs":[{"datatype":"FP32","parameters":{"binary_data_size":4}}]}1234`), 69)
	f.Fuzz(func(_ *testing.T, body []byte, length int) {
		_, _ = oip.DecodeBinary(body, length)
		_, _ = oip.DecodeMessage(body)
	})
}
