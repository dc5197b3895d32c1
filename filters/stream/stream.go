package stream

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"time"

	"google.golang.org/protobuf/types/known/anypb"

	"github.com/fridaymesh/friday/proxy"
	"github.com/fridaymesh/friday/xds/api/settings"
)

const (
	// Name is the filter's name in a chain.
	Name = "friday.filters.http.stream"
	// TypeURL is the type of its configuration.
	TypeURL = "type.googleapis.com/friday.filters.http.stream.v1.Stream"
)

// Factory declares the filter.
type Factory struct{}

var _ proxy.Factory = Factory{}

// TypeURL is [TypeURL].
func (Factory) TypeURL() string { return TypeURL }

// Parse reads a configuration of [TypeURL] into a [*Config]; a nil one is one with nothing
// set. Errors name the field and the value.
func (Factory) Parse(config *anypb.Any) (proxy.FilterConfig, error) {
	return settings.Parse(config, parse)
}

// Build makes the filter of one route's configuration.
func (Factory) Build(config proxy.FilterConfig, env proxy.Env) (proxy.Filter, error) {
	c, ok := config.(*Config)
	if !ok {
		return nil, fmt.Errorf("%s: a configuration of type %T", Name, config)
	}
	m, err := proxy.Kept(env, Name, func() (*meters, error) { return newMeters(env.Metrics), nil })
	if err != nil {
		return nil, fmt.Errorf("%s: %w", Name, err)
	}
	return &filter{config: c, meters: m}, nil
}

// filter is immutable.
type filter struct {
	config *Config
	meters *meters
}

var _ proxy.Filter = (*filter)(nil)

// Handle passes req on and wraps the answer's body where it is a stream, or counts
// tokens.
func (f *filter) Handle(ctx context.Context, req *proxy.Request, next proxy.Handler) (*proxy.Response, error) {
	if f.config.Heartbeat > 0 {
		asks, err := asksForEvents(req)
		if err != nil {
			return nil, err
		}
		if asks {
			return f.pulse(ctx, req, next)
		}
	}
	return f.answer(ctx, req, next)
}

func (f *filter) answer(ctx context.Context, req *proxy.Request, next proxy.Handler) (*proxy.Response, error) {
	resp, err := f.inTime(ctx, req, next)
	a := apiOf(req)
	switch {
	case a == nil:
	case err != nil:
		f.meters.of(req.Cluster, modelOf(req)).failed(a, req.Start, errorType(ctx, err))
	case resp.Header.StatusCode() >= 400:
		f.meters.of(req.Cluster, modelOf(req)).failed(a, req.Start, strconv.Itoa(resp.Header.StatusCode()))
	}
	return resp, err
}

func (f *filter) inTime(ctx context.Context, req *proxy.Request, next proxy.Handler) (*proxy.Response, error) {
	if f.config.FirstChunkTimeout > 0 {
		return f.answerTimed(ctx, req, next)
	}
	resp, err := next.Handle(ctx, req)
	if err != nil {
		return nil, err
	}
	if kind := kindOf(resp); kind != notStream {
		resp.Body = f.watch(ctx, req, resp.Body, kind)
	} else {
		resp.Body = f.counted(req, resp)
	}
	return resp, nil
}

// answerTimed is answer where the first chunk has a deadline: until there is a
// head nobody can say whether it is a stream's, so that the head has it too.
func (f *filter) answerTimed(ctx context.Context, req *proxy.Request, next proxy.Handler) (*proxy.Response, error) {
	start := time.Now()
	inner, cancel := context.WithCancelCause(ctx)
	timer := time.AfterFunc(f.config.FirstChunkTimeout, func() { cancel(errFirstChunk) })
	handedOn := false
	defer func() {
		if !handedOn { // an error, a panic, or all there already
			timer.Stop()
			cancel(nil)
		}
	}()
	resp, err := next.Handle(inner, req)
	late := !timer.Stop()
	if err != nil && context.Cause(inner) != errFirstChunk { //nolint:errorlint // a mark of this package, never wrapped
		return nil, err
	}
	if err == nil && late {
		err = resp.Close()
	}
	if err != nil || late {
		return nil, &proxy.Error{
			Status: 504, Flag: proxy.FlagTimeout,
			Message: noAnswer + f.config.FirstChunkTimeout.String(), Err: err,
		}
	}
	kind := kindOf(resp)
	if kind == notStream {
		resp.Body = f.counted(req, resp)
	}
	if _, ok := resp.Body.(*proxy.BytesBody); ok || resp.Body == proxy.NoBody {
		return resp, nil
	}
	handedOn = true
	if kind == notStream {
		resp.Body = &untilEnd{Body: resp.Body, end: cancel}
		return resp, nil
	}
	w := f.watch(ctx, req, resp.Body, kind)
	w.end = cancel
	w.firstBy = start.Add(f.config.FirstChunkTimeout)
	resp.Body = w
	return resp, nil
}

var errFirstChunk = fmt.Errorf("no first chunk: %w", proxy.ErrTimeout)

// untilEnd calls end when a body has ended.
type untilEnd struct {
	proxy.Body

	end context.CancelCauseFunc
}

func (b *untilEnd) Read(p []byte) (int, error) {
	n, err := b.Body.Read(p)
	if err != nil {
		b.end(nil)
	}
	return n, err
}

func (b *untilEnd) Close() error {
	defer b.end(nil)
	return b.Body.Close()
}

// Ready is how many bytes Read would return without waiting, where that is known.
func (b *untilEnd) Ready() int { return ready(b.Body) }

func ready(b proxy.Body) int {
	if r, ok := b.(interface{ Ready() int }); ok {
		return r.Ready()
	}
	return 0
}

// kind is what an answer is.
type kind uint8

const (
	notStream kind = iota
	// events is text/event-stream.
	events
	// lines is NDJSON.
	lines
	// chunks is any other answer that comes in pieces, and what is encoded: it is not
	// looked into.
	chunks
)

func kindOf(resp *proxy.Response) kind {
	media, _, _ := bytes.Cut(resp.Header.ContentType(), []byte{';'})
	k := notStream
	switch media = bytes.TrimSpace(media); {
	case bytes.EqualFold(media, []byte("text/event-stream")):
		k = events
	case bytes.EqualFold(media, []byte("application/x-ndjson")), bytes.EqualFold(media, []byte("application/stream+json")):
		k = lines
	case resp.Body.Len() < 0:
		return chunks
	}
	if e := resp.Header.ContentEncoding(); k != notStream && len(e) > 0 && !bytes.EqualFold(e, []byte("identity")) {
		return chunks
	}
	return k
}
