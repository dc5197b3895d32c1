package stream_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/fridaymesh/friday/filters/filtertest"
	"github.com/fridaymesh/friday/filters/stream"
	"github.com/fridaymesh/friday/proxy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestParse(t *testing.T) {
	for _, test := range []struct{ config, want string }{
		{"first_chunk_timeout {seconds: -1}", "first_chunk_timeout: -1s: must not be negative"},
		{"idle_chunk_timeout {nanos: -1}", "idle_chunk_timeout: -1ns: must not be negative"},
		{"idle_chunk_timeout {seconds: 1 nanos: -1}", "idle_chunk_timeout: 1s -1ns: "},
		{"heartbeat {nanos: 1000}", "heartbeat: 1µs: must be at least 100ms"},
		{"heartbeat {seconds: -1}", "heartbeat: -1s: must not be negative"},
		{"max_buffer_bytes: 4000000000", "max_buffer_bytes: 4000000000: must be at most 1073741824"},
	} {
		_, err := stream.Factory{}.Parse(filtertest.Any(t, stream.Factory{}, test.config))
		require.ErrorContains(t, err, test.want)
	}
	_, err := stream.Factory{}.Parse(&anypb.Any{TypeUrl: stream.TypeURL, Value: []byte{0x98, 0x06, 0x01}})
	require.ErrorContains(t, err, "unknown fields")
	_, err = stream.Factory{}.Parse(&anypb.Any{TypeUrl: stream.TypeURL, Value: []byte{0xff}})
	require.ErrorContains(t, err, "friday.filters.http.stream.v1.Stream")
	_, err = stream.Factory{}.Parse(&anypb.Any{TypeUrl: "type.googleapis.com/a.B"})
	require.ErrorContains(t, err, `type_url: "type.googleapis.com/a.B"`)

	config, err := stream.Factory{}.Parse(nil)
	require.NoError(t, err)
	require.Equal(t, &stream.Config{MaxBufferBytes: 64 << 10}, config)
	config, err = stream.Factory{}.Parse(filtertest.Any(t, stream.Factory{},
		"first_chunk_timeout {seconds: 5} idle_chunk_timeout {seconds: 2} heartbeat {seconds: 9} max_buffer_bytes: 100"))
	require.NoError(t, err)
	require.Equal(t, &stream.Config{FirstChunkTimeout: 5 * time.Second, IdleChunkTimeout: 2 * time.Second, Heartbeat: 9 * time.Second, MaxBufferBytes: 100}, config)
}

// chunk is a piece of a stream, after a pause.
type chunk struct {
	after time.Duration
	text  string
	err   error
}

// source is a body that arrives in chunks.
type source struct {
	chunks []chunk
	length int64

	once   sync.Once
	closed chan struct{}
}

func newSource(chunks ...chunk) *source {
	return &source{chunks: chunks, length: -1, closed: make(chan struct{})}
}

func (s *source) Read(p []byte) (int, error) {
	if len(s.chunks) == 0 {
		return 0, io.EOF
	}
	c := &s.chunks[0]
	if c.after > 0 {
		timer := time.NewTimer(c.after)
		defer timer.Stop()
		select {
		case <-timer.C:
			c.after = 0
		case <-s.closed:
			return 0, errors.New("body closed")
		}
	}
	if c.err != nil {
		return 0, c.err
	}
	n := copy(p, c.text)
	if c.text = c.text[n:]; c.text == "" {
		s.chunks = s.chunks[1:]
	}
	return n, nil
}

func (s *source) Close() error {
	s.once.Do(func() { close(s.closed) })
	return nil
}
func (s *source) Len() int64                        { return s.length }
func (s *source) Trailer() *fasthttp.ResponseHeader { return nil }
func (s *source) Ready() int                        { return 7 }

const (
	sse    = "text/event-stream; charset=utf-8"
	ndjson = "application/x-ndjson"
)

// serve is a filter before a server that thinks, and answers with a body.
func serve(t *testing.T, config string, think time.Duration, contentType string, body proxy.Body) (*filtertest.House, proxy.Handler) {
	t.Helper()
	house := filtertest.NewHouse(t, 1)
	next := proxy.HandlerFunc(func(ctx context.Context, _ *proxy.Request) (*proxy.Response, error) {
		timer := time.NewTimer(think)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return nil, proxy.AsError(ctx, context.Cause(ctx))
		}
		r := proxy.NewResponse()
		r.Header.SetStatusCode(200)
		r.Header.SetContentType(contentType)
		r.Body = body
		return r, nil
	})
	return house, proxy.Chain(next, house.Build(t, stream.Factory{}, config))
}

func request() *proxy.Request {
	req := filtertest.Request("/v1/chat/completions", `{}`)
	req.Trace.Model = "m"
	return req
}

// TestLeavesOthersAlone: what is no stream keeps its very body.
func TestLeavesOthersAlone(t *testing.T) {
	for _, config := range []string{"", "idle_chunk_timeout {seconds: 1}", "heartbeat {seconds: 1}"} {
		known := newSource(chunk{text: "x"})
		known.length = 1
		for _, body := range []proxy.Body{proxy.NewBytesBody([]byte("{}")), proxy.NoBody, known} {
			house, h := serve(t, config, 0, "application/json", body)
			resp, err := h.Handle(t.Context(), filtertest.Request("/v1/models/m:predict", `{"stream":true}`))
			require.NoError(t, err)
			require.Equal(t, body, resp.Body)
			require.NoError(t, resp.Close())
			require.Zero(t, house.Count(t, "friday_stream_first_chunk_seconds"))
		}
	}
}

func TestMeasures(t *testing.T) {
	for _, test := range []struct {
		contentType string
		length      int64
	}{{sse, -1}, {"Text/Event-Stream", 100}, {ndjson, 100}, {"application/stream+json", 5}, {"application/json", -1}} {
		t.Run(test.contentType, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				body := newSource(chunk{after: time.Second, text: "data: a\n\n"}, chunk{after: 2 * time.Second, text: "data: b\n\n"}, chunk{text: "data: c\n\n"})
				body.length = test.length
				house, h := serve(t, "", time.Second, test.contentType, body)
				resp, err := h.Handle(t.Context(), request())
				require.NoError(t, err)
				require.Equal(t, test.length, resp.Body.Len())
				ready, ok := resp.Body.(interface{ Ready() int })
				require.True(t, ok)
				require.Equal(t, 7, ready.Ready())
				require.Equal(t, "data: a\n\ndata: b\n\ndata: c\n\n", filtertest.ReadBody(t, resp))
				require.Equal(t, 1, house.Count(t, "friday_stream_first_chunk_seconds", "model", "m", "cluster", filtertest.Cluster))
				require.Equal(t, 2, house.Count(t, "friday_stream_chunk_gap_seconds", "model", "m"))
				require.Zero(t, house.Count(t, "friday_streams_cancelled_total"))
				first, gap := sums(t, house)
				require.InDelta(t, 2, first, 1e-9)
				require.InDelta(t, 2, gap, 1e-9)
			})
		})
	}
}

// sums are the sums of the two histograms.
func sums(t *testing.T, house *filtertest.House) (first, gap float64) {
	t.Helper()
	families, err := house.Registry.Gather()
	require.NoError(t, err)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			switch f.GetName() {
			case "friday_stream_first_chunk_seconds":
				first += m.GetHistogram().GetSampleSum()
			case "friday_stream_chunk_gap_seconds":
				gap += m.GetHistogram().GetSampleSum()
			}
		}
	}
	return first, gap
}

func TestCancelledIsCounted(t *testing.T) {
	for _, test := range []struct {
		name string
		end  func(context.CancelCauseFunc, *proxy.Response)
		want int
	}{
		{"closed before the end", func(_ context.CancelCauseFunc, r *proxy.Response) {
			require.NoError(t, r.Body.Close())
			require.NoError(t, r.Body.Close())
		}, 1},
		{"cancelled, so that the server was cut", func(cancel context.CancelCauseFunc, r *proxy.Response) {
			cancel(proxy.ErrCallerGone)
			_, err := io.ReadAll(r.Body)
			require.ErrorContains(t, err, "reset")
			require.NoError(t, r.Body.Close())
		}, 1},
		{"cut by the server", func(_ context.CancelCauseFunc, r *proxy.Response) {
			_, err := io.ReadAll(r.Body)
			require.ErrorContains(t, err, "reset")
			_, again := r.Body.Read(make([]byte, 1))
			require.Equal(t, err, again)
			require.NoError(t, r.Body.Close())
		}, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			house, h := serve(t, "", 0, sse, newSource(chunk{text: "a"}, chunk{err: errors.New("reset")}))
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			resp, err := h.Handle(ctx, request())
			require.NoError(t, err)
			_, err = resp.Body.Read(make([]byte, 10))
			require.NoError(t, err)
			test.end(cancel, resp)
			require.Equal(t, test.want, house.Count(t, "friday_streams_cancelled_total"))
		})
	}
}

// said is the event that tells of an error in OpenAI's words.
func said(message, code string) string {
	return `data: {"error":{"message":"` + message + `","type":"server_error","param":null,"code":"` + code + `"}}` + "\n\n"
}

func TestTimeouts(t *testing.T) {
	const both = "first_chunk_timeout {seconds: 3} idle_chunk_timeout {seconds: 5}"
	idle, first := said("upstream idle for 5s", "timeout"), said("no answer within 3s", "timeout")
	for _, test := range []struct {
		name, config, contentType string
		think                     time.Duration
		chunks                    []chunk
		want                      string
		err                       string
		after                     time.Duration
	}{
		{
			name: "in time", config: both, contentType: sse, think: time.Second,
			chunks: []chunk{{after: time.Second, text: "data: a\n\n"}, {after: 4 * time.Second, text: "data: b\n\n"}},
			want:   "data: a\n\ndata: b\n\n", after: 6 * time.Second,
		},
		{
			name: "idle", config: both, contentType: sse,
			chunks: []chunk{{text: "data: a\n\n"}, {after: 4 * time.Second, text: "data: b\n\n"}, {after: time.Hour}},
			want:   "data: a\n\ndata: b\n\n" + idle, err: "504 UT: upstream idle for 5s", after: 9 * time.Second,
		},
		{
			name: "comments are no sign of life", config: both, contentType: sse,
			chunks: []chunk{
				{text: "data: a\n\n"},
				{after: 2 * time.Second, text: ": still here\n\n"},
				{after: 2 * time.Second, text: "data: {\"choices\":[{\"delta\":{}}]}\n\n"},
				{after: 2 * time.Second, text: ": still here\n\n"},
			},
			want: "data: a\n\n: still here\n\ndata: {\"choices\":[{\"delta\":{}}]}\n\n" + idle,
			err:  "504 UT: upstream idle for 5s", after: 5 * time.Second,
		},
		{
			name: "nor is a role a first chunk", config: both, contentType: sse, think: time.Second,
			chunks: []chunk{
				{text: ": thinking\n\n"},
				{after: time.Second, text: "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n"},
				{after: 2 * time.Second, text: "data: too late\n\n"},
			},
			want: ": thinking\n\ndata: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n" + first,
			err:  "504 UT: no answer within 3s", after: 3 * time.Second,
		},
		{
			name: "idle within an event", config: "idle_chunk_timeout {seconds: 5}", contentType: sse,
			chunks: []chunk{{text: "data: a\nda"}, {after: time.Hour}},
			want:   "data: a\nda", err: "504 UT: upstream idle for 5s", after: 5 * time.Second,
		},
		{
			name: "idle behind the last event", config: "idle_chunk_timeout {seconds: 5}", contentType: sse,
			chunks: []chunk{{text: "data: a\n\ndata: [DONE]\n\n"}, {after: time.Hour}},
			want:   "data: a\n\ndata: [DONE]\n\n", err: "504 UT: upstream idle for 5s", after: 5 * time.Second,
		},
		{
			name: "idle, no words for it", config: both, contentType: ndjson,
			chunks: []chunk{{text: "{}\n"}, {after: time.Hour}},
			want:   "{}\n", err: "504 UT: upstream idle for 5s", after: 5 * time.Second,
		},
		{
			name: "a head, but no first chunk", config: both, contentType: sse, think: 2 * time.Second,
			chunks: []chunk{{after: time.Hour}},
			want:   first, err: "504 UT: no answer within 3s", after: 3 * time.Second,
		},
		{
			name: "a head, but no first chunk, no events", config: both, contentType: "application/json", think: 2 * time.Second,
			chunks: []chunk{{after: time.Hour}},
			err:    "504 UT: no answer within 3s", after: 3 * time.Second,
		},
		{
			name: "a first chunk may take its time", config: "idle_chunk_timeout {seconds: 5}", contentType: sse,
			chunks: []chunk{{after: time.Hour, text: "data: a\n"}},
			want:   "data: a\n", after: time.Hour,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				body := newSource(test.chunks...)
				house, h := serve(t, test.config, test.think, test.contentType, body)
				resp, err := h.Handle(t.Context(), request())
				require.NoError(t, err)
				got, err := io.ReadAll(small{resp.Body})
				if test.err != "" {
					require.ErrorContains(t, err, test.err)
				} else {
					require.NoError(t, err)
				}
				require.Equal(t, test.want, string(got))
				require.Equal(t, test.after, time.Since(start))
				if test.err != "" {
					<-body.closed // the server's work is cancelled
				}
				require.NoError(t, resp.Close())
				require.Zero(t, house.Count(t, "friday_streams_cancelled_total"))
			})
		})
	}
}

// small reads eleven bytes at a time.
type small struct{ io.Reader }

func (s small) Read(p []byte) (int, error) { return s.Reader.Read(p[:min(len(p), 11)]) }

// TestNoHead within the time of the first chunk.
func TestNoHead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		_, h := serve(t, "first_chunk_timeout {seconds: 3}", time.Hour, sse, newSource())
		_, err := h.Handle(t.Context(), request())
		var pe *proxy.Error
		require.ErrorAs(t, err, &pe)
		require.Equal(t, 504, pe.Status)
		require.Equal(t, proxy.FlagTimeout, pe.Flag)
		require.Equal(t, "no answer within 3s", pe.Message)
		require.Equal(t, 3*time.Second, time.Since(start))
	})
}

// TestOtherErrorsPass, and a caller that leaves is no timeout.
func TestOtherErrorsPass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, h := serve(t, "first_chunk_timeout {seconds: 3}", time.Hour, sse, newSource())
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, proxy.ErrCallerGone)
		defer cancel()
		_, err := h.Handle(ctx, request())
		require.ErrorIs(t, err, proxy.ErrCallerGone)

		house := filtertest.NewHouse(t, 1)
		refused := &proxy.Error{Status: 503, Flag: proxy.FlagUpstreamConnection}
		for _, config := range []string{"", "first_chunk_timeout {seconds: 3}"} {
			h = proxy.Chain(proxy.HandlerFunc(func(context.Context, *proxy.Request) (*proxy.Response, error) {
				return nil, refused
			}), house.Build(t, stream.Factory{}, config))
			_, err = h.Handle(t.Context(), request())
			require.Equal(t, refused, err)
		}
	})
}

// TestSlowCaller is no fault of the server's.
func TestSlowCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, h := serve(t, "first_chunk_timeout {seconds: 1} idle_chunk_timeout {seconds: 1}", 0, sse,
			newSource(chunk{text: "data: a\n\n"}, chunk{text: "data: b\n\n"}))
		resp, err := h.Handle(t.Context(), request())
		require.NoError(t, err)
		buf := make([]byte, 20)
		_, err = resp.Body.Read(buf)
		require.NoError(t, err)
		time.Sleep(time.Hour)
		_, err = resp.Body.Read(buf)
		require.NoError(t, err)
		_, err = resp.Body.Read(buf)
		require.Equal(t, io.EOF, err)
		require.NoError(t, resp.Close())
	})
}

// TestContextEndsWithTheBody, whatever the answer is.
func TestContextEndsWithTheBody(t *testing.T) {
	for _, contentType := range []string{sse, "application/json"} {
		body := newSource(chunk{text: "a"})
		body.length = 1
		var inner context.Context
		house := filtertest.NewHouse(t, 1)
		h := proxy.Chain(proxy.HandlerFunc(func(ctx context.Context, _ *proxy.Request) (*proxy.Response, error) {
			inner = ctx //nolint:fatcontext // looked at, not used
			r := filtertest.Answer(200, contentType, "")
			r.Body = body
			return r, nil
		}), house.Build(t, stream.Factory{}, "first_chunk_timeout {seconds: 3}"))
		resp, err := h.Handle(t.Context(), request())
		require.NoError(t, err)
		require.NoError(t, inner.Err(), "the body may need it")
		require.Equal(t, "a", filtertest.ReadBody(t, resp))
		require.Error(t, inner.Err())
	}
}

// TestCloseDuringRead returns at once, and makes the Read return.
func TestCloseDuringRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		house, h := serve(t, "idle_chunk_timeout {seconds: 5}", 0, sse, newSource(chunk{text: "a"}, chunk{after: time.Second, text: "b"}))
		resp, err := h.Handle(t.Context(), request())
		require.NoError(t, err)
		_, err = resp.Body.Read(make([]byte, 10))
		require.NoError(t, err)
		var wg sync.WaitGroup
		wg.Go(func() {
			_, err := resp.Body.Read(make([]byte, 10))
			require.ErrorContains(t, err, "closed")
		})
		synctest.Wait()
		require.NoError(t, resp.Body.Close())
		wg.Wait()
		require.Equal(t, 1, house.Count(t, "friday_streams_cancelled_total"))
	})
}

func TestReadIsBounded(t *testing.T) {
	_, h := serve(t, "max_buffer_bytes: 3", 0, sse, newSource(chunk{text: "abcdefgh"}))
	resp, err := h.Handle(t.Context(), request())
	require.NoError(t, err)
	n, err := resp.Body.Read(make([]byte, 100))
	require.NoError(t, err)
	require.Equal(t, 3, n)
	require.Equal(t, "defgh", filtertest.ReadBody(t, resp))
}

func TestModelsAreBounded(t *testing.T) {
	house := filtertest.NewHouse(t, 1)
	h := proxy.Chain(proxy.HandlerFunc(func(context.Context, *proxy.Request) (*proxy.Response, error) {
		return filtertest.Answer(200, sse, "data: a\n\n"), nil
	}), house.Build(t, stream.Factory{}, ""))
	for i := range 300 {
		req := request()
		req.Trace.Model = fmt.Sprint("m", i)
		switch i {
		case 1:
			req.Trace.Model = "\xff"
		case 2:
			req.Trace.Model = strings.Repeat("x", 1000)
		case 3:
			req.Trace.Model = ""
		}
		resp, err := h.Handle(t.Context(), req)
		require.NoError(t, err)
		filtertest.ReadBody(t, resp)
	}
	require.Equal(t, 300, house.Count(t, "friday_stream_first_chunk_seconds"))
	require.Equal(t, 1, house.Count(t, "friday_stream_first_chunk_seconds", "model", ""))
	require.Equal(t, 200, house.Count(t, "friday_stream_first_chunk_seconds", "model", "other"))
}

func BenchmarkChunk(b *testing.B) {
	for _, config := range []string{"", "first_chunk_timeout {seconds: 5} idle_chunk_timeout {seconds: 5}"} {
		b.Run(config, func(b *testing.B) {
			h := proxy.Chain(proxy.HandlerFunc(func(context.Context, *proxy.Request) (*proxy.Response, error) {
				r := filtertest.Answer(200, sse, "")
				r.Body = endless{}
				return r, nil
			}), filtertest.NewHouse(b, 1).Build(b, stream.Factory{}, config))
			resp, err := h.Handle(b.Context(), request())
			if err != nil {
				b.Fatal(err)
			}
			buf := make([]byte, 4096)
			b.ReportAllocs()
			for b.Loop() {
				_, _ = resp.Body.Read(buf)
			}
			_ = resp.Close()
		})
	}
}

// endless always has a chunk.
type endless struct{ proxy.Body }

func (endless) Read(p []byte) (int, error) { return min(len(p), 100), nil }
func (endless) Close() error               { return nil }
func (endless) Len() int64                 { return -1 }
