package config

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/fridaymesh/friday/proxy"
	"github.com/fridaymesh/friday/proxy/action"
	"github.com/fridaymesh/friday/proxy/format"
	"github.com/fridaymesh/friday/proxy/tracing"
)

var _ proxy.Handler = (*Active)(nil)

// Handle brings the request into the listener's form, finds its route and runs the
// route's chain.
func (a *Active) Handle(ctx context.Context, req *proxy.Request) (*proxy.Response, error) {
	resp, err := a.edge.Arrive(req)
	if resp == nil && err == nil {
		resp, err = a.handle(ctx, req)
	}
	if err != nil {
		return nil, err
	}
	a.edge.Leave(req, resp)
	return resp, nil
}

// Reply makes the answer to an error that Handle, or the codec before it, returned.
func (a *Active) Reply(req *proxy.Request, pe *proxy.Error) *proxy.Response {
	return a.edge.Reply(req, pe)
}

// Finish finishes the head of an answer to an error that the codec has made itself.
func (a *Active) Finish(req *proxy.Request, resp *proxy.Response) { a.edge.Leave(req, resp) }

// Logs says whether there are access logs in formats of the configuration, which Log
// writes.
func (a *Active) Logs() bool { return len(a.logs) > 0 }

// Log writes the request's line to each of them, and ends its span.
func (a *Active) Log(facts *format.Facts) {
	tracing.End(facts)
	for _, l := range a.logs {
		l.Write(facts)
	}
}

// handle runs the chain of the request's route under the route's limits of time.
func (a *Active) handle(ctx context.Context, req *proxy.Request) (*proxy.Response, error) {
	r, ok := a.table.Match(req.Header)
	if !ok {
		a.rule.Begin(req)
		return nil, &proxy.Error{Status: http.StatusNotFound, Flag: proxy.FlagNoRoute}
	}
	r.rule.Begin(req)
	t := r.choose(req)
	req.Route, req.VirtualHost, req.Cluster = r.name, r.host, t.name(req)
	if r.secure != nil && action.Scheme(req) != "https" {
		return r.secure.Handle(ctx, req)
	}
	if r.idle != nil && req.Caller != nil {
		req.Caller.LimitIdle(*r.idle)
	}
	return r.limited(ctx, req, t.whole)
}

// limited runs h under the route's limits of time.
func (r *route) limited(ctx context.Context, req *proxy.Request, h proxy.Handler) (*proxy.Response, error) {
	timeout := r.timeout
	if r.grpc != nil && proxy.IsGRPC(req.Header) {
		timeout = r.grpcTimeout(req)
	}
	if req.Upgrade != "" { // a tunnel's time is not a request's
		timeout = 0
	}
	if timeout <= 0 && r.duration <= 0 {
		return h.Handle(ctx, req)
	}
	l := &limit{ctx: ctx}
	l.after(timeout, proxy.ErrTimeout)
	l.after(r.duration, proxy.ErrDuration)
	if r.duration > 0 {
		l.watch(req)
	}
	resp, err := h.Handle(l.ctx, req) //nolint:contextcheck // it descends from ctx
	if err != nil {
		err = l.judge(err)
		l.end()
		return nil, err
	}
	if _, whole := resp.Body.(*proxy.BytesBody); whole || resp.Body.Len() == 0 {
		l.end()
		return resp, nil
	}
	resp.Body = &timedBody{Body: resp.Body, limit: l}
	return resp, nil
}

// grpcTimeout is the caller's own, within what the route allows.
func (l *limits) grpcTimeout(req *proxy.Request) time.Duration {
	d, ok := parseGRPCTimeout(string(req.Header.Peek("grpc-timeout")))
	if ok && l.offset > 0 && d > l.offset {
		d -= l.offset
	}
	if most := *l.grpc; most > 0 && (!ok || d > most) {
		return most
	}
	return d
}

// parseGRPCTimeout reads at most eight digits and a unit
// (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md).
func parseGRPCTimeout(s string) (time.Duration, bool) {
	if len(s) < 2 || len(s) > 9 {
		return 0, false
	}
	n, err := strconv.ParseUint(s[:len(s)-1], 10, 32)
	unit, ok := map[byte]time.Duration{
		'H': time.Hour, 'M': time.Minute, 'S': time.Second, 'm': time.Millisecond, 'u': time.Microsecond, 'n': time.Nanosecond,
	}[s[len(s)-1]]
	return time.Duration(n) * unit, err == nil && ok // #nosec G115 -- 32 bits
}
