package jobs

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/fridaymesh/friday/filters/jobs/pipeline"
	"github.com/fridaymesh/friday/filters/jobs/store"
	"github.com/fridaymesh/friday/proxy"
	"github.com/fridaymesh/friday/proxy/span"
)

// outcome is what came of an attempt: a result, or a line put back.
type outcome struct {
	result *store.Result
	back   *store.Return
}

// mostAnswer is the largest answer that is kept, in bytes.
const mostAnswer = 32 << 20

// fly makes one attempt at a line.
func (w *worker) fly(f *flight, e *errand) {
	o, refused := w.attempt(f, e)
	w.mu.Lock()
	enough := len(w.queue) > 0
	w.running--
	w.mu.Unlock()
	switch {
	case refused:
		w.pace.refused(time.Now())
	case o.result != nil:
		w.pace.answered(enough, time.Now())
	}
	w.wakeUp()
	if o.result == nil && o.back == nil { // cancelled: nobody wants to know
		if w.ctx.Err() == nil { // at the end all are put back
			w.forget(f.Job, f.N, f.Token)
		}
		return
	}
	select {
	case w.outcomes <- o:
	case <-w.ctx.Done():
	}
}

// attempt sends a line. refused says that the server has no room.
func (w *worker) attempt(f *flight, e *errand) (o outcome, refused bool) {
	r := &store.Result{Job: f.Job, N: f.N, Token: f.Token, RequestID: lineID(f.Job, f.N)}
	back := func(none bool, asked time.Duration) outcome {
		w.metrics.JobLines.WithLabelValues("retried").Inc()
		return outcome{back: &store.Return{
			Job: f.Job, N: f.N, Token: f.Token, Unsent: none, NotBefore: time.Now().Add(w.backoff(f.Fails, asked)),
		}}
	}
	asked, err := w.ask(f, e, r)
	if f.ctx.Err() != nil {
		return outcome{}, false
	}
	more := f.Attempts < e.maxAttempts
	if err == nil {
		refused = r.Status == http.StatusTooManyRequests || r.Status == http.StatusServiceUnavailable
		if more && again(r.Status) {
			return back(false, asked), refused
		}
		return outcome{result: r}, refused
	}
	pe := proxy.AsError(f.ctx, err)
	switch {
	case pe.Flag == proxy.FlagNoRoute: // also for a moment when the process starts
		o = back(true, 0)
		o.back.NotBefore = time.Now().Add(w.least)
		return o, false
	case unsent(pe):
		return back(true, max(asked, pe.RetryAfter)), true
	case more && again(pe.Status):
		return back(false, pe.RetryAfter), pe.Status == http.StatusServiceUnavailable
	}
	r.Code, r.Message = "request_failed", fmt.Sprintf("the request was not answered: %d %s: %s", pe.Status, pe.Flag, pe.Message)
	if e.kind == store.Request { // its caller gets what it would have got
		r.Status, r.ContentType, r.Body = pe.Status, "text/plain", []byte(pe.Message)
	}
	return outcome{result: r}, false
}

// errTooLarge: the answer is larger than mostAnswer.
var errTooLarge = errors.New("the answer is too large to be kept")

// ask sends a line and reads the answer into r. asked is the server's Retry-After.
func (w *worker) ask(f *flight, e *errand, r *store.Result) (asked time.Duration, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = proxy.PanicError(v, debug.Stack())
		}
	}()
	if p := w.config.Load().pipeline([]byte(e.endpoint)); p != nil {
		return w.runPipeline(f, e, r, p)
	}
	req := request(f, e)
	defer func() { endSpan(req.Span, "job line", e.creator, r.Status, err) }()
	resp, err := w.rest.Handle(f.ctx, req)
	if err != nil {
		return 0, err
	}
	if id, ok := proxy.FieldValue(&resp.Header, "x-request-id"); ok && id != "" {
		r.RequestID = id
	}
	a, asked, err := readAnswer(resp)
	r.Status, r.ContentType, r.Body = a.Status, a.ContentType, a.Body
	return asked, err
}

// endSpan ends the span of a request that no caller has sent; creator is that of who
// created its job, empty where there is none.
func endSpan(s *span.Span, name, creator string, status int, err error) {
	if !s.Sampled() {
		return
	}
	s.Name(name)
	s.Refer(creator)
	if err != nil {
		s.Fail("error", "")
	} else {
		s.Set("http.response.status_code", status)
		if status >= http.StatusInternalServerError {
			s.Fail(strconv.Itoa(status), "")
		}
	}
	s.End()
}

// readAnswer reads an answer to its end. asked is the server's Retry-After.
func readAnswer(resp *proxy.Response) (a pipeline.Answer, asked time.Duration, err error) {
	defer func() { err = errors.Join(err, resp.Close()) }()
	if value, ok := proxy.FieldValue(&resp.Header, "retry-after"); ok {
		asked = retryAfter(value, time.Now())
	}
	a.Status, a.ContentType = resp.Header.StatusCode(), string(resp.Header.ContentType())
	if whole, ok := resp.Body.(*proxy.BytesBody); ok {
		a.Body = append([]byte(nil), whole.Bytes()...)
	} else if a.Body, err = io.ReadAll(io.LimitReader(resp.Body, mostAnswer+1)); err != nil {
		return a, asked, &proxy.Error{Status: http.StatusBadGateway, Flag: proxy.FlagUpstreamReset, Message: "the answer was cut short", Err: err}
	}
	if len(a.Body) > mostAnswer {
		return a, asked, &proxy.Error{Status: http.StatusNotImplemented, Flag: proxy.FlagUpstreamProtocol, Message: errTooLarge.Error(), Err: errTooLarge}
	}
	return a, asked, nil
}

// lineID is unique in a store.
func lineID(job, n int64) string {
	return "batch_req_" + strconv.FormatInt(job, 36) + "_" + strconv.FormatInt(n, 10)
}

// self is where lines seem to come from.
func self() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }

// addHeaders adds what endToEnd found.
func addHeaders(h *fasthttp.RequestHeader, headers [][2]string) {
	for _, kv := range headers {
		switch kv[0] {
		case "host":
			h.SetHost(kv[1])
		case "content-type":
			h.SetContentType(kv[1])
		default:
			h.Add(kv[0], kv[1])
		}
	}
}

// request makes the request of a line.
func request(f *flight, e *errand) *proxy.Request {
	h := new(fasthttp.RequestHeader)
	h.DisableNormalizing()
	h.SetNoDefaultContentType(true)
	h.SetMethod(http.MethodPost)
	h.SetRequestURI(e.endpoint)
	addHeaders(h, e.headers)
	if e.kind == store.Batch {
		h.SetContentType("application/json")
		h.Set("x-request-id", lineID(f.Job, f.N))
	}
	h.SetContentLength(len(f.Body))
	return &proxy.Request{
		Header: h, Body: proxy.NewBytesBody(f.Body), Protocol: "http1", Start: time.Now(), Remote: self(), Local: self(),
	}
}
