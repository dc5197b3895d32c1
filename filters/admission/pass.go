package admission

import (
	"context"
	"errors"

	"github.com/valyala/fasthttp"

	"github.com/fridaymesh/friday/filters/admission/gate"
	"github.com/fridaymesh/friday/proxy"
)

// pass sends the request on. It is in flight until its answer has ended.
func (v *visit) pass(ctx context.Context, req *proxy.Request, next proxy.Handler) (*proxy.Response, error) {
	handedOn := false
	var s gate.Sample
	defer func() {
		if !handedOn { // an error, a panic, or all there already
			v.end(s)
		}
	}()
	resp, err := next.Handle(ctx, req)
	if err != nil {
		pe, ok := errors.AsType[*proxy.Error](err)
		s.Overloaded = ok && pe.Flag == proxy.FlagOverflow
		return nil, err
	}
	s = v.sample(req, resp)
	if _, whole := resp.Body.(*proxy.BytesBody); whole || resp.Body == proxy.NoBody {
		return resp, nil
	}
	handedOn = true
	if s != (gate.Sample{}) {
		v.begun(s)
	}
	resp.Body = &visitBody{Body: resp.Body, visit: v}
	return resp, nil
}

// sample is what an answer that has just begun says of the server.
//
// That of a model that generates, and does not stream, begins when it ends: that says
// how long it was. What did not go to the server, for a cache had it, says nothing.
func (v *visit) sample(req *proxy.Request, resp *proxy.Response) (s gate.Sample) {
	t := &req.Trace
	switch status := resp.Header.StatusCode(); {
	case status == fasthttp.StatusServiceUnavailable, status == fasthttp.StatusTooManyRequests:
		s.Overloaded = true
	case status >= fasthttp.StatusBadRequest, t.Attempts == 0:
	case t.Expected == 0 && generates(req) && resp.Body.Len() >= 0:
	default:
		s.Took, s.Service = max(1, v.door.state.now()-v.Admitted), t.Expected
	}
	return s
}

// visitBody ends a visit with the answer.
type visitBody struct {
	proxy.Body

	visit *visit
}

func (b *visitBody) Read(p []byte) (int, error) {
	n, err := b.Body.Read(p)
	if err != nil {
		b.visit.end(gate.Sample{})
	}
	return n, err
}

// Close gives up the rest.
func (b *visitBody) Close() error {
	defer b.visit.end(gate.Sample{})
	return b.Body.Close()
}

// Ready is how many bytes Read would return without waiting, 0 where that is not known.
func (b *visitBody) Ready() int {
	if r, ok := b.Body.(interface{ Ready() int }); ok {
		return r.Ready()
	}
	return 0
}

var _ proxy.Body = (*visitBody)(nil)
