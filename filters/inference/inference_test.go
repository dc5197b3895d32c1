package inference_test

import (
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp"

	"github.com/fridaymesh/friday/filters/inference"
	"github.com/fridaymesh/friday/proxy"
)

func newHeader(method, uri string) *fasthttp.RequestHeader {
	h := &fasthttp.RequestHeader{}
	h.DisableNormalizing()
	h.SetMethod(method)
	h.SetRequestURI(uri)
	return h
}

const (
	openAIBody = `{"model":"e5","input":"a"}`
	v1Body     = `{"instances":[1,2]}`
	grpcBody   = "\x00\x00\x00\x00\x17\x0a\x02gm\x2a\x0d\x0a\x01x\x12\x04INT8\x1a\x02\x02\x01\x3a\x02ab"
	v2Body     = `{"inputs":[{"name":"x","shape":[2,1],"datatype":"FP32","data":[1,2]}]}`
)

func TestOfReadsTheHead(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, method, uri, body string
		headers                 [][2]string
		protocol, op, model     string // none: unknown
		items                   int
	}{
		{name: "openai", uri: "/v1/embeddings", body: openAIBody, protocol: "openai", op: "embeddings", model: "e5", items: 1},
		{name: "prefix and query", uri: "/openai/v1/embeddings?api-version=1", body: openAIBody, protocol: "openai", op: "embeddings", model: "e5", items: 1},
		{
			name: "type with parameters", uri: "/v1/embeddings", body: openAIBody,
			headers:  [][2]string{{"CONTENT-type", "Application/JSON; charset=utf-8"}},
			protocol: "openai", op: "embeddings", model: "e5", items: 1,
		},
		{name: "v1", uri: "/v1/models/a%20b:predict", body: v1Body, protocol: "kserve_v1", op: "predict", model: "a b", items: 2},
		{name: "v1 without type", uri: "/v1/models/m:predict", body: v1Body, headers: [][2]string{{"content-type", ""}}, protocol: "kserve_v1", op: "predict", model: "m", items: 2},
		{name: "v2", uri: "/v2/models/m/infer", body: v2Body, protocol: "open_inference", op: "infer", model: "m", items: 2},
		{name: "v2 version", uri: "/v2/models/m/versions/3/infer", body: v2Body, protocol: "open_inference", op: "infer", model: "m", items: 2},
		{name: "identity", uri: "/v2/models/m/infer", body: v2Body, headers: [][2]string{{"content-encoding", "identity"}}, protocol: "open_inference", op: "infer", model: "m", items: 2},

		{name: "v2 all of it JSON", uri: "/v2/models/m/infer", body: v2Body, headers: [][2]string{{"inference-header-content-length", "70"}}, protocol: "open_inference", op: "infer", model: "m", items: 2},
		{
			name: "v2 octets", uri: "/v2/models/m/infer", body: v2Body,
			headers:  [][2]string{{"INFERENCE-header-content-length", "70"}, {"content-type", "application/octet-stream"}},
			protocol: "open_inference", op: "infer", model: "m", items: 2,
		},
		{name: "gRPC", uri: pathGRPC, body: grpcBody, headers: [][2]string{{"content-type", "application/grpc"}}, protocol: "open_inference", op: "ModelInfer", model: "gm", items: 2},
		{
			name: "gRPC proto", uri: pathGRPC, body: grpcBody,
			headers:  [][2]string{{"content-type", "application/grpc+proto"}, {"grpc-encoding", "identity"}},
			protocol: "open_inference", op: "ModelInfer", model: "gm", items: 2,
		},

		{name: "GET", method: "GET", uri: "/v1/embeddings", body: openAIBody},
		{name: "PUT", method: "PUT", uri: "/v1/embeddings", body: openAIBody},
		{name: "other path", uri: "/v1/embeddings/x", body: openAIBody},
		{name: "no boundary", uri: "/xv1/embeddings", body: openAIBody},
		{name: "absolute form", uri: "http://h/v1/embeddings", body: openAIBody},
		{name: "chat", uri: "/v1/chat/completions", body: openAIBody},
		{name: "openai without type", uri: "/v1/embeddings", body: openAIBody, headers: [][2]string{{"content-type", ""}}},
		{name: "other type", uri: "/v1/embeddings", body: openAIBody, headers: [][2]string{{"content-type", "application/jsonl"}}},
		{name: "gzip", uri: "/v1/embeddings", body: openAIBody, headers: [][2]string{{"Content-Encoding", "gzip"}}},
		{name: "explain", uri: "/v1/models/m:explain", body: v1Body},
		{name: "no model", uri: "/v1/models/:predict", body: v1Body},
		{name: "two segments", uri: "/v1/models/a/b:predict", body: v1Body},
		{name: "bad escape", uri: "/v1/models/%zz:predict", body: v1Body},
		{name: "v2 bad escape", uri: "/v2/models/%zz/infer", body: v2Body},
		{name: "v2 no model", uri: "/v2/models//infer", body: v2Body},
		{name: "v2 no version", uri: "/v2/models/m/versions//infer", body: v2Body},
		{name: "v2 long path", uri: "/v2/models/m/versions/1/2/infer", body: v2Body},
		{name: "v2 generate", uri: "/v2/models/m/generate", body: v2Body},
		{name: "v2 another length", uri: "/v2/models/m/infer", body: v2Body, headers: [][2]string{{"inference-header-content-length", "69"}}},
		{name: "v2 no length", uri: "/v2/models/m/infer", body: v2Body, headers: [][2]string{{"inference-header-content-length", "+70"}}},
		{name: "v2 two lengths", uri: "/v2/models/m/infer", body: v2Body, headers: [][2]string{{"inference-header-content-length", "70"}, {"Inference-Header-Content-Length", "70"}}},
		{name: "v2 octets without length", uri: "/v2/models/m/infer", body: v2Body, headers: [][2]string{{"content-type", "application/octet-stream"}}},
		{name: "v1 with a length", uri: "/v1/models/m:predict", body: v1Body, headers: [][2]string{{"inference-header-content-length", "19"}}},
		{name: "gRPC as JSON", uri: pathGRPC, body: grpcBody},
		{name: "gRPC in another form", uri: pathGRPC, body: grpcBody, headers: [][2]string{{"content-type", "application/grpc+json"}}},
		{name: "gRPC-Web", uri: pathGRPC, body: grpcBody, headers: [][2]string{{"content-type", "application/grpc-web"}}},
		{name: "gRPC compressed", uri: pathGRPC, body: grpcBody, headers: [][2]string{{"content-type", "application/grpc"}, {"grpc-encoding", "gzip"}}},
		{name: "gRPC of another service", uri: "/inference.Other/ModelInfer", body: grpcBody, headers: [][2]string{{"content-type", "application/grpc"}}},
		{name: "gRPC of another method", uri: "/inference.GRPCInferenceService/ModelStreamInfer", body: grpcBody, headers: [][2]string{{"content-type", "application/grpc"}}},
		{name: "not UTF-8", uri: "/v1/embeddings", body: "{\"model\":\"m\",\"input\":\"\xff\"}"},
		{name: "empty", uri: "/v1/embeddings"},
		{name: "too long", uri: "/v1/embeddings", body: `{"input":"` + strings.Repeat("a", 200) + `"}`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			req := request(test.uri, test.body)
			if test.method != "" {
				req.Header.SetMethod(test.method)
			}
			for _, h := range test.headers {
				if h[0] == "content-type" {
					req.Header.SetContentType(h[1])
					continue
				}
				req.Header.Set(h[0], h[1])
			}
			call, err := inference.Of(req, 120)
			require.NoError(t, err)
			again, err := inference.Of(req, 1<<20)
			require.NoError(t, err)
			require.Same(t, call, again, "computed once")
			left, err := io.ReadAll(req.Body)
			require.NoError(t, err)
			require.Equal(t, test.body, string(left))
			if test.protocol == "" {
				require.Nil(t, call)
				require.Empty(t, req.Trace.Model)
				return
			}
			require.NotNil(t, call)
			require.Equal(t, test.protocol, call.Protocol)
			require.Equal(t, test.op, call.Operation)
			require.Equal(t, test.model, call.Model)
			require.Equal(t, test.model, req.Trace.Model)
			require.Equal(t, test.items, call.Items)
			require.Equal(t, test.protocol == "openai", call.Usage)
			require.Equal(t, test.uri == pathGRPC, call.GRPC)
			require.Equal(t, test.body, string(call.Body))
		})
	}
}

// slow is a body that comes in pieces.
type slow struct {
	rest    string
	piece   int
	length  int64
	end     error
	trailer *fasthttp.ResponseHeader
	empty   bool
	reads   int
	closed  bool
}

func (b *slow) Read(p []byte) (int, error) {
	b.reads++
	switch {
	case b.empty:
		return 0, nil
	case b.rest == "":
		return 0, b.end
	}
	n := copy(p[:min(len(p), b.piece)], b.rest)
	b.rest = b.rest[n:]
	return n, nil
}

func (b *slow) Close() error { b.closed = true; return nil }
func (b *slow) Len() int64   { return b.length }

func (b *slow) Trailer() *fasthttp.ResponseHeader {
	if b.rest != "" {
		return nil
	}
	return b.trailer
}

func TestOfReadsTheBody(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	long := `{"model":"m","input":"` + strings.Repeat("long ", 40_000) + `"}`
	tests := []struct {
		name  string
		text  string
		body  slow
		limit int64
		known bool
		whole bool // req.Body is a BytesBody
		err   error
	}{
		{name: "declared", text: openAIBody, body: slow{length: int64(len(openAIBody)), end: io.EOF}, limit: 1 << 20, known: true, whole: true},
		{name: "chunked", text: openAIBody, body: slow{length: -1, end: io.EOF}, limit: 1 << 20, known: true, whole: true},
		{name: "long", text: long, body: slow{length: int64(len(long)), end: io.EOF}, limit: 1 << 20, known: true, whole: true},
		{name: "long chunked", text: long, body: slow{length: -1, end: io.EOF}, limit: 1 << 62, known: true, whole: true},
		{name: "exactly the limit", text: openAIBody, body: slow{length: -1, end: io.EOF}, limit: int64(len(openAIBody)), known: true, whole: true},
		{name: "declared past the limit", text: openAIBody, body: slow{length: int64(len(openAIBody)), end: io.EOF}, limit: 10},
		{name: "chunked past the limit", text: openAIBody, body: slow{length: -1, end: io.EOF}, limit: int64(len(openAIBody)) - 1},
		{name: "long past the limit", text: long, body: slow{length: -1, end: io.EOF}, limit: 10_000},
		{name: "unlimited", text: openAIBody, body: slow{length: -1, end: io.EOF}, limit: 1<<63 - 1, known: true, whole: true},
		{name: "trailer", text: openAIBody, body: slow{length: -1, end: io.EOF, trailer: &fasthttp.ResponseHeader{}}, limit: 1 << 20},
		{name: "not JSON", text: `{"input`, body: slow{length: -1, end: io.EOF}, limit: 1 << 20, whole: true},
		{name: "empty", body: slow{length: -1, end: io.EOF}, limit: 1 << 20, whole: true},
		{name: "fault", text: openAIBody[:9], body: slow{length: -1, end: broken}, limit: 1 << 20, err: broken},
	}
	for _, test := range tests {
		for _, piece := range []int{1, 7, 1 << 20} {
			t.Run(test.name, func(t *testing.T) {
				t.Parallel()
				source := test.body
				source.rest, source.piece = test.text, piece
				req := request(pathOpenAI, "")
				req.Body = &source
				call, err := inference.Of(req, test.limit)
				require.ErrorIs(t, err, test.err)
				require.Equal(t, test.known, call != nil)
				if test.name == "declared past the limit" {
					require.Zero(t, source.reads)
				}
				_, whole := req.Body.(*proxy.BytesBody)
				require.Equal(t, test.whole, whole)
				require.Equal(t, test.whole, source.closed)
				if !whole {
					require.Equal(t, test.body.length, req.Body.Len())
					require.Nil(t, req.Body.Trailer(), "not before the end")
				}
				left, err := io.ReadAll(req.Body)
				require.ErrorIs(t, err, test.err)
				require.Equal(t, test.text, string(left))
				require.Equal(t, test.body.trailer, req.Body.Trailer())
				require.NoError(t, req.Body.Close())
				require.True(t, whole || source.closed)
			})
		}
	}
}

func TestOfGivesUpOnABodyThatNeverComes(t *testing.T) {
	t.Parallel()
	req := request(pathOpenAI, "")
	req.Body = &slow{empty: true, length: -1}
	_, err := inference.Of(req, 1<<20)
	require.ErrorIs(t, err, io.ErrNoProgress)
	call, err := inference.Of(req, 1<<20)
	require.NoError(t, err)
	require.Nil(t, call)
}
