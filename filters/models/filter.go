package models

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/fridaymesh/friday/filters/models/api"
	"github.com/fridaymesh/friday/proxy"
	"github.com/fridaymesh/friday/proxy/telemetry"
)

// pass is a filter that does nothing.
type pass struct{}

func (pass) Handle(ctx context.Context, req *proxy.Request, next proxy.Handler) (*proxy.Response, error) {
	return next.Handle(ctx, req)
}

// filter is one route's. It is immutable; what changes is in the fleet.
type filter struct {
	fleet *fleet
	names map[string]bool
	only  string // the model's name where there is but one
}

var _ proxy.Filter = (*filter)(nil)

func newFilter(c *Config, f *fleet) *filter {
	out := &filter{fleet: f, names: make(map[string]bool, len(c.Models))}
	for _, m := range c.Models {
		out.names[m.Name] = true
	}
	if len(c.Models) == 1 {
		out.only = c.Models[0].Name
	}
	return out
}

// find is the model that a request is for, nil where it is none of the configuration's.
func (f *filter) find(a *ask) *model {
	if a.model == "" {
		a.model = f.only
	}
	if !f.names[a.model] {
		// Ollama's names without a tag.
		if bare, is := strings.CutSuffix(a.model, ":latest"); is {
			a.model = bare
		} else {
			a.model += ":latest"
		}
		if !f.names[a.model] {
			return nil
		}
	}
	return (*f.fleet.models.Load())[a.model]
}

// Handle counts req at the model that it is for, and holds it while that is not ready.
// What is for none of the configuration's models passes.
func (f *filter) Handle(ctx context.Context, req *proxy.Request, next proxy.Handler) (*proxy.Response, error) {
	a, runs, err := read(req)
	if err != nil {
		return nil, err
	}
	if !runs {
		return next.Handle(ctx, req)
	}
	m := f.find(&a)
	if m == nil {
		return next.Handle(ctx, req)
	}
	c := &call{
		fleet: f.fleet, model: m, ask: &a, req: req, next: next, target: string(req.Header.RequestURI()), endpoint: req.Endpoint,
		until: req.Start.Add(f.fleet.config.Load().HoldTimeout),
	}
	return c.serve(ctx)
}

// call is one request on its way.
type call struct {
	fleet    *fleet
	model    *model
	ask      *ask
	req      *proxy.Request
	next     proxy.Handler
	target   string
	endpoint *proxy.Endpoint
	message  []byte    // its body, where that is gRPC's and was changed
	attempts int       // those after which it was sent again
	until    time.Time // when it is not any more
}

// maxAttempts bounds how often a request is sent.
const maxAttempts = 4

func (c *call) serve(ctx context.Context) (*proxy.Response, error) {
	for {
		v := c.model.enter()
		if v == nil {
			var err error
			if v, err = c.fleet.hold(ctx, c.model, c.req); err != nil {
				return nil, err
			}
		}
		if v == nil {
			return c.next.Handle(ctx, c.req)
		}
		if c.ask.version != "" && c.ask.version != v.name {
			v.leave() // it asks for another than the one that is served
			return c.next.Handle(ctx, c.req)
		}
		resp, err, again := c.attempt(ctx, v)
		if !again {
			return resp, err
		}
	}
}

// attempt sends the request to v. again says that the server was not ready, and that the
// request may be sent once more.
func (c *call) attempt(ctx context.Context, v *version) (resp *proxy.Response, err error, again bool) { //nolint:revive // the error is a part of the verdict
	var left atomic.Bool
	leave := func() {
		if !left.Swap(true) {
			v.leave()
		}
	}
	handedOn := false
	defer func() {
		if !handedOn { // an error, a panic, or all there already
			leave()
		}
	}()
	c.pin(v)
	resp, err = c.next.Handle(ctx, c.req)
	if doubtful(resp, err) && !c.fleet.stillReady(ctx, v) && c.rewind() {
		if resp != nil {
			_ = resp.Close() // nobody will read it
		}
		c.attempts++
		c.fleet.metrics.ModelReplayed.WithLabelValues(c.fleet.cluster, c.model.name).Inc()
		c.fleet.log.Debug("sent again: the server was not ready", zap.String(telemetry.FieldModel, c.model.name))
		return nil, nil, true
	}
	if err != nil {
		return nil, err, false
	}
	if c.model.records.wanted.Load() && resp.Header.StatusCode() == http.StatusOK {
		c.record()
	}
	if _, whole := resp.Body.(*proxy.BytesBody); whole || resp.Body == proxy.NoBody {
		return resp, nil, false
	}
	handedOn = true
	resp.Body = &countedBody{Body: resp.Body, leave: leave}
	return resp, nil, false
}

// pin makes a request that names no version one for that which is served, where the
// server knows versions.
func (c *call) pin(v *version) {
	a := c.fleet.api.Load()
	if v.name == "" || c.ask.version != "" || a == nil || !(*a).Versions() {
		return
	}
	switch {
	case c.ask.grpc:
		whole, ok := c.req.Body.(*proxy.BytesBody)
		if !ok {
			return
		}
		if c.message == nil {
			c.message = whole.Bytes()
		}
		body := versioned(c.message, v.name)
		c.req.Body, c.req.Call = proxy.NewBytesBody(body), nil
		if c.req.Header.ContentLength() >= 0 {
			c.req.Header.SetContentLength(len(body))
		}
	case c.ask.raw != "":
		if target, ok := api.Pin(c.target, c.ask.raw, url.PathEscape(v.name)); ok {
			c.req.Header.SetRequestURI(target)
			c.req.Call = nil
		}
	}
}

// rewind makes the request what it was, so that it can be sent again; false where its body
// is gone, or it is too late.
func (c *call) rewind() bool {
	switch b := c.req.Body.(type) {
	case *proxy.BytesBody:
		b.Rewind()
	default:
		if b != proxy.NoBody {
			return false
		}
	}
	if time.Now().After(c.until) || c.attempts+1 == maxAttempts {
		return false
	}
	c.req.Header.SetRequestURI(c.target)
	c.req.Endpoint = c.endpoint
	return true
}

// doubtful says that an answer is one that a server gives also where the model is not
// ready: each words it otherwise, and so do requests that are wrong.
func doubtful(resp *proxy.Response, err error) bool {
	if err != nil {
		pe, ok := errors.AsType[*proxy.Error](err)
		return ok && pe.Unsent
	}
	switch resp.Header.StatusCode() {
	case http.StatusBadRequest, http.StatusNotFound, http.StatusConflict, http.StatusServiceUnavailable:
		return true
	case http.StatusOK:
		if code := resp.Header.Peek("grpc-status"); len(code) > 0 {
			n, err := strconv.Atoi(string(code))
			return err == nil && (n == 3 || n == 5 || n == 9 || n == 14) // INVALID_ARGUMENT, NOT_FOUND, FAILED_PRECONDITION, UNAVAILABLE
		}
	}
	return false
}

// believed is how long the server's own word counts.
const believed = 100 * time.Millisecond

// stillReady asks the server whether it has v. Of many who ask at once one does.
func (f *fleet) stillReady(ctx context.Context, v *version) bool {
	answer := make(chan bool, 1)
	f.post(func() {
		switch {
		case v.model.serving.Load() != v:
			answer <- false
		case time.Since(v.checked) < believed:
			answer <- true
		default:
			v.asking = append(v.asking, answer)
		}
	})
	select {
	case is := <-answer:
		return is
	case <-ctx.Done():
		return true
	case <-f.over:
		return true
	}
}

// countedBody ends the request's being in flight with the answer.
type countedBody struct {
	proxy.Body

	leave func()
}

func (b *countedBody) Close() error {
	err := b.Body.Close()
	b.leave()
	return err
}

// Ready is the inner body's.
func (b *countedBody) Ready() int {
	if r, ok := b.Body.(interface{ Ready() int }); ok {
		return r.Ready()
	}
	return 0
}
