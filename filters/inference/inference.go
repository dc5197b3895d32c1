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
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/valyala/fasthttp"

	"github.com/fridaymesh/friday/filters/inference/cohere"
	"github.com/fridaymesh/friday/filters/inference/kservev1"
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
}

// Call is one request understood. It is immutable.
type Call struct {
	// Protocol is "openai", "kserve_v1", "open_inference", "openai_completions",
	// "cohere", "tei" or "tf_serving".
	Protocol string
	// Operation is what the protocol calls it: "embeddings", "predict", "infer".
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
	at, target := match(req.Header, 0)
	if at < 0 {
		return nil, nil // unknown is no error
	}
	body, err := readBody(req, maxBytes)
	// JSON is UTF-8 (RFC 8259 section 8.1). A server refuses what is not, for
	// everybody whose items stand in the same text.
	if err != nil || body == nil || !utf8.Valid(body) {
		return nil, err
	}
	protocol := protocols[at]
	message := protocol.Request(target, body)
	for message == nil {
		// Of those with one path, the body tells which it is.
		if at, target = match(req.Header, at+1); at < 0 {
			return nil, nil // unknown is no error
		}
		protocol = protocols[at]
		message = protocol.Request(target, body)
	}
	call := &Call{
		Protocol: protocol.Name(), Operation: target.Operation, Model: target.Model,
		Items: message.Items, Usage: target.Usage, OptIn: target.OptIn, Body: body,
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

// match finds, by the head alone, the first protocol from a place of the list on;
// -1: none.
func match(h *fasthttp.RequestHeader, from int) (int, wire.Target) {
	if !h.IsPost() {
		return -1, wire.Target{}
	}
	uri := h.RequestURI()
	if i := bytes.IndexByte(uri, '?'); i >= 0 {
		uri = uri[:i]
	}
	if len(uri) == 0 || uri[0] != '/' {
		return -1, wire.Target{}
	}
	path := string(uri)
	for i := from; i < len(protocols); i++ {
		if target, ok := protocols[i].Match(path); ok && plainJSON(h, target.TypeOptional) {
			return i, target
		}
	}
	return -1, wire.Target{}
}

// plainJSON says that the body is JSON and nothing but. Names of headers may stand
// in any case: the codec keeps them as the caller wrote them.
func plainJSON(h *fasthttp.RequestHeader, typeOptional bool) bool {
	ok := typeOptional
	head := heads.Get().(*[]byte) //nolint:forcetypeassert // the pool holds nothing else
	defer heads.Put(head)
	*head = h.AppendBytes((*head)[:0])
	for name, value := range proxy.Fields(*head) {
		switch {
		case bytes.EqualFold(name, []byte("content-type")):
			if ok = isJSON(string(value)); !ok {
				return false
			}
		case bytes.EqualFold(name, []byte("content-encoding")):
			if len(value) > 0 && !bytes.EqualFold(value, []byte("identity")) {
				return false
			}
		case bytes.EqualFold(name, []byte("inference-header-content-length")):
			// The Open Inference Protocol's binary extension: behind the JSON
			// follow raw tensors.
			return false
		}
	}
	return ok
}

var heads = sync.Pool{New: func() any { return new([]byte) }} //nolint:gochecknoglobals // a pool is shared by nature

func isJSON(contentType string) bool {
	media, _, _ := strings.Cut(contentType, ";")
	return strings.EqualFold(strings.TrimSpace(media), "application/json")
}
