package jobs

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/fridaymesh/friday/filters/inference"
	"github.com/fridaymesh/friday/filters/jobs/store"
	"github.com/fridaymesh/friday/proxy"
)

// mostRequest is the largest body of a request whose caller does not wait. A larger one is
// answered as if it had not been asked for: a preference may be passed over.
const mostRequest = 16 << 20

// prefersAsync reads Prefer (RFC 7240 section 2).
func prefersAsync(values []string) bool {
	for _, v := range values {
		for p := range strings.SplitSeq(v, ",") {
			name, _, _ := strings.Cut(p, ";")
			if strings.EqualFold(strings.TrimSpace(name), "respond-async") {
				return true
			}
		}
	}
	return false
}

// async takes in a request whose caller does not wait; nil: it does, or has to.
func (f *filter) async(ctx context.Context, req *proxy.Request) (*proxy.Response, error) {
	if !prefersAsync(proxy.FieldValues(req.Header, "prefer")) {
		return nil, nil
	}
	body, err := inference.Whole(req, mostRequest)
	if err != nil {
		return nil, err
	}
	if body == nil && req.Body.Len() != 0 {
		return nil, nil
	}
	st, err := f.state.use(ctx)
	if err != nil {
		return f.answer(ctx, nil, err)
	}
	c := &call{filter: f, req: req, store: st, tenant: st.Tenant(f.tenantOf(req)), now: time.Now()}
	resp, err := c.createRequest(ctx, body)
	return f.answer(ctx, resp, err)
}

func (c *call) createRequest(ctx context.Context, body []byte) (*proxy.Response, error) {
	uri := string(c.req.Header.RequestURI())
	key, err := c.twice("request", []byte(c.origin), []byte(uri), body)
	if err != nil {
		return nil, err
	}
	j, err := c.tenant.Create(ctx, store.Job{
		ID: newID("job_"), Kind: store.Request, Origin: c.origin, Endpoint: uri, Metadata: []byte("null"), Headers: endToEnd(c.req),
		Digest: key.Digest, MaxAttempts: c.config.MaxAttempts, Retention: c.config.Retention, Status: store.InProgress, Total: 1,
		Created: c.now, InProgress: c.now, Expires: c.now.Add(c.state.window), Creator: c.req.Span.Traceparent(),
	}, body, key, c.entry("request.create", "", http.StatusAccepted))
	if err != nil {
		return nil, err
	}
	c.state.wakeLines(c.origin)
	resp := c.pending(j)
	resp.Header.Set("preference-applied", "respond-async")
	return resp, nil
}

// endToEnd are the headers of a request that belong to it, and not to its connection or to
// what has been done already (RFC 9110 section 7.6.1).
func endToEnd(req *proxy.Request) (out [][2]string) {
	out = append(out, [2]string{"host", string(req.Header.Host())})
	for k, v := range proxy.Fields(req.Header.AppendBytes(nil)) {
		switch name := strings.ToLower(string(k)); name {
		case "host", "connection", "keep-alive", "proxy-connection", "proxy-authorization", "te", "trailer", "transfer-encoding", "upgrade",
			"content-length", "expect", "prefer", "idempotency-key", "accept-encoding":
		case "content-type":
			out = append(out, [2]string{name, string(v)})
		default:
			out = append(out, [2]string{string(k), string(v)})
		}
	}
	return out
}

// pollAfter is what callers are told to wait, in seconds.
const pollAfter = "1"

// pending is the answer while there is no result.
func (c *call) pending(j store.Job) *proxy.Response {
	resp := jsonResponse(http.StatusAccepted, struct {
		ID        string       `json:"id"`
		Object    string       `json:"object"`
		Status    store.Status `json:"status"`
		CreatedAt int64        `json:"created_at"`
		ExpiresAt int64        `json:"expires_at"`
	}{j.ID, "job", j.Status, j.Created.Unix(), j.Expires.Unix()})
	resp.Header.Set("location", "/v1/jobs/"+j.ID)
	resp.Header.Set("retry-after", pollAfter)
	return resp
}

func noJob(id string) *refusal {
	return refuse(http.StatusNotFound, "id", "", "No job found with id '%s'.", brief(id))
}

// getRequest is the result, as the server gave it.
func (c *call) getRequest(ctx context.Context) (*proxy.Response, error) {
	j, err := c.tenant.Job(ctx, store.Request, c.r.id)
	if errors.Is(err, store.ErrNotFound) {
		return nil, noJob(c.r.id)
	}
	if err != nil {
		return nil, err
	}
	r, err := c.tenant.Result(ctx, j)
	switch {
	case errors.Is(err, store.ErrNotFound) && !j.Status.Ended():
		return c.pending(j), nil
	case errors.Is(err, store.ErrNotFound):
		return nil, refuse(http.StatusGone, "id", "job_"+string(j.Status), "The job has no result: it is %s.", j.Status)
	case err != nil:
		return nil, err
	}
	resp := proxy.NewResponse()
	resp.Header.SetStatusCode(r.Status)
	if r.ContentType != "" {
		resp.Header.SetContentType(r.ContentType)
	}
	resp.Header.Set("x-request-id", r.RequestID)
	resp.Body = proxy.NewBytesBody(r.Body)
	return resp, nil
}

func (c *call) cancelRequest(ctx context.Context) (*proxy.Response, error) {
	j, err := c.tenant.Cancel(ctx, store.Request, c.r.id, c.entry("request.cancel", c.r.id, http.StatusAccepted))
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil, noJob(c.r.id)
	case errors.Is(err, store.ErrEnded):
		return nil, refuse(http.StatusBadRequest, "", "invalid_state", "Cannot cancel a job with status '%s'.", j.Status)
	case err != nil:
		return nil, err
	}
	c.state.dropped(j.Origin, j.Seq)
	return c.pending(j), nil
}
