package fidelity_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// variants are requests that may not share a call with each other, by their name,
// which stands in each body as a mark.
type variants map[string]func(mark string) *request

// embedVariants differ from plain in one thing each.
func embedVariants() variants {
	v := variants{}
	with := func(name string, header ...string) {
		v[name] = func(mark string) *request { return embedding("m", mark, header...) }
	}
	with("plain")
	with("authorization one", "authorization: Bearer one")
	with("authorization two", "authorization: Bearer two")
	with("authorization of another case", "Authorization: bearer one")
	with("x-api-key", "x-api-key: one")
	with("api-key", "api-key: one")
	with("organization", "openai-organization: one")
	with("project", "openai-project: one")
	with("cookie", "cookie: session=1")
	with("other cookie", "cookie: session=2")
	with("accept", "accept: application/json")
	with("accept-encoding", "accept-encoding: gzip")
	with("idempotency key", "idempotency-key: 1")
	body := func(name, format string) {
		v[name] = func(mark string) *request { return post("/v1/embeddings", fmt.Sprintf(format, mark)) }
	}
	body("other model", `{"model":"other","input":%q}`)
	body("dimensions", `{"model":"m","input":%q,"dimensions":3}`)
	body("dimensions as a fraction", `{"model":"m","input":%q,"dimensions":4,"x":3.0}`)
	body("encoding format", `{"model":"m","input":%q,"encoding_format":"base64"}`)
	body("user", `{"model":"m","input":%q,"user":"u"}`)
	body("unknown member", `{"model":"m","input":%q,"anything":[1,{"b":null}]}`)
	v["query"] = func(mark string) *request {
		r := embedding("m", mark)
		r.uri += "?api-version=1"
		return r
	}
	v["prefix"] = func(mark string) *request {
		r := embedding("m", mark)
		r.uri = "/openai" + r.uri
		return r
	}
	v["host"] = func(mark string) *request {
		return embedding("m", mark, "x-other: 1", "content-encoding: identity", "x-api-key: two")
	}
	v["charset"] = func(mark string) *request {
		r := embedding("m", mark)
		r.header[0] = "content-type: application/json; charset=utf-8"
		return r
	}
	v["compressed"] = func(mark string) *request {
		r := embedding("m", mark, "content-encoding: gzip")
		r.body = compressed(r.body)
		return r
	}
	return v
}

// tensorVariants are the same for tensors; a mark is a text in one of them.
func tensorVariants() variants {
	v := variants{}
	tensor := func(name, format string) {
		v[name] = func(mark string) *request { return post("/v2/models/m/infer", fmt.Sprintf(format, mark)) }
	}
	tensor("plain", `{"inputs":[{"name":"a","shape":[1,1],"datatype":"BYTES","data":[%q]}]}`)
	tensor("wider", `{"inputs":[{"name":"a","shape":[1,2],"datatype":"BYTES","data":[%q,"x"]}]}`)
	tensor("flatter", `{"inputs":[{"name":"a","shape":[1],"datatype":"BYTES","data":[%q]}]}`)
	tensor("other name", `{"inputs":[{"name":"b","shape":[1,1],"datatype":"BYTES","data":[%q]}]}`)
	tensor("other datatype", `{"inputs":[{"name":"a","shape":[1,1],"datatype":"STRING","data":[%q]}]}`)
	tensor("two inputs", `{"inputs":[{"name":"a","shape":[1,1],"datatype":"BYTES","data":[%q]},{"name":"n","shape":[1,1],"datatype":"FP32","data":[1]}]}`)
	tensor("two inputs of another type", `{"inputs":[{"name":"a","shape":[1,1],"datatype":"BYTES","data":[%q]},{"name":"n","shape":[1,1],"datatype":"FP64","data":[1]}]}`)
	tensor("parameters", `{"parameters":{"p":1},"inputs":[{"name":"a","shape":[1,1],"datatype":"BYTES","data":[%q]}]}`)
	tensor("other parameters", `{"parameters":{"p":1.0},"inputs":[{"name":"a","shape":[1,1],"datatype":"BYTES","data":[%q]}]}`)
	tensor("input's parameters", `{"inputs":[{"name":"a","shape":[1,1],"datatype":"BYTES","parameters":{"content_type":"str"},"data":[%q]}]}`)
	tensor("outputs", `{"inputs":[{"name":"a","shape":[1,1],"datatype":"BYTES","data":[%q]}],"outputs":[{"name":"sum"}]}`)
	v["version"] = func(mark string) *request {
		r := v["plain"](mark)
		r.uri = "/v2/models/m/versions/1/infer"
		return r
	}
	v["other model"] = func(mark string) *request {
		r := v["plain"](mark)
		r.uri = "/v2/models/other/infer"
		return r
	}
	rows := func(name, path, format string) {
		v[name] = func(mark string) *request { return post(path, fmt.Sprintf(format, mark)) }
	}
	rows("rows", "/v1/models/m:predict", `{"instances":[%q]}`)
	rows("rows of another model", "/v1/models/other:predict", `{"instances":[%q]}`)
	rows("signature", "/v1/models/m:predict", `{"signature_name":"s","instances":[%q]}`)
	return v
}

// mark finds whose items a call holds.
var mark = regexp.MustCompile(`<([^<>]+)> \d+`)

// What differs in anything but its items never shares a call; what is equal does.
func TestWhatDiffersStaysApart(t *testing.T) {
	t.Parallel()
	for name, all := range map[string]variants{"embeddings": embedVariants(), "tensors": tensorVariants()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, free)
			w.slowly()
			var requests []*request
			names := []string{}
			for round := range 4 {
				for name, one := range all {
					requests = append(requests, one(fmt.Sprintf("<%s> %d", name, round)))
					names = append(names, name)
				}
			}
			// Some of equal ones, which are there to be shared.
			for i := range 12 {
				requests = append(requests, all["plain"](fmt.Sprintf("<plain> 1%d", i)))
			}
			require.Len(t, names, 4*len(all))
			w.same(excuse{usage: true}, requests...) // the answers are right, whatever the calls were

			w.forget()
			answers := w.pending(requests...)()
			require.Len(t, answers, len(requests))
			shared := false
			for _, c := range w.calls() {
				var marks []string
				for _, m := range mark.FindAllStringSubmatch(string(c.Body), -1) {
					marks = append(marks, m[1])
				}
				shared = shared || len(marks) > 1
				require.LessOrEqual(t, len(slices.Compact(slices.Sorted(slices.Values(marks)))), 1, "%v share a call", marks)
				if len(marks) == 0 {
					require.Contains(t, strings.ToLower(c.Header), "content-encoding: gzip")
					continue
				}
				r := all[marks[0]]("")
				require.Equal(t, r.uri, c.URI)
				for _, line := range r.header {
					if !strings.HasPrefix(strings.ToLower(line), "accept-encoding") { // asked for as it is, to be cut apart
						require.Contains(t, strings.ToLower(c.Header), strings.ToLower(line), marks[0])
					}
				}
			}
			require.True(t, shared, "what is equal shares calls")
		})
	}
}

// Requests that say "idempotency-key" or a digest of their body are calls of their
// own, each.
func TestWhatSpeaksOfItsOwnBodyGoesAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, free)
	w.slowly()
	for _, header := range []string{"idempotency-key: 7", "content-md5: Q2hlY2sgSW50ZWdyaXR5IQ==", "digest: sha-256=x"} {
		w.forget()
		_, calls := w.same(excuse{}, numbered(12, "m", "text", header)...)
		require.Equal(t, 12, calls, header)
	}
}
