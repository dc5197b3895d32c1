package jobs

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"runtime/debug"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/fridaymesh/friday/filters/inference"
	"github.com/fridaymesh/friday/filters/jobs/pipeline"
	"github.com/fridaymesh/friday/filters/jobs/store"
	"github.com/fridaymesh/friday/proxy"
	"github.com/fridaymesh/friday/proxy/span"
)

// pipeline is the one that a target names; nil: none.
func (c *Config) pipeline(uri []byte) *pipeline.Pipeline {
	if len(c.Pipelines) == 0 {
		return nil
	}
	name, ok := bytes.CutPrefix(uri, []byte(pipeline.Prefix))
	if !ok {
		return nil
	}
	name, _, _ = bytes.Cut(name, []byte{'?'})
	return c.Pipelines[string(name)]
}

// caller is who calls the server for a pipeline: for one who waits, or for a line.
type caller struct {
	rest    proxy.Handler
	headers [][2]string
	span    *span.Span   // of who waits; nil for a line
	creator string       // of the line's job: its span
	asked   atomic.Int64 // the longest Retry-After, in nanoseconds
}

// Call asks the server.
func (c *caller) Call(ctx context.Context, path string, body []byte) (a pipeline.Answer, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = proxy.PanicError(v, debug.Stack())
		}
	}()
	h := new(fasthttp.RequestHeader)
	h.DisableNormalizing()
	h.SetNoDefaultContentType(true)
	h.SetMethod(http.MethodPost)
	h.SetRequestURI(path)
	addHeaders(h, c.headers)
	h.SetContentType("application/json")
	h.SetContentLength(len(body))
	req := &proxy.Request{
		Header: h, Body: proxy.NewBytesBody(body), Protocol: "http1", Start: time.Now(), Remote: self(), Local: self(),
		Span: c.span.Child("pipeline step", span.Internal),
	}
	defer func() { endSpan(req.Span, "pipeline step", c.creator, a.Status, err) }()
	resp, err := c.rest.Handle(ctx, req)
	if err != nil {
		return a, err
	}
	a, asked, err := readAnswer(resp)
	for {
		longest := c.asked.Load()
		if int64(asked) <= longest || c.asked.CompareAndSwap(longest, int64(asked)) {
			return a, err
		}
	}
}

// Known is nothing: who waits has the whole run made anew.
func (c *caller) Known(string) (pipeline.Answer, bool) { return pipeline.Answer{}, false }

// Keep keeps nothing.
func (c *caller) Keep(context.Context, string, pipeline.Answer) error { return nil }

// pipelineHandler runs a pipeline for one who waits.
type pipelineHandler struct {
	*filter

	p *pipeline.Pipeline
}

// Handle runs it.
func (h *pipelineHandler) Handle(ctx context.Context, req *proxy.Request) (*proxy.Response, error) {
	input, err := inference.Whole(req, mostRequest)
	if err != nil {
		return nil, err
	}
	if input == nil {
		return h.answer(ctx, nil, refuse(http.StatusBadRequest, "", "invalid_body", "A pipeline needs a body of JSON, of at most %d bytes.", mostRequest))
	}
	c := &caller{rest: h.rest, headers: endToEnd(req), span: req.Span}
	began := time.Now()
	a, err := h.p.Run(ctx, input, c)
	h.state.ran(h.p, err, began)
	if err != nil {
		if a, err = unwell(err); err != nil {
			return nil, err
		}
	}
	resp := proxy.NewResponse()
	resp.Header.SetStatusCode(a.Status)
	if a.ContentType != "" {
		resp.Header.SetContentType(a.ContentType)
	}
	if asked := time.Duration(c.asked.Load()); asked > 0 && a.Status >= http.StatusBadRequest {
		resp.Header.Set("retry-after", strconv.FormatInt(int64((asked+time.Second-1)/time.Second), 10))
	}
	resp.Body = proxy.NewBytesBody(a.Body)
	return resp, nil
}

// ran counts a run.
func (s *state) ran(p *pipeline.Pipeline, err error, began time.Time) {
	result := "completed"
	if err != nil {
		result = "failed"
	}
	s.metrics.PipelineRuns.WithLabelValues(p.Name, result).Inc()
	s.metrics.PipelineSeconds.WithLabelValues(p.Name).Observe(time.Since(began).Seconds())
}

// unwell is the answer to a run that came to nothing; or the error, where the server was
// not reached.
func unwell(err error) (pipeline.Answer, error) {
	type inner struct {
		Message string  `json:"message"`
		Type    string  `json:"type"`
		Param   *string `json:"param"`
		Code    string  `json:"code"`
	}
	var e inner
	status := 0
	if f, ok := errors.AsType[*pipeline.Failure](err); ok {
		param := "steps." + f.Step
		status, e = f.Answer.Status, inner{f.Error() + ": " + brief(string(f.Answer.Body)), "pipeline_error", &param, "step_failed"}
	} else if u, ok := errors.AsType[*pipeline.Unfit](err); ok {
		status, e = http.StatusBadRequest, inner{u.Error(), "invalid_request_error", nil, "pipeline_input"}
	} else {
		return pipeline.Answer{}, err
	}
	body, err := json.Marshal(map[string]inner{"error": e})
	return pipeline.Answer{Status: status, ContentType: "application/json", Body: body}, err
}

// errForgotten: what a step has answered cannot be kept.
var errForgotten = &proxy.Error{Status: http.StatusServiceUnavailable, Flag: proxy.FlagInternal, Message: "what a step has answered cannot be kept"}

// lineCaller runs the steps of a line, and remembers them in the store.
type lineCaller struct {
	caller

	state   *state
	store   *store.Store
	lease   store.Lease
	version string
	known   map[string]store.Step
}

// Known is what the store has.
func (c *lineCaller) Known(step string) (pipeline.Answer, bool) {
	s, ok := c.known[step]
	return pipeline.Answer{Status: s.Status, ContentType: s.ContentType, Body: s.Body}, ok
}

// Keep puts it there.
func (c *lineCaller) Keep(ctx context.Context, step string, a pipeline.Answer) error {
	err := c.store.KeepStep(ctx, c.lease, store.Step{Version: c.version, Name: step, Status: a.Status, ContentType: a.ContentType, Body: a.Body})
	if err == nil || errors.Is(err, store.ErrStale) { // the line's own result will be refused
		return nil
	}
	c.state.failed("what a step has answered cannot be kept", err)
	return errForgotten
}

// runPipeline makes an attempt at a line that is a run of a pipeline: of its steps those
// that have not been answered yet.
func (w *worker) runPipeline(f *flight, e *errand, r *store.Result, p *pipeline.Pipeline) (asked time.Duration, err error) {
	c := &lineCaller{
		caller: caller{rest: w.rest, headers: e.headers, creator: e.creator}, state: w.state, store: w.store.Load(),
		lease: store.Lease{Job: f.Job, N: f.N, Token: f.Token}, version: p.Version,
	}
	if e.kind == store.Batch {
		c.headers = append(slices.Clip(c.headers), [2]string{"x-request-id", lineID(f.Job, f.N)})
	}
	if c.known, err = c.store.Steps(f.ctx, c.lease, p.Version); err != nil {
		w.failed("what steps have answered cannot be read", err)
		return 0, errForgotten
	}
	began := time.Now()
	a, err := p.Run(f.ctx, f.Body, c)
	w.ran(p, err, began)
	if err != nil {
		a, err = unwell(err)
	}
	r.Status, r.ContentType, r.Body = a.Status, a.ContentType, a.Body
	return time.Duration(c.asked.Load()), err
}
