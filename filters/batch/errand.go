package batch

import (
	"bytes"
	"context"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/valyala/fasthttp"
	"go.uber.org/zap"

	"github.com/fridaymesh/friday/proxy"
)

// maxErrandBytes is the longest answer to an errand.
const maxErrandBytes = 1 << 20

// errand asks a server what no caller asked for: on the way that a caller's request
// takes, to where it goes, and with its credentials. It refers to nothing of the
// caller's.
type errand struct {
	state *state
	next  proxy.Handler
	like  proxy.Request // without a body; the head has no target yet
	path  string        // of the caller's request
}

// newErrand is for the sake of req; names, in lower case, are of the headers that say
// who asks.
func (s *state) newErrand(req *proxy.Request, next proxy.Handler, names []string) *errand {
	h := new(fasthttp.RequestHeader)
	h.DisableNormalizing()
	h.SetHostBytes(req.Header.Host())
	for name, value := range proxy.Fields(req.Header.AppendBytes(nil)) {
		lower := string(bytes.ToLower(name))
		if _, found := slices.BinarySearch(names, lower); found && !framing(lower) {
			h.AddBytesKV(name, value)
		}
	}
	h.Set("accept", "application/json")
	h.Set("accept-encoding", "identity")
	h.Set("user-agent", "friday")
	path, _, _ := bytes.Cut(req.Header.RequestURI(), []byte{'?'})
	return &errand{
		state: s, next: next, path: string(path),
		like: proxy.Request{
			Header: h, Body: proxy.NoBody, Remote: req.Remote, Local: req.Local, Protocol: req.Protocol,
			Start: req.Start, Route: req.Route, Cluster: req.Cluster, Endpoint: req.Endpoint,
			OriginalDestination: req.OriginalDestination, Hash: req.Hash, Hashed: req.Hashed,
		},
	}
}

// framing says that a header speaks of the message that it came with.
func framing(name string) bool {
	switch name {
	case "host", "accept", "accept-encoding", "user-agent", "connection", "expect", "te", "trailer", "transfer-encoding", "upgrade":
		return true
	}
	return strings.HasPrefix(name, "content-")
}

// at is path, one of the server's own API, as a caller of the same route has to write
// it: behind whatever stands before the API in the caller's path, which is the
// route's to rewrite, or the server's own prefix.
func (q *errand) at(path string) string {
	for _, api := range [...]string{"/v2/models/", "/v1/models/"} {
		if i := strings.LastIndex(q.path, api); i >= 0 && strings.HasPrefix(path, api) {
			return q.path[:i] + path
		}
	}
	i := max(strings.LastIndex(q.path, "/v1/"), strings.LastIndex(q.path, "/v2/"))
	if i < 0 {
		i = max(0, strings.LastIndexByte(q.path, '/'))
	}
	return q.path[:i] + path
}

// ask sends a GET, or a POST of a JSON body, and reads the answer. There is an error
// where none came that can be read.
func (q *errand) ask(ctx context.Context, path string, body []byte) (status int, answer []byte, err error) {
	defer func() {
		if v := recover(); v != nil {
			q.state.log.Error("panic in an errand", zap.Any("panic", v), zap.ByteString("stack", debug.Stack()))
			err = fmt.Errorf("panic: %v", v)
		}
	}()
	req := q.like
	req.Header = new(fasthttp.RequestHeader)
	q.like.Header.CopyTo(req.Header)
	req.Header.SetMethod(fasthttp.MethodGet)
	req.Header.SetRequestURI(q.at(path))
	if body != nil {
		req.Header.SetMethod(fasthttp.MethodPost)
		req.Header.SetContentType("application/json")
		req.Header.SetContentLength(len(body))
		req.Body = proxy.NewBytesBody(body)
	}
	resp, err := q.next.Handle(ctx, &req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Close() //nolint:errcheck // read to the end, or given up
	answer, err = readAll(resp.Body, maxErrandBytes)
	return resp.Header.StatusCode(), answer, err
}
