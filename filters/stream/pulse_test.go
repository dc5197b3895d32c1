package stream_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/filters/filtertest"
	"github.com/fridaymesh/friday/filters/stream"
	"github.com/fridaymesh/friday/proxy"
)

const beat = ": heartbeat\n\n"

func asking() *proxy.Request {
	return filtertest.Request("/v1/chat/completions", `{"model":"m","stream": true}`)
}

// sleep is a server's thinking, which ends with its caller's leaving.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return proxy.AsError(ctx, context.Cause(ctx))
	}
}

// TestHeartbeat: what a caller gets, and when, of a server that thinks.
func TestHeartbeat(t *testing.T) {
	const event = "data: a\n\n"
	for _, test := range []struct {
		name, config string
		think        time.Duration
		status       int
		contentType  string
		chunks       []chunk
		want, err    string
		own          bool // the head is the server's
		after        time.Duration
	}{
		{
			name: "quick", status: 200, contentType: sse, chunks: []chunk{{text: event}, {after: 4 * time.Second, text: event}},
			want: event + event, own: true, after: 4 * time.Second,
		},
		{
			name: "a head, then silence", think: 4 * time.Second, status: 200, contentType: sse,
			chunks: []chunk{{after: 12 * time.Second, text: event}, {after: 6 * time.Second, text: event}},
			want:   beat + beat + event + beat + event, own: true, after: 22 * time.Second,
		},
		{
			name: "no head", think: 12 * time.Second, status: 200, contentType: sse,
			chunks: []chunk{{after: 7 * time.Second, text: event}},
			want:   beat + beat + beat + event, after: 19 * time.Second,
		},
		{
			name: "never within an event", status: 200, contentType: sse,
			chunks: []chunk{{text: "data: a\n"}, {after: 12 * time.Second, text: "\n"}, {after: 6 * time.Second, text: event}},
			want:   "data: a\n\n" + beat + event, own: true, after: 18 * time.Second,
		},
		{
			name: "an early refusal", think: time.Second, status: 429, contentType: "application/json",
			chunks: []chunk{{text: `{"error":{"message":"slow down"}}`}},
			want:   `{"error":{"message":"slow down"}}`, own: true, after: time.Second,
		},
		{
			name: "a late refusal", think: 6 * time.Second, status: 429, contentType: "application/json",
			chunks: []chunk{{text: `{"error":{"message":"slow down"}}`}},
			want:   beat + `data: {"error":{"message":"slow down"}}` + "\n\n", err: "429 UPE: the server answered 429", after: 6 * time.Second,
		},
		{
			name: "a late answer in one piece", think: 6 * time.Second, status: 200, contentType: "application/json",
			chunks: []chunk{{text: `{"choices":[]}`}},
			want:   beat + said("the server answered 200, application/json, after a stream had been begun for it", "status_200"),
			err:    "200 UPE", after: 6 * time.Second,
		},
		{
			name: "cut late", think: 6 * time.Second, status: 200, contentType: sse,
			chunks: []chunk{{text: event}, {err: errors.New("reset")}},
			want:   beat + event + said("the upstream connection ended in the middle of the answer", "upstream_reset"), err: "reset", after: 6 * time.Second,
		},
		{
			name: "and the first chunk's timeout", config: " first_chunk_timeout {seconds: 7}", think: time.Hour,
			want: beat + said("no answer within 7s", "timeout"), err: "504 UT", after: 7 * time.Second,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				house := filtertest.NewHouse(t, 1)
				body := newSource(test.chunks...)
				h := proxy.Chain(proxy.HandlerFunc(func(ctx context.Context, req *proxy.Request) (*proxy.Response, error) {
					req.Trace.Attempts++
					if err := sleep(ctx, test.think); err != nil {
						return nil, err
					}
					r := filtertest.Answer(test.status, test.contentType, "")
					r.Header.Set("X-Own", "1")
					r.Body = body
					return r, nil
				}), house.Build(t, stream.Factory{}, "heartbeat {seconds: 5}"+test.config))
				req := asking()
				resp, err := h.Handle(t.Context(), req)
				require.NoError(t, err)
				require.Equal(t, test.own, len(resp.Header.Peek("X-Own")) > 0)
				if !test.own {
					require.Equal(t, 200, resp.Header.StatusCode())
					require.Equal(t, "text/event-stream", string(resp.Header.ContentType()))
					require.Equal(t, 5*time.Second, time.Since(start))
				}
				got, err := io.ReadAll(small{resp.Body})
				require.Equal(t, test.want, string(got))
				if test.err == "" {
					require.NoError(t, err)
				} else {
					require.ErrorContains(t, err, test.err)
				}
				require.Equal(t, test.after, time.Since(start))
				require.NoError(t, resp.Close())
				require.Equal(t, 1, req.Trace.Attempts)
				require.Equal(t, "m", req.Trace.Model)
				require.Zero(t, house.Count(t, "friday_streams_cancelled_total"))
			})
		})
	}
}

// TestNoHeartbeat for those who did not ask for events.
func TestNoHeartbeat(t *testing.T) {
	for name, req := range map[string]*proxy.Request{
		"no stream":     filtertest.Request("/v1/chat/completions", `{"model":"m"}`),
		"stream: false": filtertest.Request("/v1/chat/completions", `{"stream":false}`),
		"no API":        filtertest.Request("/v1/other", `{"stream":true}`),
		"NDJSON":        filtertest.Request("/api/chat", `{"stream":true}`),
		"no JSON":       filtertest.Request("/v1/chat/completions", `stream`),
		"long":          filtertest.Request("/v1/chat/completions", `{"stream":true,"messages":["`+strings.Repeat("x", 1<<20)+`"]}`),
	} {
		synctest.Test(t, func(t *testing.T) {
			start := time.Now()
			_, h := serve(t, "heartbeat {seconds: 5}", time.Minute, sse, newSource(chunk{text: "data: a\n\n"}))
			resp, err := h.Handle(t.Context(), req)
			require.NoError(t, err)
			require.Equal(t, time.Minute, time.Since(start), name)
			require.Equal(t, "data: a\n\n", filtertest.ReadBody(t, resp), name)
		})
	}
}

// TestLeavingWhileItThinks ends the server's work, whoever waits for what.
func TestLeavingWhileItThinks(t *testing.T) {
	for _, after := range []time.Duration{time.Second, 8 * time.Second, 22 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			ended := make(chan time.Duration, 1)
			start := time.Now()
			body := newSource(chunk{after: time.Hour, text: "data: a\n\n"})
			next := proxy.HandlerFunc(func(ctx context.Context, _ *proxy.Request) (*proxy.Response, error) {
				context.AfterFunc(ctx, func() { ended <- time.Since(start) })
				if err := sleep(ctx, 20*time.Second); err != nil {
					return nil, err
				}
				r := filtertest.Answer(200, sse, "")
				r.Body = body
				return r, nil
			})
			h := proxy.Chain(next, filtertest.NewHouse(t, 1).Build(t, stream.Factory{}, "heartbeat {seconds: 5}"))
			ctx, cancel := context.WithCancelCause(t.Context())
			time.AfterFunc(after, func() { cancel(proxy.ErrCallerGone) })
			resp, err := h.Handle(ctx, asking())
			if after < 5*time.Second {
				require.ErrorIs(t, err, proxy.ErrCallerGone)
			} else {
				require.NoError(t, err)
				var wait context.CancelFunc
				ctx, wait = context.WithCancel(ctx)
				go func() { _, _ = io.Copy(io.Discard, resp.Body); wait() }()
				time.Sleep(after)
				require.NoError(t, resp.Body.Close()) // with a Read in flight, or not
				<-ctx.Done()
				require.NoError(t, resp.Close())
			}
			require.Equal(t, after, <-ended)
		})
	}
}

// TestPanicWhileItThinks is an error of this request alone.
func TestPanicWhileItThinks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, think := range []time.Duration{0, 6 * time.Second} {
			h := proxy.Chain(proxy.HandlerFunc(func(context.Context, *proxy.Request) (*proxy.Response, error) {
				time.Sleep(think)
				panic("oops")
			}), filtertest.NewHouse(t, 1).Build(t, stream.Factory{}, "heartbeat {seconds: 5}"))
			resp, err := h.Handle(t.Context(), asking())
			if think == 0 {
				require.ErrorContains(t, err, "panic: oops")
				continue
			}
			require.NoError(t, err)
			got, err := io.ReadAll(resp.Body)
			require.ErrorContains(t, err, "panic: oops")
			require.Contains(t, string(got), `"message":"internal error"`)
			require.NoError(t, resp.Close())
		}
	})
}
