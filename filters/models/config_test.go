package models

import (
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/prototext"

	"github.com/fridaymesh/friday/filters/models/api"
	modelsv1 "github.com/fridaymesh/friday/xds/api/friday/filters/http/models/v1"
)

func text(t *testing.T, s string) *modelsv1.Models {
	t.Helper()
	m := new(modelsv1.Models)
	require.NoError(t, prototext.Unmarshal([]byte(s), m))
	return m
}

func TestDefaults(t *testing.T) {
	c, err := parse(text(t, `models {name: "m"}`))
	require.NoError(t, err)
	require.Nil(t, c.API)
	require.Equal(t, defaultHoldTimeout, c.HoldTimeout)
	require.Equal(t, 256, c.MaxHeld)
	require.EqualValues(t, 64<<20, c.MaxHeldBytes)
	require.EqualValues(t, 8081, c.Management)
	c, err = parse(text(t, `api: LLAMA_CPP hold_timeout {seconds: 1} max_held_requests {value: 0}`))
	require.NoError(t, err)
	require.Equal(t, api.LlamaCpp{}, c.API)
	require.Zero(t, c.MaxHeld)
}

func TestRefused(t *testing.T) {
	for config, want := range map[string]string{
		`api: 99`:                                                                       `api: 99: not a value of Api`,
		`models {}`:                                                                     `models[0].name: "": must be 1 to 256 letters, none of them ?, # or a line's end`,
		`models {name: "a"} models {name: "a"}`:                                         `models[1].name: "a": is the name of models[0]`,
		`models {name: "a" version: "../x"}`:                                            `models[0].version: "../x": must be letters, digits, dots, dashes and underscores`,
		`models {name: "a" version: ".."}`:                                              `models[0].version: "..": must be letters, digits, dots, dashes and underscores`,
		`models {name: "a" sha256: "00"}`:                                               `models[0].sha256: "00": is of a source, and there is none`,
		`models {name: "a" source: "http://h/f"}`:                                       `models[0].source: "http://h/f": needs repository, the folder in which the server finds its models`,
		`models {name: "a/b" source: "http://h/f"} repository: "/r"`:                    `models[0].name: "a/b": with a source it is a folder's, too: letters, digits, dots, dashes and underscores`,
		`models {name: "a" source: "s3://b/"} repository: "/r"`:                         `models[0].source: "s3://b/": must be s3://BUCKET/OBJECT`,
		`models {name: "a" source: "ftp://r/i"} repository: "/r"`:                       `models[0].source: "ftp://r/i": must begin with file://, http://, https://, s3:// or oci://`,
		`models {name: "a" source: "http://u:p@h/f"} repository: "/r"`:                  `models[0].source: credentials in an address are shown to whoever sees the configuration: leave them out`,
		`models {name: "a" source: "http://h/f" sha256: "00"} repository: "/r"`:         `models[0].sha256: "00": must be 64 hexadecimal letters`,
		`models {name: "a" source: "http://h/f.mar" } repository: "/r" api: TORCHSERVE`: `models[0].source: "http://h/f.mar": TorchServe fetches by itself: leave out repository and sha256`,
		`models {name: "a" idle_ttl {nanos: 1}}`:                                        `models[0].idle_ttl: 1ns: must be at least 1s`,
		`models {name: "a" warmup {path: "x"}}`:                                         `models[0].warmup[0].path: "x": must begin with / and hold no white space`,
		`models {name: "a" warmup {path: "/x" times: 1001}}`:                            `models[0].warmup[0].times: 1001: must be at most 1000`,
		`models {name: "a" warmup {path: "/x" content_type: "a\nb"}}`:                   `models[0].warmup[0].content_type: "a\nb": not a header's value`,
		`models {name: "a" source: "http://h/f"} repository: "/r" api: OLLAMA`:          `models[0].source: "http://h/f": the server loads from a store of its own (api: OLLAMA)`,
		`models {name: "a" record_warmup: 33}`:                                          `models[0].record_warmup: 33: must be at most 32`,
		`hold_timeout {seconds: -1}`:                                                    `hold_timeout: -1s: must not be negative`,
		`load_timeout {}`:                                                               `load_timeout: 0s: must be positive`,
		`management_port: 65536`:                                                        `management_port: 65536: must be at most 65535`,
		`health_path: "x"`:                                                              `health_path: "x": must begin with / and hold no white space`,
		`repository: "r"`:                                                               `repository: "r": must be an absolute path`,
	} {
		_, err := parse(text(t, config))
		require.EqualError(t, err, want, config)
	}
}

func TestReadPath(t *testing.T) {
	for path, want := range map[string]ask{
		"/v2/models/m/infer":                  {model: "m", raw: "m"},
		"/x/v2/models/a%2Fb/versions/3/infer": {model: "a/b", raw: "a%2Fb", version: "3"},
		"/v2/models/m/generate_stream":        {model: "m", raw: "m"},
		"/v1/models/m:predict":                {model: "m", raw: "m"},
		"/v1/models/m/versions/2:predict":     {model: "m", raw: "m", version: "2"},
		"/predictions/m":                      {model: "m", raw: "m"},
		"/predictions/m/2.0":                  {model: "m", raw: "m", version: "2.0"},
	} {
		got, runs := readPath(path)
		require.True(t, runs, path)
		require.Equal(t, want, got, path)
	}
	for _, path := range []string{"/v2/models/m/ready", "/v2/models/m", "/v2/repository/models/m/load", "/v1/models/m", "/v1/models", "/v1/models/m:unload", "/", "/predictions/"} {
		_, runs := readPath(path)
		require.False(t, runs, path)
	}
}

func FuzzRead(f *testing.F) {
	for _, s := range []string{"/v2/models/m/infer", "/v1/models/m:predict", "/predictions/m/1", `{"model":"x"}`, "\x00\x00\x00\x00\x03\x0a\x01m"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if a, runs := readPath(s); runs {
			require.NotEmpty(t, a.model)
			require.NotEmpty(t, a.raw)
			if pinned, ok := api.Pin(s, a.raw, "7"); ok && a.version == "" {
				again, runs := readPath(pinned)
				require.True(t, runs, pinned)
				require.Equal(t, a.model, again.model)
				require.Equal(t, "7", again.version)
			}
		}
		modelIn([]byte(s))
		if a, ok := readMessage([]byte(s)); ok && a.version == "" {
			again, ok := readMessage(versioned([]byte(s), "7"))
			require.True(t, ok)
			require.Equal(t, ask{model: a.model, version: "7", grpc: true}, again)
		}
	})
}
