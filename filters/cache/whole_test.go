package cache_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/filters/filtertest"
	"github.com/fridaymesh/friday/proxy"
)

const (
	cold       = `{"model":"m","temperature":0,"messages":[{"role":"user","content":"hi"}]}`
	coldStream = `{"model":"m","temperature":0,"stream":true,"messages":[{"role":"user","content":"hi"}]}`
)

func tokens(names ...string) []string {
	out := make([]string, 0, len(names)+1)
	for _, name := range names {
		out = append(out, `data: {"choices":[{"index":0,"delta":{"content":"`+name+`"}}]}`+"\n\n")
	}
	return append(out, "data: [DONE]\n\n")
}

func TestAStreamIsGivenAgain(t *testing.T) {
	var calls atomic.Int32
	d := over(t, "", func(context.Context, *proxy.Request) (*proxy.Response, error) {
		calls.Add(1)
		// What servers write so that nobody holds events back.
		return events(&stream{events: tokens("a", "b")}, "Cache-Control", "no-cache"), nil
	})
	first := d.ask(t, chatPath, coldStream)
	require.Equal(t, strings.Join(tokens("a", "b"), ""), first.body)
	require.Equal(t, "miss", first.header["x-friday-cache"])
	second := d.ask(t, chatPath, coldStream)
	require.Equal(t, first.body, second.body)
	require.Equal(t, "hit", second.header["x-friday-cache"])
	require.Equal(t, "text/event-stream", second.header["content-type"])
	require.EqualValues(t, 1, calls.Load())
}

// A stream that is no whole and good one is not kept.
func TestStreamsThatAreNotKept(t *testing.T) {
	for name, s := range map[string]stream{
		"cut":               {events: tokens("a"), end: errors.New("reset")},
		"ended early":       {events: tokens("a")[:1]},
		"cut in an event":   {events: []string{"data: [DONE]"}},
		"an error in it":    {events: append([]string{"data: {\"error\":{\"message\":\"x\"}}\n\n"}, tokens()...)},
		"an error event":    {events: append([]string{"event: error\ndata: {}\n\n"}, tokens()...)},
		"garbage in it":     {events: append([]string{"data: {\n\n"}, tokens()...)},
		"nothing":           {},
		"after the end":     {events: append(tokens("a"), "data: {}\n\n")},
		"cut after the end": {events: tokens("a"), end: io.ErrUnexpectedEOF},
	} {
		t.Run(name, func(t *testing.T) {
			d := over(t, "", func(context.Context, *proxy.Request) (*proxy.Response, error) {
				own := s
				return events(&own), nil
			})
			for range 2 {
				r := call(t.Context(), d, filtertest.Request(chatPath, coldStream, "x-friday-debug", "1"))
				require.Equal(t, "miss", r.header["x-friday-cache"])
				require.Equal(t, strings.Join(s.events, ""), r.body)
				require.ErrorIs(t, r.err, s.end)
			}
		})
	}
}

func TestAnswersThatAreNotKept(t *testing.T) {
	for _, body := range []string{`{"error":{"message":"x"}}`, `{"choices":[`, ``, `[]`, `"x"`} {
		d := over(t, "", func(context.Context, *proxy.Request) (*proxy.Response, error) { return answer(200, body), nil })
		for range 2 {
			require.Equal(t, "miss", d.ask(t, chatPath, cold).header["x-friday-cache"], body)
		}
	}
}

// A thousand callers, some of whom come while it runs, get the same bytes; who led
// leaves in the middle.
func TestAStreamForMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int32
		next := make(chan struct{})
		d := over(t, "", func(ctx context.Context, _ *proxy.Request) (*proxy.Response, error) {
			calls.Add(1)
			return events(&stream{events: tokens("a", "b", "c"), next: next, ctx: ctx}), nil
		})
		ctx, leave := context.WithCancelCause(t.Context())
		led := make(chan result, 1)
		go func() { led <- call(ctx, d, filtertest.Request(chatPath, coldStream)) }()
		synctest.Wait()
		many := make(chan []result, 2)
		join := func() {
			go func() {
				many <- all(t.Context(), d, 500, func() *proxy.Request { return filtertest.Request(chatPath, coldStream) })
			}()
			synctest.Wait()
		}
		join()
		next <- struct{}{}
		synctest.Wait()
		next <- struct{}{}
		leave(proxy.ErrCallerGone)
		r := <-led
		require.ErrorIs(t, r.err, proxy.ErrCallerGone)
		join()
		close(next)
		for range 2 {
			for _, r := range <-many {
				require.NoError(t, r.err)
				require.Equal(t, strings.Join(tokens("a", "b", "c"), ""), r.body)
			}
		}
		require.EqualValues(t, 1, calls.Load())
		require.Equal(t, "hit", d.ask(t, chatPath, coldStream).header["x-friday-cache"])
	})
}

func TestAStreamThatAllLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		next, ended := make(chan struct{}), make(chan error, 1)
		d := over(t, "", func(ctx context.Context, _ *proxy.Request) (*proxy.Response, error) {
			context.AfterFunc(ctx, func() { ended <- context.Cause(ctx) })
			return events(&stream{events: tokens("a", "b", "c"), next: next, ctx: ctx}), nil
		})
		ctx, leave := context.WithCancelCause(t.Context())
		gone := make(chan []result, 1)
		go func() {
			gone <- all(ctx, d, 10, func() *proxy.Request { return filtertest.Request(chatPath, coldStream) })
		}()
		synctest.Wait()
		next <- struct{}{}
		synctest.Wait()
		leave(proxy.ErrCallerGone)
		<-gone
		require.ErrorIs(t, <-ended, proxy.ErrCallerGone)
	})
}

// A cut stream is cut for all.
func TestACutStreamForMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reset := errors.New("reset")
		d := over(t, "", func(ctx context.Context, _ *proxy.Request) (*proxy.Response, error) {
			time.Sleep(time.Second)
			return events(&stream{events: tokens("a")[:1], end: reset, ctx: ctx}), nil
		})
		for _, r := range all(t.Context(), d, 10, func() *proxy.Request { return filtertest.Request(chatPath, coldStream) }) {
			require.ErrorIs(t, r.err, reset)
			require.Equal(t, tokens("a")[0], r.body)
		}
	})
}

func TestEqualChatsAreOne(t *testing.T) {
	for _, status := range []int{200, 500, 429} {
		synctest.Test(t, func(t *testing.T) {
			var calls atomic.Int32
			d := over(t, "", func(context.Context, *proxy.Request) (*proxy.Response, error) {
				time.Sleep(time.Second)
				return answer(status, fmt.Sprintf(`{"choices":[%d]}`, calls.Add(1))), nil
			})
			for _, r := range all(t.Context(), d, 1000, func() *proxy.Request { return filtertest.Request(chatPath, cold) }) {
				require.NoError(t, r.err)
				require.Equal(t, status, r.status)
				require.Equal(t, `{"choices":[1]}`, r.body)
			}
			require.EqualValues(t, 1, calls.Load())
			want := map[int]string{200: "hit"}[status]
			if want == "" {
				want = "miss"
			}
			require.Equal(t, want, d.ask(t, chatPath, cold).header["x-friday-cache"])
		})
	}
}

func TestAPanicWhileAStreamRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := over(t, "", func(context.Context, *proxy.Request) (*proxy.Response, error) {
			r := events(nil)
			r.Body = panics{&stream{}}
			return r, nil
		})
		for range 2 {
			require.Error(t, call(t.Context(), d, filtertest.Request(chatPath, coldStream)).err)
		}
	})
}

type panics struct{ *stream }

func (panics) Read([]byte) (int, error) { panic("a bug") }

// A stream longer than is held waits for the slowest of its readers, and is not kept.
func TestALongStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		piece := "data: {\"x\":\"" + strings.Repeat("x", 1<<20) + "\"}\n\n"
		s := &stream{}
		for range 20 {
			s.events = append(s.events, piece)
		}
		s.events = append(s.events, tokens()...)
		var calls atomic.Int32
		d := over(t, "", func(context.Context, *proxy.Request) (*proxy.Response, error) {
			calls.Add(1)
			own := *s
			return events(&own), nil
		})
		resp, err := d.Handle(t.Context(), filtertest.Request(chatPath, coldStream))
		require.NoError(t, err)
		synctest.Wait()
		second := call(t.Context(), proxy.HandlerFunc(func(ctx context.Context, r *proxy.Request) (*proxy.Response, error) {
			own, err := d.Handle(ctx, r)
			go func() { _, _ = io.Copy(io.Discard, resp.Body) }()
			return own, err
		}), filtertest.Request(chatPath, coldStream))
		require.NoError(t, second.err)
		require.Equal(t, strings.Join(s.events, ""), second.body)
		synctest.Wait()
		require.NoError(t, resp.Close())
		require.EqualValues(t, 1, calls.Load())
		require.Equal(t, "miss", d.ask(t, chatPath, coldStream).header["x-friday-cache"])
	})
}
