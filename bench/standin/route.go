package standin

import (
	"encoding/json"
	"strconv"
	"strings"
)

// A fault is a call that is answered with an error.
type fault struct {
	status  int
	message string
}

func bad(message string) *fault { return &fault{400, message} }

// openError is an error in OpenAI's shape.
func openError(status int, message string) []byte {
	kind := "invalid_request_error"
	if status >= 500 {
		kind = "server_error"
	}
	return []byte(`{"error":{"message":` + quote(message) + `,"type":"` + kind + `","code":` + strconv.Itoa(status) + `}}`)
}

// plainError is an error as KServe's servers write it.
func plainError(message string) []byte { return []byte(`{"error":` + quote(message) + `}`) }

// quote is s as a JSON text.
func quote(s string) string {
	q, err := json.Marshal(s)
	if err != nil {
		return `""` // strings always marshal
	}
	return string(q)
}

// route answers the request that was read. An error ends the connection.
func (c *conn) route(last bool) error {
	path := string(c.req.URI().Path())
	if c.req.Header.IsPost() {
		switch {
		case path == "/v1/embeddings":
			return c.embeddings(last)
		case path == "/v1/chat/completions":
			return c.chat(last)
		case strings.HasPrefix(path, "/v1/models/") && strings.HasSuffix(path, ":predict"):
			model := strings.TrimSuffix(strings.TrimPrefix(path, "/v1/models/"), ":predict")
			return c.predict(model, last)
		case strings.HasPrefix(path, "/v2/models/") && strings.HasSuffix(path, "/infer"):
			return c.infer(modelOf(strings.TrimSuffix(path, "/infer")), last)
		}
	} else {
		switch {
		case path == "/stats":
			body, err := json.Marshal(c.Stats())
			if err != nil {
				return err
			}
			return c.answer(200, body, last)
		case path == "/metrics":
			return c.answerAs("text/plain; version=0.0.4", 200, c.Stats().appendMetrics(nil), last)
		case path == "/health", path == "/v2/health/ready", path == "/v2/health/live":
			return c.answer(200, []byte(`{}`), last)
		case path == "/v2":
			return c.answer(200, []byte(`{"name":"standin","version":"1","extensions":[]}`), last)
		case path == "/v1/models":
			return c.answer(200, []byte(`{"object":"list","data":[{"id":"standin","object":"model","created":`+
				strconv.Itoa(Created)+`,"owned_by":"standin"}]}`), last)
		case strings.HasPrefix(path, "/v1/models/"):
			return c.answer(200, []byte(`{"name":`+quote(strings.TrimPrefix(path, "/v1/models/"))+`,"ready":true}`), last)
		case strings.HasPrefix(path, "/v2/models/") && strings.HasSuffix(path, "/ready"):
			return c.answer(200, []byte(`{}`), last)
		case strings.HasPrefix(path, "/v2/models/"):
			return c.answer(200, metadata(modelOf(path)), last)
		}
	}
	return c.answer(404, openError(404, "no such path: "+path), last)
}

// modelOf is the model's name in /v2/models/{model}[/versions/{version}].
func modelOf(path string) string {
	name, _, _ := strings.Cut(strings.TrimPrefix(path, "/v2/models/"), "/")
	return name
}

// run makes the answer to a call of n items, or the fault's, after the time that
// it takes. A call that a poisoned item fails takes its time all the same.
func (c *conn) run(n int, f *fault, plain, last bool, answer func(dst []byte) []byte) error {
	if f == nil && c.config.MaxItems > 0 && n > c.config.MaxItems {
		f, n = bad("batch size "+strconv.Itoa(n)+" is over the maximum of "+strconv.Itoa(c.config.MaxItems)), 0
	}
	if n > 0 {
		if err := c.compute(n); err != nil {
			return err
		}
	}
	if f == nil {
		c.aux = answer(c.aux[:0])
		return c.answer(200, c.aux, last)
	}
	if plain {
		return c.answer(f.status, plainError(f.message), last)
	}
	return c.answer(f.status, openError(f.status, f.message), last)
}
