package jobs

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/fridaymesh/friday/filters/jobs/store"
	"github.com/fridaymesh/friday/proxy"
)

// what is what a path of the API is about.
type what int

const (
	none what = iota
	files
	file
	fileContent
	batches
	batch
	batchCancel
	job
)

// target is a path of the API.
type target struct {
	kind  what
	id    string
	query string
}

// route finds out whether a request's target is of the API. It is asked of every request.
func route(uri []byte) target {
	path, ok := bytes.CutPrefix(uri, []byte("/v1/"))
	if !ok || len(path) < 5 || path[0] != 'f' && path[0] != 'b' && path[0] != 'j' {
		return target{}
	}
	text, query, _ := strings.Cut(string(path), "?")
	parts := strings.Split(strings.TrimSuffix(text, "/"), "/")
	r := target{query: query}
	if len(parts) > 1 {
		r.id = parts[1]
	}
	switch {
	case len(parts) > 3 || len(parts) > 1 && r.id == "":
	case len(parts) == 1 && parts[0] == "files":
		r.kind = files
	case len(parts) == 2 && parts[0] == "files":
		r.kind = file
	case len(parts) == 3 && parts[0] == "files" && parts[2] == "content":
		r.kind = fileContent
	case len(parts) == 1 && parts[0] == "batches":
		r.kind = batches
	case len(parts) == 2 && parts[0] == "batches":
		r.kind = batch
	case len(parts) == 3 && parts[0] == "batches" && parts[2] == "cancel":
		r.kind = batchCancel
	case len(parts) == 2 && parts[0] == "jobs":
		r.kind = job
	}
	return r
}

// call is a request of the API.
type call struct {
	*filter

	req    *proxy.Request
	r      target
	store  *store.Store
	tenant store.Tenant
	now    time.Time
}

// refusal is an answer that is an error, in OpenAI's form.
type refusal struct {
	status  int
	message string
	kind    string // type; empty: invalid_request_error
	code    string // empty: null
	param   string // empty: null
	retry   int    // Retry-After in seconds; 0: none
	err     error  // for the log
}

func (r *refusal) Error() string { return r.message }

// Unwrap is the cause.
func (r *refusal) Unwrap() error { return r.err }

func refuse(status int, param, code, format string, args ...any) *refusal {
	return &refusal{status: status, message: fmt.Sprintf(format, args...), param: param, code: code}
}

func (f *filter) api(ctx context.Context, req *proxy.Request, r target) (*proxy.Response, error) {
	st, err := f.state.use(ctx)
	if err != nil {
		return f.answer(ctx, nil, err)
	}
	c := &call{filter: f, req: req, r: r, store: st, tenant: st.Tenant(f.tenantOf(req)), now: time.Now()}
	do, action := c.find(string(req.Header.Method()))
	if do == nil {
		return f.answer(ctx, nil, refuse(http.StatusMethodNotAllowed, "", "method_not_allowed", "Not allowed to %s on %s.", req.Header.Method(), req.Header.RequestURI()))
	}
	resp, err := do(ctx)
	if err != nil && action != "" {
		c.recordRefusal(ctx, action, err)
	}
	return f.answer(ctx, resp, err)
}

// find is what a method does, and its name in the audit trail, where it stands there.
func (c *call) find(method string) (do func(context.Context) (*proxy.Response, error), action string) {
	get, post := method == http.MethodGet, method == http.MethodPost
	switch {
	case c.r.kind == files && get:
		return c.listFiles, ""
	case c.r.kind == files && post:
		return c.createFile, "file.create"
	case c.r.kind == file && get:
		return c.getFile, ""
	case c.r.kind == file && method == http.MethodDelete:
		return c.deleteFile, "file.delete"
	case c.r.kind == fileContent && get:
		return c.readFile, "file.read"
	case c.r.kind == batches && get:
		return c.listBatches, ""
	case c.r.kind == batches && post:
		return c.createBatch, "batch.create"
	case c.r.kind == batch && get:
		return c.getBatch, ""
	case c.r.kind == batchCancel && post:
		return c.cancelBatch, "batch.cancel"
	case c.r.kind == job && get:
		return c.getRequest, ""
	case c.r.kind == job && method == http.MethodDelete:
		return c.cancelRequest, "request.cancel"
	}
	return nil, ""
}

// tenantOf is a digest, so that credentials stand nowhere for longer than they are needed.
func (f *filter) tenantOf(req *proxy.Request) string {
	value := strings.Join(proxy.FieldValues(req.Header, f.config.TenantHeader), ",")
	sum := sha256.Sum256([]byte(f.config.TenantHeader + "\n" + value))
	return hex.EncodeToString(sum[:16])
}

// entry is for the audit trail.
func (c *call) entry(action, object string, outcome int) store.Entry {
	address := "-"
	if c.req.Remote != nil {
		address = c.req.Remote.String()
	}
	return store.Entry{At: c.now, Action: action, Object: object, Address: address, Outcome: outcome}
}

// recordRefusal notes what somebody was refused. That it cannot be noted is no reason for
// another answer.
func (c *call) recordRefusal(ctx context.Context, action string, err error) {
	if r, ok := errors.AsType[*refusal](translate(err)); ok && r.status < 500 {
		if err := c.tenant.Record(ctx, c.entry(action, brief(c.r.id), r.status)); err != nil {
			c.state.failed("a refusal cannot be noted", err)
		}
	}
}

// translate makes of the store's errors what a caller is told.
func translate(err error) error {
	switch {
	case errors.Is(err, store.ErrKeyReused):
		return &refusal{
			status: http.StatusBadRequest, kind: "idempotency_error", code: "idempotency_key_reused",
			message: "The Idempotency-Key was used for a request with other parameters.", param: "Idempotency-Key",
		}
	case errors.Is(err, store.ErrNotFound):
		return refuse(http.StatusNotFound, "after", "", "There is nothing of the id in 'after'.")
	}
	return err
}

// answer is what the caller gets: resp, or what err says. What is none of ours is the
// store's failure.
func (f *filter) answer(ctx context.Context, resp *proxy.Response, err error) (*proxy.Response, error) {
	if err == nil {
		return resp, nil
	}
	if ctx.Err() != nil { // whatever came of it, nobody waits
		return nil, context.Cause(ctx)
	}
	if _, ok := errors.AsType[*proxy.Error](err); ok {
		return nil, err
	}
	r, ok := errors.AsType[*refusal](translate(err))
	if !ok {
		f.state.failed("the store has failed", err)
		r = away(err)
	}
	type body struct {
		Message string  `json:"message"`
		Type    string  `json:"type"`
		Param   *string `json:"param"`
		Code    *string `json:"code"`
	}
	b := body{Message: r.message, Type: r.kind}
	if b.Type == "" {
		b.Type = "invalid_request_error"
	}
	if r.param != "" {
		b.Param = &r.param
	}
	if r.code != "" {
		b.Code = &r.code
	}
	resp = jsonResponse(r.status, map[string]body{"error": b})
	if r.retry > 0 {
		resp.Header.Set("retry-after", strconv.Itoa(r.retry))
	}
	return resp, nil
}

func jsonResponse(status int, v any) *proxy.Response {
	text, err := json.Marshal(v)
	if err != nil { // what is marshalled here can be
		status, text = http.StatusInternalServerError, nil
	}
	resp := proxy.NewResponse()
	resp.Header.SetStatusCode(status)
	resp.Header.SetContentType("application/json")
	resp.Body = proxy.NewBytesBody(text)
	return resp
}

// page reads the parameters of a list.
func (c *call) page(usual, most int) (p store.Page, values url.Values, err error) {
	values, err = url.ParseQuery(c.r.query)
	if err != nil {
		return p, nil, refuse(http.StatusBadRequest, "", "invalid_query", "The query cannot be read: %s.", brief(err.Error()))
	}
	p = store.Page{After: values.Get("after"), Limit: usual}
	if text := values.Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > most {
			return p, nil, refuse(http.StatusBadRequest, "limit", "invalid_value", "Invalid 'limit': '%s'. It must be 1 to %d.", brief(text), most)
		}
		p.Limit = n
	}
	switch order := values.Get("order"); order {
	case "", "desc":
	case "asc":
		p.Ascending = true
	default:
		return p, nil, refuse(http.StatusBadRequest, "order", "invalid_value", "Invalid 'order': '%s'. It must be asc or desc.", brief(order))
	}
	return p, values, nil
}

// list is a page in OpenAI's form.
func list[T any](items []T, id func(T) string, more bool) *proxy.Response {
	type page struct {
		Object  string  `json:"object"`
		Data    []T     `json:"data"`
		FirstID *string `json:"first_id"`
		LastID  *string `json:"last_id"`
		HasMore bool    `json:"has_more"`
	}
	out := page{Object: "list", Data: items, HasMore: more}
	if n := len(items); n > 0 {
		first, last := id(items[0]), id(items[n-1])
		out.FirstID, out.LastID = &first, &last
	} else {
		out.Data = []T{}
	}
	return jsonResponse(http.StatusOK, out)
}

// unread says that a request's body did not come.
func unread(err error) error {
	if pe, ok := errors.AsType[*proxy.Error](err); ok {
		return pe
	}
	return &proxy.Error{Status: http.StatusBadRequest, Flag: proxy.FlagDownstreamProtocol, Message: "the request's body could not be read", Err: err}
}

// readBody reads a body of at most so many bytes.
func (c *call) readBody(most int) ([]byte, error) {
	var out bytes.Buffer
	if n := c.req.Body.Len(); n <= int64(most) {
		if _, err := out.ReadFrom(&limited{r: c.req.Body, left: most + 1}); err != nil {
			return nil, unread(err)
		}
	}
	if c.req.Body.Len() > int64(most) || out.Len() > most {
		return nil, refuse(http.StatusRequestEntityTooLarge, "", "request_too_large", "The request is larger than %d bytes.", most)
	}
	return out.Bytes(), nil
}
