package cache_test

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp"
	"go.uber.org/goleak"

	"github.com/fridaymesh/friday/filters/cache"
	"github.com/fridaymesh/friday/filters/filtertest"
	"github.com/fridaymesh/friday/proxy"
)

func TestMain(m *testing.M) {
	// A client that found no cluster looks again, once, a second later.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/redis/rueidis.(*call).DelayDo.func1"))
}

const (
	embedPath   = "/v1/embeddings"
	predictPath = "/v1/models/m:predict"
	inferPath   = "/v2/models/m/infer"
	chatPath    = "/v1/chat/completions"
)

// door is a cache in front of a server.
type door struct {
	proxy.Handler

	house  *filtertest.House
	server *filtertest.Server
}

func newDoor(tb testing.TB, text string, server *filtertest.Server) *door {
	tb.Helper()
	d := &door{house: filtertest.NewHouse(tb, 1), server: server}
	d.Handler = proxy.Chain(server, d.house.Build(tb, cache.Factory{}, text))
	return d
}

// over is a door before any handler.
func over(tb testing.TB, text string, next proxy.HandlerFunc) *door {
	tb.Helper()
	d := &door{house: filtertest.NewHouse(tb, 1)}
	d.Handler = proxy.Chain(next, d.house.Build(tb, cache.Factory{}, text))
	return d
}

type result struct {
	status int
	header map[string]string // names in lower case
	body   string
	err    error
}

// call has a request answered, and spoils its memory after.
func call(ctx context.Context, h proxy.Handler, req *proxy.Request) result {
	resp, err := h.Handle(ctx, req)
	if err != nil {
		filtertest.Spoil(req)
		return result{err: err}
	}
	r := result{status: resp.Header.StatusCode(), header: map[string]string{}}
	for k, v := range resp.Header.All() {
		r.header[strings.ToLower(string(k))] = string(v)
	}
	b, err := io.ReadAll(resp.Body)
	r.body, r.err = string(b), err
	_ = resp.Close()
	filtertest.Spoil(req)
	return r
}

func (d *door) ask(t testing.TB, path, body string, headers ...string) result {
	t.Helper()
	r := call(t.Context(), d, filtertest.Request(path, body, append([]string{"x-friday-debug", "1"}, headers...)...))
	require.NoError(t, r.err)
	return r
}

func (d *door) lookups(t testing.TB, what string) int {
	t.Helper()
	return d.house.Count(t, "friday_cache_lookups_total", "result", what)
}

// all asks for the same at the same time.
func all(ctx context.Context, h proxy.Handler, n int, req func() *proxy.Request) []result {
	results := make([]result, n)
	var wg sync.WaitGroup
	for i := range results {
		r := req()
		wg.Go(func() { results[i] = call(ctx, h, r) })
	}
	wg.Wait()
	return results
}

// texts is a request for the embeddings of some texts.
func texts(names ...string) string {
	return fmt.Sprintf(`{"model":"e","input":["%s"]}`, strings.Join(names, `","`))
}

func answer(status int, body string, headers ...string) *proxy.Response {
	r := filtertest.Answer(status, "application/json", body)
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	return r
}

// stream is an answer of events that come one by one, when they are let.
type stream struct {
	events []string
	next   chan struct{}   // nil: at once
	end    error           // nil: io.EOF
	ctx    context.Context //nolint:containedctx // the call's, which Read has to heed
	at     int
	left   string
}

func (s *stream) Read(p []byte) (int, error) {
	if s.left == "" {
		if s.at == len(s.events) {
			if s.end != nil {
				return 0, s.end
			}
			return 0, io.EOF
		}
		if s.next != nil {
			select {
			case <-s.next:
			case <-s.ctx.Done():
				return 0, context.Cause(s.ctx)
			}
		}
		s.left = s.events[s.at]
		s.at++
	}
	n := copy(p, s.left)
	s.left = s.left[n:]
	return n, nil
}

func (s *stream) Close() error                      { return nil }
func (s *stream) Len() int64                        { return -1 }
func (s *stream) Trailer() *fasthttp.ResponseHeader { return nil }

func events(s *stream, headers ...string) *proxy.Response {
	r := answer(200, "", headers...)
	r.Header.SetContentType("text/event-stream")
	r.Body = s
	return r
}
