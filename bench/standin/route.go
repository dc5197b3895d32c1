package standin

import (
	"encoding/json"
	"net/url"
	"strconv"
	"strings"

	"github.com/valyala/fasthttp"
)

// route answers the request that was read. An error ends the connection.
func (c *conn) route(last bool) error {
	c.extra = c.extra[:0]
	c.body = c.req.Body()
	if c.config.Observe != nil {
		c.config.Observe(c.observed())
	}
	// Neither slashes nor dots are cleaned away: a path is what the caller wrote.
	path, err := url.PathUnescape(string(c.req.URI().PathOriginal()))
	if err != nil {
		return c.answer(400, openError(400, "cannot read the path "+string(c.req.Header.RequestURI())), last)
	}
	if serve := c.called(path); serve != nil {
		if !c.req.Header.IsPost() {
			c.extra = append(c.extra, "allow: POST\r\n"...)
			return c.answer(405, openError(405, "method not allowed: "+string(c.req.Header.Method())), last)
		}
		if f := c.entrance(); f != nil {
			return c.answer(f.status, openError(f.status, f.message), last)
		}
		return serve(last)
	}
	if c.req.Header.IsGet() || c.req.Header.IsHead() {
		if kind, body := c.told(path); body != nil {
			return c.answerAs(kind, 200, body, last)
		}
	}
	return c.answer(404, openError(404, "no such path: "+string(c.req.Header.Method())+" "+string(c.req.Header.RequestURI())), last)
}

// called finds what a POST to path calls; nil: nothing.
func (c *conn) called(path string) func(last bool) error {
	work := func(j func() *job) func(bool) error {
		return func(last bool) error { return c.do(j(), last) }
	}
	switch path {
	case "/v1/embeddings":
		return work(func() *job { return c.embeddings() })
	case "/v1/completions":
		return c.completions
	case "/v1/chat/completions":
		return c.chat
	case "/v1/rerank", "/v2/rerank", "/rerank":
		return work(func() *job { return rerank(path, c.body) })
	case "/score", "/v1/score":
		return work(func() *job { return score(c.body) })
	case "/tokenize":
		return work(func() *job { return tokenize(c.body) })
	case "/embed":
		return work(func() *job { return embed(c.body, c.config.Dimensions) })
	case "/predict":
		return work(func() *job { return classify(c.body) })
	case "/cost":
		return c.recost
	}
	if name, ok := strings.CutPrefix(path, "/predictions/"); ok {
		model, _, _ := strings.Cut(name, "/") // the version
		return work(func() *job { return predictions(model, c.body) })
	}
	if name, ok := strings.CutPrefix(path, "/v1/models/"); ok {
		name, verb, ok := strings.Cut(name, ":")
		model, _, _ := strings.Cut(name, "/") // versions/…, labels/…
		switch {
		case ok && verb == "predict":
			return work(func() *job { return predict(model, c.body) })
		case ok && verb == "explain":
			return work(func() *job { return explain(model, c.body) })
		}
	}
	if name, ok := strings.CutPrefix(path, "/v2/models/"); ok && strings.HasSuffix(name, "/infer") {
		model, _, _ := strings.Cut(name, "/")
		return func(last bool) error { return c.infer(model, last) }
	}
	return nil
}

// told is what a GET of path tells; nil: there is no such path.
func (c *conn) told(path string) (kind string, body []byte) {
	kind = "application/json"
	switch path {
	case "/stats":
		if text, err := json.Marshal(c.Stats()); err == nil {
			body = text
		}
	case "/metrics":
		kind, body = "text/plain; version=0.0.4", c.Stats().appendMetrics(nil)
	case "/health", "/v2/health/ready", "/v2/health/live":
		body = []byte(`{}`)
	case "/info":
		body = c.info()
	case "/v2":
		body = []byte(`{"name":"standin","version":"1","extensions":["binary_tensor_data"]}`)
	case "/v1/models":
		body = []byte(`{"object":"list","data":[{"id":"standin","object":"model","created":` +
			strconv.Itoa(Created) + `,"owned_by":"standin"}]}`)
	default:
		if name, ok := strings.CutPrefix(path, "/v1/models/"); ok {
			return kind, []byte(`{"name":` + quote(name) + `,"ready":true}`)
		}
		name, ok := strings.CutPrefix(path, "/v2/models/")
		switch {
		case ok && strings.HasSuffix(name, "/ready"):
			body = []byte(`{}`)
		case ok:
			name, _, _ = strings.Cut(name, "/")
			body = metadata(name)
		}
	}
	return kind, body
}

// Credentials that the server knows.
const (
	// Expired is answered 401 with WWW-Authenticate.
	Expired = "Bearer expired"
	// Forbidden is answered 403.
	Forbidden = "Bearer forbidden"
)

// entrance refuses credentials, and encodings of the content that are unknown; a
// content in gzip it opens.
func (c *conn) entrance() *fault {
	switch string(c.req.Header.Peek(fasthttp.HeaderAuthorization)) {
	case Expired:
		c.extra = append(c.extra, "www-authenticate: Bearer realm=\"standin\", error=\"invalid_token\"\r\n"...)
		return &fault{status: 401, message: "the token has expired"}
	case Forbidden:
		return &fault{status: 403, message: "not yours"}
	}
	switch encoding := string(c.req.Header.ContentEncoding()); encoding {
	case "", "identity":
	case "gzip":
		body, err := c.req.BodyGunzip()
		if err != nil {
			return bad("the content is no gzip")
		}
		c.body = body
	default:
		return &fault{status: 415, message: "content-encoding: " + encoding + " is unknown"}
	}
	return nil
}
