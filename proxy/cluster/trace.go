package cluster

import (
	"context"
	"net"
	"strconv"

	"github.com/fridaymesh/friday/proxy"
	"github.com/fridaymesh/friday/proxy/span"
)

// spanOf begins the span of one attempt, whose identity the server is told.
func spanOf(req *proxy.Request, ep *proxy.Endpoint) *span.Span {
	if !req.Span.Sampled() {
		return req.Span
	}
	method := string(req.Header.Method())
	s := req.Span.Child(method+" "+ep.Cluster, span.Client)
	s.Set("http.request.method", method)
	s.Set("friday.cluster", ep.Cluster)
	if host, port, err := net.SplitHostPort(ep.Address); err == nil {
		s.Set("server.address", host)
		if n, err := strconv.Atoi(port); err == nil {
			s.Set("server.port", n)
		}
	}
	if req.Trace.Attempts > 0 {
		s.Set("http.request.resend_count", req.Trace.Attempts)
	}
	return s
}

// traceAnswer notes an answer's head.
func traceAnswer(s *span.Span, resp *proxy.Response) {
	if !s.Sampled() {
		return
	}
	status := resp.Header.StatusCode()
	s.Set("http.response.status_code", status)
	if status >= 400 { // a caller's span fails from there on, by OpenTelemetry's conventions for HTTP
		s.Fail(strconv.Itoa(status), "")
	}
}

// traceError ends the span of an attempt that got no answer.
func traceError(ctx context.Context, s *span.Span, err error) {
	if s.Sampled() {
		pe := proxy.AsError(ctx, err)
		s.Fail(string(pe.Flag), pe.Message)
		s.End()
	}
}
