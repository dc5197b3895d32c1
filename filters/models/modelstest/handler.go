package modelstest

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"

	"github.com/fridaymesh/friday/proxy"
)

// Handler makes the round trip to a server in process, without a socket, so that time
// may be that of testing/synctest.
func Handler(h http.Handler) proxy.Handler {
	return proxy.HandlerFunc(func(ctx context.Context, req *proxy.Request) (*proxy.Response, error) {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return nil, err
		}
		r := httptest.NewRequestWithContext(ctx, string(req.Header.Method()), string(req.Header.RequestURI()), bytes.NewReader(body))
		r.Header.Set("Content-Type", string(req.Header.ContentType()))
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if err := ctx.Err(); err != nil {
			return nil, proxy.AsError(ctx, context.Cause(ctx))
		}
		resp := proxy.NewResponse()
		resp.Header.SetStatusCode(w.Code)
		resp.Header.SetContentType(w.Header().Get("Content-Type"))
		resp.Body = proxy.NewBytesBody(w.Body.Bytes())
		return resp, nil
	})
}
