package kservev1_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/filters/inference/kservev1"
	"github.com/fridaymesh/friday/filters/inference/wire"
)

func TestMatch(t *testing.T) {
	t.Parallel()
	for path, model := range map[string]string{
		"/v1/models/m:predict":            "m",
		"/v1/models/a:b:predict":          "a:b",
		"/v1/models/a%2Fb%C3%A9:predict":  "a/bé",
		"/v1/models/a+b:predict":          "a+b",
		"/v1/models/m:explain":            "",
		"/v1/models/m":                    "",
		"/v1/models/:predict":             "",
		"/v1/models/a/versions/1:predict": "",
		"/v1/models/%g0:predict":          "",
		"/x/v1/models/m:predict":          "",
		"/v1/models/m:predict/":           "",
	} {
		target, ok := kservev1.Protocol{}.Match(path)
		require.Equal(t, model != "", ok, path)
		require.Equal(t, model, target.Model, path)
	}
}

func TestRequest(t *testing.T) {
	t.Parallel()
	tests := []struct {
		body  string
		items int // 0: not understood
	}{
		{`{"instances":[1]}`, 1},
		{` { "instances" : [ [1,2] , {"a":"b"} , null , "x" , true ] , "signature_name" : "s" } `, 5},
		{`{"parameters":{"a":[1]},"instances":[[]]}`, 1},
		{`{"instances":[0` + strings.Repeat(",0", wire.MaxItems-1) + `]}`, wire.MaxItems},

		{`{"instances":[0` + strings.Repeat(",0", wire.MaxItems) + `]}`, 0},
		{``, 0},
		{`[1]`, 0},
		{`{}`, 0},
		{`{"instances":[]}`, 0},
		{`{"instances":{}}`, 0},
		{`{"instances":"a"}`, 0},
		{`{"inputs":[[1]]}`, 0},
		{`{"instances":[1],"inputs":{"a":[1]}}`, 0},
		{`{"instances":[1],"instances":[2]}`, 0},
		{`{"instances":[1],"x":1,"x":1}`, 0},
		{`{"instances":[1],"\u0078":1}`, 0},
		{`{"instances":[1,2],"weights":[0.5,0.5]}`, 0},
		{`{"instances":[1]`, 0},
		{`{"instances":[1,]}`, 0},
		{`{"instances":[1]}}`, 0},
		{`{"instances":[01]}`, 0},
	}
	for _, test := range tests {
		shown := test.body[:min(80, len(test.body))]
		m := kservev1.Protocol{}.Request(wire.Target{}, []byte(test.body))
		if test.items == 0 {
			require.Nil(t, m, shown)
			continue
		}
		require.NotNil(t, m, shown)
		require.Equal(t, test.items, m.Items, shown)
	}
}

func TestKey(t *testing.T) {
	t.Parallel()
	want := kservev1.Protocol{}.Request(wire.Target{}, []byte(`{"instances":[1],"signature_name":"s","p":{"a":1}}`))
	for body, equal := range map[string]bool{
		`{"p":{"a":1},"signature_name":"s","instances":["x",2]}`:   true,
		`{"instances":[1],"signature_name":"t","p":{"a":1}}`:       false,
		`{"instances":[1],"signature_name":"s","p":{"a":1.0}}`:     false,
		`{"instances":[1],"signature_name":"s"}`:                   false,
		`{"instances":[1],"signature_name":"s","p":{},"a":1}`:      false,
		`{"instances":[1],"signature_name":"s","p":{"a":1},"q":1}`: false,
	} {
		m := kservev1.Protocol{}.Request(wire.Target{}, []byte(body))
		require.NotNil(t, m, body)
		require.Equal(t, equal, m.Key == want.Key, body)
	}
}
