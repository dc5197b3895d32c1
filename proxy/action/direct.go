package action

import (
	"context"
	"fmt"
	"net/http"

	"github.com/fridaymesh/friday/proxy"
	"github.com/fridaymesh/friday/proxy/format"
)

// Direct is an answer without an upstream.
type Direct struct {
	Status int
	Body   string
	// Format, where not nil, makes the body; %LOCAL_REPLY_BODY% stands for Body.
	Format *format.BodyFormat
}

// NewDirect compiles a direct response with the header mutations of its levels.
func NewDirect(d *Direct, levels []Headers) (proxy.Handler, error) {
	if d.Status < 200 || d.Status > 599 {
		return nil, fmt.Errorf("direct response: status %d: must be 200 to 599", d.Status)
	}
	m, err := newMutations(levels)
	if err != nil {
		return nil, err
	}
	bare := d.Status == http.StatusNoContent || d.Status == http.StatusNotModified
	return proxy.HandlerFunc(func(_ context.Context, req *proxy.Request) (*proxy.Response, error) {
		resp := proxy.NewResponse()
		resp.Header.SetStatusCode(d.Status)
		body, contentType := []byte(d.Body), "text/plain"
		if d.Format != nil {
			body, contentType = d.Format.Make(&format.Facts{Request: req, Status: d.Status, LocalBody: d.Body})
		}
		if len(body) > 0 && !bare {
			resp.Header.SetContentType(contentType)
			resp.Body = proxy.NewBytesBody(body)
		}
		m.respond(req, &resp.Header, nil)
		return resp, nil
	}), nil
}
