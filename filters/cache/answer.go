package cache

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"strconv"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/fridaymesh/friday/proxy"
)

// maxAnswerBytes is the longest answer that is cut apart.
const maxAnswerBytes = 64 << 20

var errTooLong = errors.New("answer too long")

// readAll reads a body of so many bytes at the most into memory of its own.
func readAll(body proxy.Body, most int64) ([]byte, error) {
	n := body.Len()
	if n > most {
		return nil, errTooLong
	}
	// One byte more than announced, so that the end is seen without growing.
	buf := make([]byte, 0, min(max(n+1, 4096), 1<<20))
	for {
		if len(buf) == cap(buf) {
			buf = slices.Grow(buf, len(buf))
		}
		n, err := body.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if int64(len(buf)) > most {
			return nil, errTooLong
		}
		if err == io.EOF { //nolint:errorlint // an end that is wrapped is not a good one
			return buf, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// cut is the error of an answer that broke off.
func cut(ctx context.Context, err error) *proxy.Error {
	if pe := (*proxy.Error)(nil); ctx.Err() != nil || errors.As(err, &pe) {
		return proxy.AsError(ctx, err)
	}
	return &proxy.Error{Status: 502, Flag: proxy.FlagUpstreamReset, Message: "upstream connection closed before the answer's end", Err: err}
}

// clip is a copy of b in memory of its own, whose capacity is what that takes: the
// allocator's sizes are up to an eighth apart.
func clip(b []byte) []byte { return bytes.Clone(b) }

// says is what an answer's head says of who may have it, and for how long.
type says struct {
	control control
	age     time.Duration
	// plain: the content is not encoded. events: it is a stream of events. alone: it is
	// for one caller only.
	plain, events, json, alone bool
}

func (f *filter) says(h *fasthttp.ResponseHeader) says {
	s := says{control: noControl(), plain: true}
	for name, value := range h.All() {
		switch string(bytes.ToLower(name)) {
		case "cache-control":
			s.control.add(value)
		case "age":
			s.age = seconds(bytes.TrimSpace(value))
		case "content-encoding":
			s.plain = s.plain && (len(value) == 0 || bytes.EqualFold(value, []byte("identity")))
		case "content-type":
			media, _, _ := bytes.Cut(value, []byte{';'})
			media = bytes.TrimSpace(media)
			s.events = bytes.EqualFold(media, []byte("text/event-stream"))
			s.json = bytes.EqualFold(media, []byte("application/json"))
		case "set-cookie":
			s.alone = true
		case "vary":
			s.alone = s.alone || f.names.varies(value)
		}
	}
	good := h.StatusCode() == fasthttp.StatusOK
	s.alone = s.alone || good && (s.control.noStore || s.control.private)
	return s
}

func eventStream(h *fasthttp.ResponseHeader) bool {
	media, _, _ := bytes.Cut(h.ContentType(), []byte{';'})
	return bytes.EqualFold(bytes.TrimSpace(media), []byte("text/event-stream"))
}

// fresh is how long such an answer may be given again, at most so long.
func (s *says) fresh(most time.Duration) time.Duration {
	if s.alone {
		return 0
	}
	return s.control.fresh(s.events, s.age, most)
}

func copyHead(h *fasthttp.ResponseHeader) *fasthttp.ResponseHeader {
	own := new(fasthttp.ResponseHeader)
	h.CopyTo(own)
	return own
}

// keptHead is a head as others than who asked may have it: without what is about one
// request or one connection, and without what is about the whole answer's bytes where it
// is cut.
func keptHead(h *fasthttp.ResponseHeader, isCut bool) *fasthttp.ResponseHeader {
	own := copyHead(h)
	var names [][]byte
	for name := range own.All() {
		if one(string(bytes.ToLower(name)), isCut) {
			names = append(names, bytes.Clone(name))
		}
	}
	for _, name := range names {
		own.DelBytes(name)
	}
	return own
}

func one(name string, isCut bool) bool {
	switch name {
	case "connection", "keep-alive", "proxy-connection", "transfer-encoding", "trailer", "upgrade", "content-length",
		"age", "set-cookie", "x-request-id", "x-correlation-id", "traceparent", "tracestate", "server-timing", "retry-after":
		return true
	case "etag", "content-md5", "digest", "content-digest", "repr-digest":
		return isCut
	}
	for _, prefix := range [...]string{"x-friday-", "x-ratelimit-", "x-envoy-upstream-", "ratelimit"} {
		if len(name) >= len(prefix) && name[:len(prefix)] == prefix {
			return true
		}
	}
	return false
}

func setAge(h *fasthttp.ResponseHeader, age time.Duration) {
	h.Set("Age", strconv.FormatInt(int64(max(age, 0)/time.Second), 10))
}

func setBody(resp *proxy.Response, body []byte) {
	if len(body) > 0 {
		resp.Header.SetContentLength(len(body))
		resp.Body = proxy.NewBytesBody(body)
	}
}

// asItCame answers with what became of a call, to who led it or to who waited for just
// the same.
func (l *lookup) asItCame(ctx context.Context, out *outcome, what result) (*proxy.Response, error) {
	switch {
	case out.again:
		return l.pass(ctx, what)
	case out.err != nil:
		own := *out.err
		l.done(nil, what)
		return nil, &own
	}
	resp := proxy.NewResponse()
	head := out.head
	if what == coalesced {
		head = keptHead(head, false)
	}
	head.CopyTo(&resp.Header)
	switch {
	case out.trailer != nil:
		resp.Body = &trailedBody{Body: proxy.NewBytesBody(out.body), trailer: copyHead(out.trailer)}
	default:
		setBody(resp, out.body)
	}
	return l.done(resp, what), nil
}

// trailedBody is a body in memory with a trailer.
type trailedBody struct {
	proxy.Body

	trailer *fasthttp.ResponseHeader
	ended   bool
}

func (b *trailedBody) Read(p []byte) (int, error) {
	n, err := b.Body.Read(p)
	b.ended = b.ended || err != nil
	return n, err
}

func (b *trailedBody) Trailer() *fasthttp.ResponseHeader {
	if !b.ended {
		return nil
	}
	return b.trailer
}

// trace tells the request what its call did.
func (l *lookup) trace(out *outcome) {
	t := &l.req.Trace
	t.Attempts += out.trace.Attempts
	t.BatchSize, t.Queued = out.trace.BatchSize, out.trace.Queued
	if out.trace.Upstream != "" {
		t.Upstream = out.trace.Upstream
	}
}
