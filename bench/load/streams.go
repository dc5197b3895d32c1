package load

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http/httputil"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/fridaymesh/friday/bench/clock"
	"github.com/fridaymesh/friday/bench/standin"
)

// StreamOptions says what streams of chat completions to ask a stand-in for.
type StreamOptions struct {
	Target Target
	// Concurrency is how many streams run at once; at least 1.
	Concurrency int
	// Duration is how long new streams are begun; each goes on to its end.
	Duration time.Duration
	// Streams is how many are begun at least.
	Streams uint64
	// Tokens is the length of each, Gap the time between two of its tokens.
	Tokens int
	Gap    time.Duration
	// Timeout is for one stream. Default 60 s.
	Timeout time.Duration
}

// StreamResult is what the streams looked like from the caller's side. In Result
// a request is a stream, and Latency the time to its end.
type StreamResult struct {
	Result
	// FirstChunk is from the request to the first token.
	FirstChunk Histogram
	// Lag is, for every token, from the moment at which the server wrote it to
	// that at which the caller had it, by the clock of the machine that both run on.
	Lag Histogram
	// Chunks is how many tokens came.
	Chunks uint64
}

// Merge adds another run of the same load.
func (r *StreamResult) Merge(o *StreamResult) {
	r.Result.Merge(&o.Result)
	r.FirstChunk.Merge(&o.FirstChunk)
	r.Lag.Merge(&o.Lag)
	r.Chunks += o.Chunks
}

// Streams runs streams and checks every token of each.
func Streams(ctx context.Context, o StreamOptions) (*StreamResult, error) {
	switch {
	case o.Concurrency < 1:
		return nil, fmt.Errorf("load: Concurrency: %d is below 1", o.Concurrency)
	case o.Tokens < 1:
		return nil, fmt.Errorf("load: Tokens: %d is below 1", o.Tokens)
	case o.Duration <= 0 && o.Streams == 0:
		return nil, errors.New("load: neither Duration nor Streams is set")
	}
	if o.Timeout <= 0 {
		o.Timeout = time.Minute
	}
	r := &runner{Options: Options{Duration: o.Duration, Requests: o.Streams}, start: clock.Now()}
	r.end = r.start + int64(o.Duration)
	target := o.Target
	target.Header = append(slices.Clip(target.Header),
		standin.StampHeader+": 1",
		standin.GapHeader+": "+strconv.FormatFloat(float64(o.Gap)/float64(time.Millisecond), 'f', -1, 64))
	listeners := make([]listener, o.Concurrency)
	var wg sync.WaitGroup
	for i := range listeners {
		l := &listeners[i]
		l.link = link{target: &target, timeout: o.Timeout}
		l.tokens = o.Tokens
		wg.Go(func() {
			defer l.link.close()
			for n, ok := r.next(ctx); ok; n, ok = r.next(ctx) {
				l.listen(ctx, n)
			}
		})
	}
	wg.Wait()
	total := &StreamResult{}
	for i := range listeners {
		listeners[i].seen.Connections = listeners[i].link.dialled
		total.Merge(&listeners[i].seen)
	}
	total.Elapsed = time.Duration(clock.Now() - r.start)
	return total, nil
}

// listener follows one stream at a time.
type listener struct {
	link    link
	seen    StreamResult
	tokens  int
	request []byte
	events  []byte // read and not yet taken apart
	scratch [16 << 10]byte
}

// listen asks for one stream and follows it to its end.
func (l *listener) listen(ctx context.Context, n uint64) {
	messages := string(appendMessages(nil, n))
	body := `{"model":"` + Model + `","stream":true,"max_tokens":` + strconv.Itoa(l.tokens) + `,"messages":` + messages + `}`
	l.request = l.link.target.appendRequest(l.request[:0], "/v1/chat/completions", []byte(jsonHeader), []byte(body))
	f := &follower{
		seen: &l.seen, begun: clock.Now(), tokens: l.tokens,
		seed: standin.ChatSeed(Model, []byte(messages)),
	}
	err := l.follow(ctx, f)
	switch wrong, ok := errors.AsType[*wrongError](err); {
	case err == nil:
		l.seen.Requests++
		l.seen.Latency.Add(time.Duration(clock.Now() - f.begun))
	case ok:
		l.seen.Requests++
		l.seen.Wrong++
		l.seen.sample(fmt.Sprintf("stream %d: %s", n, wrong.what))
		l.link.close()
	case ctx.Err() == nil:
		l.seen.note(err)
	}
}

// follow reads the answer's events as they come.
func (l *listener) follow(ctx context.Context, f *follower) error {
	if err := l.link.send(ctx, l.request); err != nil {
		return err
	}
	head := &l.link.resp.Header
	head.Reset()
	if err := head.Read(l.link.br); err != nil {
		return l.link.broken(err)
	}
	if status := head.StatusCode(); status != fasthttp.StatusOK || head.ContentLength() != -1 {
		l.link.close()
		return &failure{strconv.Itoa(status), errors.New("not a chunked stream")}
	}
	chunks := httputil.NewChunkedReader(l.link.br)
	l.events = l.events[:0]
	for {
		n, err := chunks.Read(l.scratch[:])
		l.events = append(l.events, l.scratch[:n]...)
		now := clock.Now()
		for {
			event, rest, whole := bytes.Cut(l.events, []byte("\n\n"))
			if !whole {
				break
			}
			if err := f.event(event, now); err != nil {
				return err
			}
			l.events = append(l.events[:0], rest...)
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return l.link.broken(err)
		}
	}
	// The chunked reader leaves the empty line after the last chunk.
	if _, err := l.link.br.Discard(2); err != nil {
		return l.link.broken(err)
	}
	if head.ConnectionClose() {
		l.link.close()
	}
	return f.end(len(l.events))
}
