package models

import (
	"bytes"
	"encoding/binary"
	"net/url"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/fridaymesh/friday/filters/inference"
	"github.com/fridaymesh/friday/filters/inference/jsonspan"
	"github.com/fridaymesh/friday/proxy"
)

// maxBody is the largest body in which a model's name is looked for.
const maxBody = 16 << 20

// ask is what a request says of the model that it is for.
type ask struct {
	// model is empty where the request names none, though its path is one of those that
	// run a model. raw is how it stands in the path; empty: it stands in the body.
	model, raw string
	// version is one that the request asks for itself.
	version string
	// grpc: the request is a ModelInfer.
	grpc bool
}

// grpcInfer is Open Inference over gRPC.
const grpcInfer = "/inference.GRPCInferenceService/ModelInfer"

// bodies are the ends of the paths whose bodies, of JSON, name the model, if any does.
var bodies = [...]string{ //nolint:gochecknoglobals // a constant table
	"/chat/completions", "/completions", "/completion", "/embeddings", "/responses", "/v1/messages", "/embedding", // OpenAI's, Anthropic's, llama.cpp's
	"/api/chat", "/api/generate", "/api/embed", "/api/embeddings", // Ollama's
	"/rerank", "/score", "/classify", "/pooling", "/infill", "/audio/speech", "/images/generations", // vLLM's, Cohere's
	"/embed", "/embed_all", "/embed_sparse", "/predict", "/generate", "/generate_stream", "/invocations", "/similarity", // of servers of one model
}

// read finds out which model a request is for; false: it does not run one. The error is
// that of reading its body.
func read(req *proxy.Request) (a ask, runs bool, err error) {
	if !req.Header.IsPost() {
		return ask{}, false, nil
	}
	path, _, _ := bytes.Cut(req.Header.RequestURI(), []byte{'?'})
	if string(path) == grpcInfer {
		body, err := inference.Whole(req, maxBody)
		if err != nil || body == nil {
			return ask{}, false, err
		}
		a, runs = readMessage(body)
		return a, runs, nil
	}
	if a, runs = readPath(string(path)); runs {
		return a, true, nil
	}
	for _, end := range bodies {
		if bytes.HasSuffix(path, []byte(end)) {
			body, err := inference.Whole(req, maxBody)
			if err != nil {
				return ask{}, false, err
			}
			return ask{model: modelIn(body)}, true, nil
		}
	}
	return ask{}, false, nil
}

// readPath reads a path that names the model.
func readPath(path string) (ask, bool) {
	var rest, raw, version string
	switch {
	case after(path, "/v2/models/", &rest):
		raw, rest, _ = strings.Cut(rest, "/")
		if v, more, ok := strings.Cut(strings.TrimPrefix(rest, "versions/"), "/"); ok && strings.HasPrefix(rest, "versions/") {
			version, rest = v, more
		}
		switch rest {
		case "infer", "infer_stream", "generate", "generate_stream":
		default:
			return ask{}, false
		}
	case after(path, "/v1/models/", &rest):
		at := strings.LastIndexByte(rest, ':')
		if at < 0 {
			return ask{}, false
		}
		switch rest[at+1:] {
		case "predict", "explain", "classify", "regress":
		default:
			return ask{}, false
		}
		raw, rest, _ = strings.Cut(rest[:at], "/")
		version = strings.TrimPrefix(strings.TrimPrefix(rest, "versions/"), "labels/")
	case after(path, "/predictions/", &rest):
		raw, version, _ = strings.Cut(rest, "/")
	default:
		return ask{}, false
	}
	name, err := url.PathUnescape(raw)
	if err != nil || name == "" {
		return ask{}, false
	}
	return ask{model: name, raw: raw, version: version}, true
}

func after(path, before string, rest *string) bool {
	i := strings.LastIndex(path, before)
	if i >= 0 {
		*rest = path[i+len(before):]
	}
	return i >= 0
}

// modelIn finds the member "model" of a JSON object; empty: it has none.
func modelIn(body []byte) string {
	s := jsonspan.New(body)
	if !s.Object() {
		return ""
	}
	for name, ok := s.Member(); ok; name, ok = s.Member() {
		value := s.Value().Of(body)
		if string(name.Of(body)) == "model" {
			model, _ := jsonspan.Unquote(value)
			return model
		}
	}
	return ""
}

// The fields of ModelInferRequest
// (https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/open_inference_grpc.proto).
const (
	fieldModel   = 1
	fieldVersion = 2
	// messageHead is before each message: whether it is compressed, and its length.
	messageHead = 5
)

// readMessage reads a ModelInferRequest, the one message of a gRPC body.
func readMessage(body []byte) (a ask, ok bool) {
	a.grpc = true
	if len(body) < messageHead || body[0] != 0 {
		return a, false
	}
	for b := body[messageHead:]; len(b) > 0; {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return a, false
		}
		b = b[n:]
		if (number == fieldModel || number == fieldVersion) && kind == protowire.BytesType {
			value, n := protowire.ConsumeBytes(b)
			if n < 0 {
				return a, false
			}
			if number == fieldModel {
				a.model = string(value)
			} else {
				a.version = string(value)
			}
			b = b[n:]
			continue
		}
		if n = protowire.ConsumeFieldValue(number, kind, b); n < 0 {
			return a, false
		}
		b = b[n:]
	}
	return a, a.model != ""
}

// versioned is a gRPC body whose message asks for a version; it named none.
func versioned(body []byte, version string) []byte {
	out := make([]byte, 0, len(body)+len(version)+8)
	out = append(out, body...)
	out = protowire.AppendTag(out, fieldVersion, protowire.BytesType)
	out = protowire.AppendString(out, version)
	binary.BigEndian.PutUint32(out[1:], uint32(len(out)-messageHead)) // #nosec G115 -- bounded by maxBody
	return out
}
