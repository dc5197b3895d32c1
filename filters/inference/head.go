package inference

import (
	"bytes"
	"fmt"
	"strconv"

	"github.com/valyala/fasthttp"

	"github.com/fridaymesh/friday/filters/inference/openinference"
	"github.com/fridaymesh/friday/proxy"
)

// lengthHeader tells how many bytes of JSON stand before raw tensors, in the Open
// Inference Protocol's binary extension.
const lengthHeader = "Inference-Header-Content-Length"

// Describe makes the head h, which was that of one of the calls that Merge put into
// body, true of body: its length and, where it tells it, that of its JSON.
func Describe(h *fasthttp.RequestHeader, body []byte) {
	h.SetContentLength(len(body))
	for name := range proxy.Fields(h.AppendBytes(nil)) {
		if !bytes.EqualFold(name, []byte(lengthHeader)) {
			continue
		}
		if n, ok := openinference.HeaderLength(body); ok {
			h.SetBytesK(name, strconv.Itoa(n))
		}
	}
}

// TellsJSON says whether an answer's head tells how long the JSON before raw tensors
// is. The error, which wraps ErrMismatch, says that body is not as it tells.
func TellsJSON(h *fasthttp.ResponseHeader, body []byte) (bool, error) {
	name, value := jsonLength(h)
	if name == nil {
		return false, nil
	}
	if n, ok := openinference.HeaderLength(body); !ok || string(value) != strconv.Itoa(n) {
		return true, fmt.Errorf("%w: %s: %q is not what it holds", ErrMismatch, lengthHeader, value)
	}
	return true, nil
}

// DescribeAnswer makes a head of which TellsJSON is true tell it of body, which
// Split or Join made.
func DescribeAnswer(h *fasthttp.ResponseHeader, body []byte) {
	if name, _ := jsonLength(h); name != nil {
		if n, ok := openinference.HeaderLength(body); ok {
			h.SetBytesK(name, strconv.Itoa(n))
		}
	}
}

func jsonLength(h *fasthttp.ResponseHeader) (name, value []byte) {
	for k, v := range h.All() {
		if bytes.EqualFold(k, []byte(lengthHeader)) {
			return bytes.Clone(k), bytes.Clone(v)
		}
	}
	return nil, nil
}
