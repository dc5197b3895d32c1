// Package inference says what a request asks of a model server: the operation, the
// model and the items, and takes such requests together and apart again. All of it
// happens on the bytes: the items' places are found, the items are spliced as they
// are, the answer is cut where its results stand. Nothing is decoded and encoded
// again, so number text, the order of members, white space inside items and
// unknown members survive.
//
// What it does not understand, or could not take apart with certainty, it leaves
// alone; a filter passes such a request through untouched.
package inference

import (
	"bytes"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/valyala/fasthttp"

	"github.com/fridaymesh/friday/filters/inference/cohere"
	"github.com/fridaymesh/friday/filters/inference/kservev1"
	"github.com/fridaymesh/friday/filters/inference/modelinfer"
	"github.com/fridaymesh/friday/filters/inference/openai"
	"github.com/fridaymesh/friday/filters/inference/openinference"
	"github.com/fridaymesh/friday/filters/inference/tei"
	"github.com/fridaymesh/friday/filters/inference/tfserving"
	"github.com/fridaymesh/friday/filters/inference/wire"
	"github.com/fridaymesh/friday/proxy"
)

// protocols is the one list of what is understood.
var protocols = [...]wire.Protocol{ //nolint:gochecknoglobals // a constant table
	openai.Protocol{},
	kservev1.Protocol{},
	openinference.Protocol{},
	openai.Completions{},
	cohere.Protocol{},
	tei.Embed{},
	tei.Predict{},
	tei.Rerank{},
	tfserving.Rows{},
	tfserving.Columns{},
	modelinfer.Protocol{},
}

// Call is one request understood. It is immutable.
type Call struct {
	// Protocol is "openai", "kserve_v1", "open_inference", "openai_completions",
	// "cohere", "tei" or "tf_serving".
	Protocol string
	// Operation is what the protocol calls it: "embeddings", "predict", "infer",
	// "ModelInfer".
	Operation string
	// Model is the model's name as the server knows it; empty where the request
	// names none.
	Model string
	// Items is how many items (texts, instances, rows) it holds, at least 1.
	Items int
	// Key is equal for requests that may share one upstream call, as far as their
	// bodies go: options, shapes, datatypes, the names of outputs and all else but
	// the items is the same. Method, path and query, host and the headers that
	// group requests have to be equal besides.
	Key string
	// Usage says that the answer counts tokens for all of its items together,
	// which Split shares out.
	Usage bool
	// OptIn says that such requests are batched only where their protocol is named,
	// not where all are: there is seldom a gain.
	OptIn bool
	// GRPC says that the call is gRPC's: the outcome is told in grpc-status, in the
	// trailer or, where there is no message, in the head.
	GRPC bool
	// Body is the request's original bytes, which must not be changed.
	Body []byte

	protocol wire.Protocol
	target   wire.Target
	message  *wire.Message
	from, to int // the items of message that it is about
}

// Of says what req is, nil where it is unknown or cannot share a call. It is
// computed once, with the first caller's maxBytes, and kept in req.Call; the
// model's name goes into req.Trace.
//
// It reads the body only where method, path and content type fit a protocol and
// the content is not encoded, and up to maxBytes of it. However much was read,
// req.Body begins at the start afterwards; read whole, it is a *proxy.BytesBody.
// The error is that of reading the body.
func Of(req *proxy.Request, maxBytes int64) (*Call, error) {
	if call, ok := req.Call.(*Call); ok {
		return call, nil
	}
	req.Call = (*Call)(nil)
	m := matcher{header: req.Header}
	protocol, target := m.next()
	if protocol == nil {
		return nil, nil // unknown is no error
	}
	body, err := readBody(req, maxBytes)
	if err != nil || body == nil {
		return nil, err
	}
	message := readRequest(protocol, target, m.head, body)
	for message == nil {
		// Of those with one path, the body tells which it is.
		if protocol, target = m.next(); protocol == nil {
			return nil, nil // unknown is no error
		}
		message = readRequest(protocol, target, m.head, body)
	}
	call := &Call{
		Protocol: protocol.Name(), Operation: target.Operation, Model: target.Model,
		Items: message.Items, Usage: target.Usage, OptIn: target.OptIn, GRPC: target.GRPC, Body: body,
		Key:      protocol.Name() + " " + target.Operation + " " + message.Key,
		protocol: protocol, target: target, message: message, to: message.Items,
	}
	if call.Model == "" {
		call.Model = message.Model
	}
	req.Call = call
	req.Trace.Model = call.Model
	return call, nil
}

// readRequest reads a body as its head says; nil where it is not understood.
func readRequest(protocol wire.Protocol, target wire.Target, head wire.Head, body []byte) *wire.Message {
	if headed, ok := protocol.(wire.Headed); ok {
		return headed.RequestIn(target, head, body)
	}
	// JSON is UTF-8 (RFC 8259 section 8.1). A server refuses what is not, for
	// everybody whose items stand in the same text.
	if !utf8.Valid(body) {
		return nil
	}
	return protocol.Request(target, body)
}

// matcher finds protocols by the head alone.
type matcher struct {
	header *fasthttp.RequestHeader
	path   string
	at     int // in the list of protocols
	head   wire.Head
	read   bool // the head
}

// next is the next protocol that the head fits; nil: there is none.
func (m *matcher) next() (wire.Protocol, wire.Target) {
	if m.path == "" {
		uri := m.header.RequestURI()
		if i := bytes.IndexByte(uri, '?'); i >= 0 {
			uri = uri[:i]
		}
		if !m.header.IsPost() || len(uri) == 0 || uri[0] != '/' {
			return nil, wire.Target{}
		}
		m.path = string(uri)
	}
	for m.at < len(protocols) {
		protocol := protocols[m.at]
		m.at++
		target, ok := protocol.Match(m.path)
		if !ok {
			continue
		}
		if !m.read {
			if m.head, m.read = readHead(m.header); !m.read {
				return nil, wire.Target{}
			}
		}
		if headed, is := protocol.(wire.Headed); is {
			ok = headed.Accepts(target, m.head)
		} else {
			ok = m.head.IsJSON(target.TypeOptional)
		}
		if ok {
			return protocol, target
		}
	}
	return nil, wire.Target{}
}

// readHead reads what tells how to read the body; false where its content is
// encoded, or a header is not clear. Names of headers may stand in any case: the
// codec keeps them as the caller wrote them.
func readHead(h *fasthttp.RequestHeader) (head wire.Head, ok bool) {
	head.JSON = -1
	lines := heads.Get().(*[]byte) //nolint:forcetypeassert // the pool holds nothing else
	defer heads.Put(lines)
	*lines = h.AppendBytes((*lines)[:0])
	typed := false
	for name, value := range proxy.Fields(*lines) {
		switch {
		case bytes.EqualFold(name, []byte("content-type")):
			media := mediaType(string(value))
			if typed && media != head.Type {
				return head, false
			}
			typed, head.Type = true, media
		case bytes.EqualFold(name, []byte("content-encoding")):
			if !identity(value) {
				return head, false
			}
		case bytes.EqualFold(name, []byte("grpc-encoding")):
			head.Compressed = head.Compressed || !identity(value)
		case bytes.EqualFold(name, []byte(lengthHeader)):
			n, err := strconv.ParseUint(string(value), 10, 31)
			if err != nil || head.JSON >= 0 {
				return head, false
			}
			head.JSON = int(n)
		}
	}
	return head, true
}

var heads = sync.Pool{New: func() any { return new([]byte) }} //nolint:gochecknoglobals // a pool is shared by nature

func mediaType(contentType string) string {
	media, _, _ := strings.Cut(contentType, ";")
	return strings.ToLower(strings.TrimSpace(media))
}

func identity(encoding []byte) bool {
	return len(encoding) == 0 || bytes.EqualFold(encoding, []byte("identity"))
}
