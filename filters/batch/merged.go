package batch

import (
	"bytes"
	"context"
	"errors"
	"runtime/debug"
	"slices"

	"github.com/valyala/fasthttp"
	"go.uber.org/zap"

	"github.com/fridaymesh/friday/filters/inference"
	"github.com/fridaymesh/friday/proxy"
	"github.com/fridaymesh/friday/proxy/span"
)

// merged is one upstream call of a batch.
type merged struct {
	ctx    context.Context //nolint:containedctx // the call's own, ended by its callers together
	cancel context.CancelCauseFunc
	req    *proxy.Request
	next   proxy.Handler
	items  int
	grpc   bool // see inference.Call.GRPC
	// span is the call's own, which those of its members link to.
	span *span.Span
	// counting is nil where the usage, if any, is shared out by size.
	counting *counting

	// Guarded by batch.mu. A member that was answered is nil: its entry is the
	// caller's again.
	members []*entry
	live    int // members whose callers have not left
}

// begin makes one request of those who are still there; nil where nobody is.
func (b *batch) begin(members []*entry) *merged {
	b.mu.Lock()
	defer b.mu.Unlock()
	members = slices.Clone(present(members))
	if len(members) == 0 {
		return nil
	}
	first := members[0]
	m := &merged{members: members, live: len(members), next: first.next}
	calls := make([]*inference.Call, len(members))
	spans := make([]*span.Span, len(members))
	for i, e := range members {
		calls[i], spans[i] = e.call, e.req.Span
		m.items += e.call.Items
	}
	body := inference.Merge(calls)
	if len(calls) == 1 {
		body = bytes.Clone(body) // it was the caller's
	}
	m.req = &proxy.Request{
		Header: mergedHead(first.req.Header, body),
		Body:   proxy.NewBytesBody(body),
		Remote: first.req.Remote, Local: first.req.Local, Protocol: first.req.Protocol,
		Start: first.req.Start,
		Route: first.req.Route, Cluster: first.req.Cluster, Endpoint: b.slot.endpoint,
		OriginalDestination: first.req.OriginalDestination, Hash: first.req.Hash, Hashed: first.req.Hashed, // for another attempt
		Trace: proxy.Trace{Model: first.call.Model, BatchSize: m.items},
	}
	m.trace(spans)
	m.grpc = first.call.GRPC
	m.ctx, m.cancel = context.WithCancelCause(context.Background())
	if b.extra == 0 {
		m.counting = b.group.count(m, calls)
	}
	b.current = m
	return m
}

// mergedHead is the first caller's head, as far as it is true of the merged call.
// The answer has to come uncompressed, to be cut apart. One caller's deadline
// (grpc-timeout) must not end its neighbours' call: each keeps its own by its own
// context, and the call ends when all of them have left.
func mergedHead(first *fasthttp.RequestHeader, body []byte) *fasthttp.RequestHeader {
	h := new(fasthttp.RequestHeader)
	first.CopyTo(h)
	for name := range proxy.Fields(h.AppendBytes(nil)) {
		switch {
		case bytes.EqualFold(name, []byte("expect")), bytes.EqualFold(name, []byte(debugHeader)),
			bytes.EqualFold(name, []byte("grpc-timeout")):
			h.DelBytes(name)
		case bytes.EqualFold(name, []byte("accept-encoding")), bytes.EqualFold(name, []byte("grpc-accept-encoding")):
			h.DelBytes(name)
			h.SetBytesK(name, "identity")
		}
	}
	inference.Describe(h, body)
	return h
}

// try sends one call for members. Those that are still to be served come back,
// with what to do about them and why.
func (b *batch) try(members []*entry) (rest []*entry, do remedy, why string) {
	m := (*merged)(nil)
	defer func() {
		v := recover()
		if v != nil {
			b.group.state.log.Error("panic in a merged call", zap.Any("panic", v), zap.ByteString("stack", debug.Stack()))
			rest, do, why = members, apart, "panic"
		}
		if m != nil {
			rest = b.end(m)
		}
	}()
	if m = b.begin(members); m == nil {
		return nil, share, ""
	}
	resp, err := m.next.Handle(m.ctx, m.req)
	if err != nil {
		m.span.Fail(string(proxy.AsError(m.ctx, err).Flag), "")
		if do, why = judgeError(proxy.AsError(m.ctx, err)); do == share {
			b.shareError(m, proxy.AsError(m.ctx, err))
		}
		return nil, do, why
	}
	defer resp.Close() //nolint:errcheck // read to the end, or given up
	body, err := readAll(resp.Body, maxAnswerBytes)
	if err != nil {
		if errors.Is(err, errTooLarge) {
			return nil, apart, "too_large"
		}
		return nil, halve, "reset"
	}
	return b.answered(m, resp, body)
}

// answered is the rest of try, for a call that got an answer and has read it.
func (b *batch) answered(m *merged, resp *proxy.Response, body []byte) ([]*entry, remedy, string) {
	trailer := resp.Body.Trailer()
	do, why := judge(resp.Header.StatusCode(), resp.Header.ContentEncoding())
	if do == split && m.grpc {
		do, why = judgeGRPC(&resp.Header, trailer)
	}
	if do != split && do != share {
		return nil, do, why
	}
	whole := outcome{head: b.sharedHead(m, &resp.Header), body: body, trailer: sharedTrailer(m, trailer)}
	if do == share {
		b.share(m, whole)
		return nil, do, why
	}
	if b.extra == 0 {
		// The server is free again; cutting its answer apart need not keep it waiting.
		b.slot.resize(len(m.members), m.items)
		b.release(len(m.members), true)
	}
	if err := b.split(m, whole, m.counting.await(m.ctx)); err != nil {
		b.group.state.log.Warn("the answer to a merged call cannot be cut apart: the model is not batched for a while",
			zap.String("cluster", m.req.Cluster), zap.String("model", m.req.Trace.Model), zap.Error(err))
		return nil, distrusted, "mismatch"
	}
	return nil, share, ""
}

// end closes the call; those who have not been answered come back.
func (b *batch) end(m *merged) []*entry {
	m.cancel(nil)
	m.span.End()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.current = nil
	return present(m.members)
}
