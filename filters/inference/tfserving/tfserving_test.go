package tfserving_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/filters/inference/tfserving"
	"github.com/fridaymesh/friday/filters/inference/wire"
)

func TestMatch(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]struct {
		model, version string
		rows           bool
	}{
		"/v1/models/m:predict":                   {"m", "", false},
		"/v1/models/m/versions/3:predict":        {"m", "versions/3", true},
		"/v1/models/a%2Fb/labels/stable:predict": {"a/b", "labels/stable", true},
		"/v1/models/a:b/versions/3:predict":      {"a:b", "versions/3", true},
		"/v1/models/m/versions/:predict":         {},
		"/v1/models/m/versions/3/4:predict":      {},
		"/v1/models/m/others/3:predict":          {},
		"/v1/models/m/versions:predict":          {},
		"/v1/models/m/versions/3:classify":       {},
		"/v1/models/m/versions/3:regress":        {},
		"/v1/models/m:explain":                   {},
		"/v1/models/:predict":                    {},
		"/v1/models//versions/3:predict":         {},
		"/v1/models/%g0/versions/3:predict":      {},
		"/v1/models/m/versions/3":                {},
		"/x/v1/models/m:predict":                 {},
	} {
		target, ok := tfserving.Columns{}.Match(path)
		require.Equal(t, want.model != "", ok, path)
		require.Equal(t, want.model, target.Model, path)
		require.Equal(t, want.version, target.Version, path)
		_, ok = tfserving.Rows{}.Match(path)
		require.Equal(t, want.rows, ok, path)
	}
	require.Equal(t, "tf_serving", tfserving.Rows{}.Name())
	require.Equal(t, "tf_serving", tfserving.Columns{}.Name())
}

func columns(body string) *wire.Message {
	return tfserving.Columns{}.Request(wire.Target{}, []byte(body))
}

func TestRequest(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat("[", 600) + "1" + strings.Repeat("]", 600)
	for body, items := range map[string]int{
		`{"inputs":[1]}`:                 1,
		`{"inputs":[[1,2],[3,4],[5,6]]}`: 3,
		` { "signature_name" : "s" , "inputs" : { "x" : [ [1.0] , [2] ] , "y" : [ "a" , "b" ] } } `: 2,
		`{"inputs":[{"b64":"QQ=="},{"b64":""}]}`:                                                    2,
		`{"inputs":[true,false]}`:                                                                   2,
		`{"inputs":[[[1],[2]],[[3],[4]]]}`:                                                          2,
		`{"inputs":{"x":[1]},"p":[1,2]}`:                                                            1,
		`{"inputs":[0` + strings.Repeat(",0", 1<<16-1) + `]}`:                                       1 << 16,
		`{"inputs":[0` + strings.Repeat(",0", 1<<16) + `]}`:                                         0,
		`{"inputs":1}`:                     0,
		`{"inputs":"a"}`:                   0,
		`{"inputs":{"b64":"QQ=="}}`:        0,
		`{"inputs":[]}`:                    0,
		`{"inputs":{}}`:                    0,
		`{"inputs":[[]]}`:                  0,
		`{"inputs":[null]}`:                0,
		`{"inputs":[[1],[2,3]]}`:           0,
		`{"inputs":[[1],2]}`:               0,
		`{"inputs":[1,[2]]}`:               0,
		`{"inputs":[[[1]],[2]]}`:           0,
		`{"inputs":[[1],[[2]]]}`:           0,
		`{"inputs":[1,"a"]}`:               0,
		`{"inputs":[true,1]}`:              0,
		`{"inputs":[{"b64":"QQ=="},"a"]}`:  0,
		`{"inputs":[{"b64":1}]}`:           0,
		`{"inputs":[{"b64":"","c":""}]}`:   0,
		`{"inputs":[{"a":1}]}`:             0,
		`{"inputs":[{}]}`:                  0,
		`{"inputs":{"x":[1,2],"y":[1]}}`:   0,
		`{"inputs":{"x":[1,2],"y":3}}`:     0,
		`{"inputs":{"x":[1],"x":[2]}}`:     0,
		`{"inputs":{"\u0078":[1]}}`:        0,
		`{"inputs":[1,2],"weights":[1,2]}`: 0,
		`{"inputs":[1],"instances":[1]}`:   0,
		`{"inputs":[1],"inputs":[1]}`:      0,
		`{"instances":[1]}`:                0,
		`{"inputs":[1],"x":1,"x":1}`:       0,
		`{"inputs":[` + deep + `]}`:        0,
		`{"inputs":[1]`:                    0,
		`{"inputs":[1,]}`:                  0,
		`[1]`:                              0,
	} {
		shown := body[:min(80, len(body))]
		m := columns(body)
		require.Equal(t, items > 0, m != nil, shown)
		if m != nil {
			require.Equal(t, items, m.Items, shown)
		}
	}
}

func TestKey(t *testing.T) {
	t.Parallel()
	want := columns(`{"signature_name":"s","inputs":{"x":[[1,2]],"y":["a"]}}`)
	for body, equal := range map[string]bool{
		`{"inputs":{"y":["b","c"],"x":[[3.5,4],[5,6]]},"signature_name":"s"}`: true,
		`{"signature_name":"t","inputs":{"x":[[1,2]],"y":["a"]}}`:             false,
		`{"inputs":{"x":[[1,2]],"y":["a"]}}`:                                  false,
		`{"signature_name":"s","inputs":{"x":[[1,2,3]],"y":["a"]}}`:           false,
		`{"signature_name":"s","inputs":{"x":[[[1,2]]],"y":["a"]}}`:           false,
		`{"signature_name":"s","inputs":{"x":[[1,2]],"y":[1]}}`:               false,
		`{"signature_name":"s","inputs":{"x":[[1,2]],"z":["a"]}}`:             false,
		`{"signature_name":"s","inputs":{"x":[[1,2]]}}`:                       false,
		`{"signature_name":"s","inputs":[[1,2]]}`:                             false,
	} {
		m := columns(body)
		require.NotNil(t, m, body)
		require.Equal(t, equal, m.Key == want.Key, body)
	}
}

func TestAnswer(t *testing.T) {
	t.Parallel()
	for answer, ok := range map[string]bool{
		`{"outputs":[1,2]}`:                          true,
		`{"outputs":[[1],[2,3]]}`:                    true,
		`{"outputs":{"a":[1,2],"b":[{"x":1},null]}}`: true,
		`{"outputs":{"a":[1,2],"b":[1]}}`:            false,
		`{"outputs":{"a":[1,2],"b":[1,2,3]}}`:        false,
		`{"outputs":{"a":[1,2],"a":[1,2]}}`:          false,
		`{"outputs":{"a":[1,2],"b":3}}`:              false,
		`{"outputs":[1]}`:                            false,
		`{"outputs":[1,2,3]}`:                        false,
		`{"outputs":{}}`:                             false,
		`{"outputs":1}`:                              false,
		`{"outputs":[1,2],"outputs":[1,2]}`:          false,
		`{"outputs":[1,2],"x":1,"x":1}`:              false,
		`{"predictions":[1,2]}`:                      false,
		`{"error":"no"}`:                             false,
		`[1,2]`:                                      false,
		`{"outputs":[1,2]`:                           false,
		`{"outputs":[NaN,2]}`:                        false,
	} {
		_, err := tfserving.Columns{}.Answer(2, []byte(answer))
		require.Equal(t, ok, err == nil, "%s %v", answer, err)
	}
}
