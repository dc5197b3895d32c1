package config

import (
	"bytes"
	"context"
	"net/http"

	"github.com/valyala/fasthttp"

	"github.com/fridaymesh/friday/proxy"
)

var _ proxy.Handler = (*Active)(nil)

// Handle finds the request's route and runs its chain under the route's timeout.
func (a *Active) Handle(ctx context.Context, req *proxy.Request) (*proxy.Response, error) {
	r, ok := a.table.Match(req.Header)
	if !ok {
		return nil, &proxy.Error{Status: http.StatusNotFound, Flag: proxy.FlagNoRoute}
	}
	t := r.choose()
	req.Route, req.Cluster = r.name, t.cluster
	if r.timeout <= 0 || req.Upgrade != "" { // a tunnel's time is not a request's
		return t.chain.Handle(ctx, req)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, r.timeout, proxy.ErrTimeout)
	resp, err := t.chain.Handle(ctx, req)
	if err != nil {
		err = proxy.AsError(ctx, err)
		cancel()
		return nil, err
	}
	if _, whole := resp.Body.(*proxy.BytesBody); whole || resp.Body.Len() == 0 {
		cancel()
		return resp, nil
	}
	resp.Body = &timedBody{Body: resp.Body, ctx: ctx, cancel: cancel}
	return resp, nil
}

// timedBody keeps the route's timeout running until the answer has been read.
type timedBody struct {
	proxy.Body

	ctx    context.Context //nolint:containedctx // the body's own
	cancel context.CancelFunc
}

// Read says why, where the timeout ended it.
func (b *timedBody) Read(p []byte) (int, error) {
	n, err := b.Body.Read(p)
	if err != nil && b.ctx.Err() != nil {
		return n, proxy.AsError(b.ctx, err)
	}
	return n, err
}

func (b *timedBody) Close() error {
	err := b.Body.Close()
	b.cancel()
	return err
}

// Ready is the inner body's.
func (b *timedBody) Ready() int {
	if r, ok := b.Body.(interface{ Ready() int }); ok {
		return r.Ready()
	}
	return 0
}

// noCluster answers for a cluster that does not exist, as Envoy does.
func noCluster(context.Context, *proxy.Request) (*proxy.Response, error) {
	return nil, &proxy.Error{Status: http.StatusServiceUnavailable, Flag: proxy.FlagNoCluster}
}

// rewrite changes what the server is told it was called by.
type rewrite struct {
	next    proxy.Handler
	host    string
	prefix  string
	matched int // length of what prefix replaces
}

func (w *rewrite) Handle(ctx context.Context, req *proxy.Request) (*proxy.Response, error) {
	toOriginForm(req.Header)
	if w.host != "" {
		req.Header.SetHost(w.host)
	}
	if w.prefix != "" {
		uri := req.Header.RequestURI()
		if w.matched <= len(uri) {
			req.Header.SetRequestURI(w.prefix + string(uri[w.matched:]))
		}
	}
	return w.next.Handle(ctx, req)
}

// toOriginForm makes http://host/path to /path, with the host where it belongs: it
// wins over the Host header (RFC 9112 section 3.2.2).
func toOriginForm(h *fasthttp.RequestHeader) {
	scheme, rest, ok := bytes.Cut(h.RequestURI(), []byte("://"))
	if !ok || len(scheme) == 0 || scheme[0] == '/' || bytes.IndexByte(scheme, '?') >= 0 {
		return
	}
	i := bytes.IndexAny(rest, "/?#")
	if i < 0 {
		i = len(rest)
	}
	path := string(rest[i:])
	if path == "" || path[0] != '/' {
		path = "/" + path
	}
	h.SetHostBytes(bytes.Clone(rest[:i]))
	h.SetRequestURI(path)
}
