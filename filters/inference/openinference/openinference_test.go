package openinference_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/filters/inference/openinference"
	"github.com/fridaymesh/friday/filters/inference/wire"
)

func TestMatch(t *testing.T) {
	t.Parallel()
	for path, want := range map[string][2]string{
		"/v2/models/m/infer":                   {"m", ""},
		"/v2/models/m/versions/v1.2/infer":     {"m", "v1.2"},
		"/v2/models/a%2Fb/infer":               {"a/b", ""},
		"/v2/models/versions/versions/1/infer": {"versions", "1"},
		"/v2/models/m/ready":                   {},
		"/v2/models/m/generate":                {},
		"/v2/models//infer":                    {},
		"/v2/models/infer":                     {},
		"/v2/models/a/b/infer":                 {},
		"/v2/models/m/versions//infer":         {},
		"/v2/models/m/versions/1/2/infer":      {},
		"/v2/models/%x/infer":                  {},
		"/v2/repository/models/m/load":         {},
		"/p/v2/models/m/infer":                 {},
	} {
		target, ok := openinference.Protocol{}.Match(path)
		require.Equal(t, want[0] != "", ok, path)
		require.Equal(t, want, [2]string{target.Model, target.Version}, path)
	}
}

// input is a request with one input of one FP32 tensor, with shape and data.
func input(shape, data string) string {
	return fmt.Sprintf(`{"inputs":[{"name":"x","shape":%s,"datatype":"FP32","data":%s}]}`, shape, data)
}

// more is a request with further members.
func more(members string) string {
	return fmt.Sprintf(`{"inputs":[{"name":"x","shape":[1],"datatype":"FP32","data":[1]}],%s}`, members)
}

func TestRequest(t *testing.T) {
	t.Parallel()
	const one = `{"name":"x","shape":[1],"datatype":"FP32","data":[1]}`
	tests := []struct {
		body  string
		items int // 0: not understood
	}{
		{input(`[1]`, `[1]`), 1},
		{input(`[3]`, `[1,2,3]`), 3},
		{input(`[3, 2]`, `[1,2,3,4,5,6]`), 3},
		{input(`[3,2]`, `[[1,2],[3,4],[5,6]]`), 3},
		{input(`[2,2,2]`, `[[[1,2],[3,4]],[[5,6],[7,8]]]`), 2},
		{input(`[2,2,2]`, `[[1,2,3,4],[5,6,7,8]]`), 2},
		{input(`[2]`, `[[1],[2]]`), 2},
		{input(`[2]`, `["a","b"]`), 2},
		{input(`[2]`, `[true,null]`), 2},
		{` { "inputs" : [ { "data" : [ 1 ] , "datatype" : "FP32" , "shape" : [ 1 ] , "name" : "x" } ] } `, 1},
		{`{"inputs":[` + one + `,{"name":"y","shape":[1,2],"datatype":"BYTES","data":["a","b"],"parameters":{"content_type":"str"},"extra":1}]}`, 1},
		{more(`"id":"a"`), 1},
		{more(`"id":null,"parameters":null,"outputs":null`), 1},
		{more(`"parameters":{"a":{"sequence_id":1}},"outputs":[{"name":"o","parameters":{"classification":2}}],"new":[1]`), 1},
		{input(fmt.Sprintf(`[%d]`, wire.MaxItems), `[0`+strings.Repeat(",0", wire.MaxItems-1)+`]`), wire.MaxItems},

		{input(fmt.Sprintf(`[%d]`, wire.MaxItems+1), `[0`+strings.Repeat(",0", wire.MaxItems)+`]`), 0},
		{``, 0},
		{`[]`, 0},
		{`{}`, 0},
		{`{"inputs":[]}`, 0},
		{`{"inputs":{}}`, 0},
		{`{"inputs":[1]}`, 0},
		{`{"inputs":[` + one + `],"inputs":[` + one + `]}`, 0},
		{`{"inputs":[` + one + `,{"name":"y","shape":[2],"datatype":"FP32","data":[1,2]}]}`, 0},
		{input(`[]`, `[]`), 0},
		{input(`1`, `[1]`), 0},
		{input(`null`, `[1]`), 0},
		{input(`[0]`, `[]`), 0},
		{input(`[0,2]`, `[]`), 0},
		{input(`[2,0]`, `[]`), 0},
		{input(`[-1]`, `[1]`), 0},
		{input(`[1.0]`, `[1]`), 0},
		{input(`["1"]`, `[1]`), 0},
		{input(`[1,1e1]`, `[1]`), 0},
		{input(`[1,4294967296,4294967296]`, `[1]`), 0},
		{input(`[1,9007199254740992,9007199254740992,9007199254740992]`, `[1]`), 0},
		{input(`[1,2]`, `[1]`), 0},
		{input(`[1,2]`, `[1,2,3]`), 0},
		{input(`[2,2]`, `[1,2,3]`), 0},
		{input(`[2,2]`, `[[1,2]]`), 0},
		{input(`[2,2]`, `[[1,2],[3,4],[5,6]]`), 0},
		{input(`[2,2]`, `[[1],[2,3,4]]`), 0}, // the sum fits, the rows do not
		{input(`[2,2]`, `[[1,2],3,4]`), 0},
		{input(`[2,2]`, `[1,2,[3,4]]`), 0},
		{input(`[1,1]`, `[[{}]]`), 0},
		{input(`[1]`, `[{}]`), 0},
		{input(`[1]`, `[]`), 0},
		{input(`[1]`, `1`), 0},
		{input(`[1]`, `"a"`), 0},
		{input(`[1]`, `null`), 0},
		{`{"inputs":[{"name":"x","shape":[1],"datatype":"FP32"}]}`, 0},
		{`{"inputs":[{"name":"x","datatype":"FP32","data":[1]}]}`, 0},
		{`{"inputs":[{"shape":[1],"datatype":"FP32","data":[1]}]}`, 0},
		{`{"inputs":[{"name":"x","shape":[1],"data":[1]}]}`, 0},
		{`{"inputs":[{"name":1,"shape":[1],"datatype":"FP32","data":[1]}]}`, 0},
		{`{"inputs":[{"name":"x","shape":[1],"shape":[1],"datatype":"FP32","data":[1]}]}`, 0},
		{`{"inputs":[{"name":"x","shape":[1],"datatype":"FP32","data":[1],"data":[2]}]}`, 0},
		{`{"inputs":[{"data":[1],"data":[2],"name":"x","shape":[1],"datatype":"FP32"}]}`, 0},
		{`{"inputs":[{"data":[1,2],"name":"x","shape":[1],"datatype":"FP32"}]}`, 0},
		{`{"inputs":[{"name":"x","name":"x","shape":[1],"datatype":"FP32","data":[1]}]}`, 0},
		{`{"inputs":[{"name":"x","shape":[1],"datatype":"FP32","data":[1],"dat\u0061":[2]}]}`, 0},
		{`{"inputs":[{"name":"x","shape":[1],"datatype":"FP32","data":[1],"parameters":{"binary_data_size":4}}]}`, 0},
		{`{"inputs":[{"name":"x","shape":[1],"datatype":"FP32","data":[1],"parameters":{"shared_memory_region":"r"}}]}`, 0},
		{`{"inputs":[{"name":"x","shape":[1],"datatype":"FP32","data":[1],"parameters":[]}]}`, 0},
		{more(`"parameters":{"sequence_id":1}`), 0},
		{more(`"parameters":{"sequence_start":true}`), 0},
		{more(`"parameters":{"binary_data_output":true}`), 1},
		{more(`"parameters":{"s\u0065quence_id":1}`), 0},
		{more(`"parameters":"a"`), 0},
		{more(`"outputs":[{"name":"o","parameters":{"binary_data":true}}]`), 1},
		{more(`"outputs":[{"name":"o","parameters":{"binary_data_size":4}}]`), 0},
		{more(`"parameters":{"binary_data":true}`), 0},
		{more(`"parameters":{"binary_data_output":true,"binary_data_output":false}`), 0},
		{more(`"outputs":[{"name":"o","parameters":{"binary_data":false}}]`), 1},
		{more(`"outputs":[{"name":"o","parameters":{"shared_memory_offset":0}}]`), 0},
		{more(`"outputs":[{"name":"o","p\u0061rameters":{"binary_data":true}}]`), 0},
		{more(`"outputs":["o"]`), 0},
		{more(`"outputs":{}`), 0},
		{more(`"id":7`), 0},
		{more(`"id":"a","id":"b"`), 0},
		{more(`"new":1,"new":1`), 0},
		{more(`"new":}`), 0},
		{input(`[1]`, `[1]`) + `x`, 0},
		{input(`[1]`, `[01]`), 0},
	}
	for _, test := range tests {
		shown := test.body[:min(160, len(test.body))]
		m := openinference.Protocol{}.Request(wire.Target{}, []byte(test.body))
		if test.items == 0 {
			require.Nil(t, m, shown)
			continue
		}
		require.NotNil(t, m, shown)
		require.Equal(t, test.items, m.Items, shown)
	}
}

// TestManyTensors bounds the memory that rows cost beside the body.
func TestManyTensors(t *testing.T) {
	t.Parallel()
	one := fmt.Sprintf(`{"name":"x","shape":[%d],"datatype":"INT8","data":[0%s]}`, wire.MaxItems, strings.Repeat(",0", wire.MaxItems-1))
	body := func(n int) []byte {
		return []byte(`{"inputs":[` + one + strings.Repeat(","+one, n-1) + `]}`)
	}
	require.NotNil(t, openinference.Protocol{}.Request(wire.Target{}, body(4)))
	require.Nil(t, openinference.Protocol{}.Request(wire.Target{}, body(5)))
}

func TestKey(t *testing.T) {
	t.Parallel()
	const tensor = `{"name":"x","shape":[1,2],"datatype":"FP32","data":[1,2]}`
	base := `{"inputs":[` + tensor + `],"parameters":{"a":1},"outputs":[{"name":"o"}],"id":"a"}`
	with := func(tensor string) string {
		return `{"inputs":[` + tensor + `],"parameters":{"a":1},"outputs":[{"name":"o"}]}`
	}
	tests := []struct {
		body  string
		equal bool
	}{
		{with(tensor), true},
		{`{"outputs":[{"name":"o"}],"id":"b","parameters":{"a":1},"inputs":[` + tensor + `]}`, true},
		{with(`{"data":[1,2,3,4],"datatype":"FP32","shape":[2,2],"name":"x"}`), true},
		{with(`{"name":"y","shape":[1,2],"datatype":"FP32","data":[1,2]}`), false},
		{with(`{"name":"x","shape":[1,2],"datatype":"FP64","data":[1,2]}`), false},
		{with(`{"name":"x","shape":[1,3],"datatype":"FP32","data":[1,2,3]}`), false},
		{with(`{"name":"x","shape":[1,2,1],"datatype":"FP32","data":[1,2]}`), false},
		{with(`{"name":"x","shape":[1,2],"datatype":"FP32","data":[[1,2]]}`), false},
		{with(`{"name":"x","shape":[1,2],"datatype":"FP32","data":[1,2],"parameters":{"a":1}}`), false},
		{with(`{"name":"x","shape":[1,2],"datatype":"FP32","data":[1,2],"new":1}`), false},
		{with(tensor + "," + tensor), false},
		{`{"inputs":[` + tensor + `],"parameters":{"a":2},"outputs":[{"name":"o"}]}`, false},
		{`{"inputs":[` + tensor + `],"parameters":{"a":1},"outputs":[{"name":"p"}]}`, false},
		{`{"inputs":[` + tensor + `],"parameters":{"a":1}}`, false},
	}
	p := openinference.Protocol{}
	want := p.Request(wire.Target{}, []byte(base))
	for _, test := range tests {
		m := p.Request(wire.Target{}, []byte(test.body))
		require.NotNil(t, m, test.body)
		require.Equal(t, test.equal, m.Key == want.Key, test.body)
	}
	require.NotEqual(t, want.Key, p.Request(wire.Target{Version: "2"}, []byte(base)).Key)

	// The order of inputs is the order in which their rows go together.
	xy := `{"inputs":[{"name":"x","shape":[1],"datatype":"FP32","data":[1]},{"name":"y","shape":[1],"datatype":"FP32","data":[1]}]}`
	yx := `{"inputs":[{"name":"y","shape":[1],"datatype":"FP32","data":[1]},{"name":"x","shape":[1],"datatype":"FP32","data":[1]}]}`
	require.NotEqual(t, p.Request(wire.Target{}, []byte(xy)).Key, p.Request(wire.Target{}, []byte(yx)).Key)
}
