package batch_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp"

	"github.com/fridaymesh/friday/filters/filtertest"
	"github.com/fridaymesh/friday/proxy"
)

// poisoned fails every call that holds an item with the word.
func poisoned(status int) func(context.Context, filtertest.Call) (*proxy.Response, error) {
	return func(_ context.Context, c filtertest.Call) (*proxy.Response, error) {
		if strings.Contains(c.Body, "poison") {
			return filtertest.Answer(status, "application/json", `{"error":"bad item"}`), nil
		}
		return nil, nil //nolint:nilnil // as ever
	}
}

func newServer() *filtertest.Server { return filtertest.NewServer(1, 10*time.Millisecond, 0) }

// TestOnlyTheGuiltyFail: one bad item among 32, wherever it stands.
func TestOnlyTheGuiltyFail(t *testing.T) {
	for _, status := range []int{400, 404, 413, 422, 500, 502} {
		for _, at := range []int{0, 5, 31} {
			synctest.Test(t, func(t *testing.T) {
				d := newDoor(t, "", newServer())
				d.server.Before = poisoned(status)
				names := letters(32)
				names[at] = "poison"
				results := d.together(predicts(names...)...)
				for i, r := range results {
					require.NoError(t, r.err)
					if i == at {
						require.Equal(t, status, r.status)
						require.JSONEq(t, `{"error":"bad item"}`, r.body)
						continue
					}
					require.Equal(t, 200, r.status)
					require.Equal(t, echoes(names[i], 1), r.body)
				}
				// 32, then two each of 16, 8, 4 and 2, then the last two alone.
				require.Len(t, d.after(), 1+8+2)
				alone := slices.IndexFunc(d.after(), func(c filtertest.Call) bool {
					return c.Body == instances("poison", 1)
				})
				require.GreaterOrEqual(t, alone, 0, "its own bytes in the end")
				require.Equal(t, 5, d.house.Count(t, "friday_batch_fallback_total", "reason", "status"))
			})
		}
	}
}

// TestAllGuilty: the search is bounded, and everyone gets their own answer.
func TestAllGuilty(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDoor(t, "", newServer())
		d.server.Before = func(_ context.Context, c filtertest.Call) (*proxy.Response, error) {
			if strings.Contains(c.Body, "plug") {
				return nil, nil //nolint:nilnil // as ever
			}
			if len(c.Items) > 1 {
				return filtertest.Answer(500, "text/plain", "many"), nil
			}
			return filtertest.Answer(400, "text/plain", c.Items[0]), nil
		}
		results := d.together(predicts(letters(32)...)...)
		for i, r := range results {
			require.Equal(t, 400, r.status)
			require.Contains(t, r.body, letters(32)[i])
		}
		require.LessOrEqual(t, len(d.after()), 1+8+32)
	})
}

// TestSharedAnswers are not about the items: everyone gets them, nothing is sent
// again.
func TestSharedAnswers(t *testing.T) {
	for _, status := range []int{401, 403, 408, 429, 503, 504} {
		synctest.Test(t, func(t *testing.T) {
			d := newDoor(t, "", newServer())
			d.server.Before = func(_ context.Context, c filtertest.Call) (*proxy.Response, error) {
				if len(c.Items) < 2 {
					return nil, nil //nolint:nilnil // as ever
				}
				r := filtertest.Answer(status, "text/plain", "busy")
				r.Header.Set("Retry-After", "7")
				return r, nil
			}
			for _, r := range d.together(predicts(letters(4)...)...) {
				require.Equal(t, status, r.status)
				require.Equal(t, "busy", r.body)
				require.Equal(t, "7", r.header["retry-after"])
			}
			require.Len(t, d.after(), 1)
		})
	}
}

func TestErrors(t *testing.T) {
	for _, test := range []struct {
		name   string
		err    error
		shared bool
	}{
		{"refused", &proxy.Error{Status: 503, Flag: proxy.FlagUpstreamConnection, Unsent: true}, true},
		{"reset before anything was sent", &proxy.Error{Status: 503, Flag: proxy.FlagUpstreamReset, Unsent: true}, true},
		{"timeout", &proxy.Error{Status: 504, Flag: proxy.FlagTimeout}, true},
		{"overflow", &proxy.Error{Status: 503, Flag: proxy.FlagOverflow}, true},
		{"reset", &proxy.Error{Status: 503, Flag: proxy.FlagUpstreamReset}, false},
		{"no HTTP", &proxy.Error{Status: 502, Flag: proxy.FlagUpstreamProtocol}, false},
		{"any other", errors.New("something"), false},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDoor(t, "", newServer())
				d.server.Before = func(_ context.Context, c filtertest.Call) (*proxy.Response, error) {
					if len(c.Items) > 1 && (test.shared || strings.Contains(c.Body, "poison")) || c.Body == instances("poison", 1) {
						return nil, test.err
					}
					return nil, nil //nolint:nilnil // as ever
				}
				results := d.together(predicts("a", "b", "poison", "c")...)
				seen := map[error]bool{}
				for i, r := range results {
					if test.shared || i == 2 {
						require.ErrorContains(t, r.err, test.err.Error())
						require.False(t, seen[r.err], "one each")
						seen[r.err] = true
						continue
					}
					require.NoError(t, r.err)
					require.Equal(t, 200, r.status)
				}
				if test.shared {
					require.Len(t, d.after(), 1)
				}
			})
		})
	}
}

// TestMismatch: the model is not batched for five minutes, by whatever group.
func TestMismatch(t *testing.T) {
	for _, test := range []struct {
		name, reason string
		answer       func(filtertest.Call) *proxy.Response
	}{
		{"one prediction for all", "mismatch", func(filtertest.Call) *proxy.Response {
			return filtertest.Answer(200, "application/json", `{"predictions":[1]}`)
		}},
		{"no JSON", "mismatch", func(filtertest.Call) *proxy.Response { return filtertest.Answer(200, "text/html", `<html>`) }},
		{"compressed", "encoded", func(c filtertest.Call) *proxy.Response {
			r := filtertest.Answer(200, "application/json", `{"predictions":[`+strings.Join(c.Items, ",")+`]}`)
			r.Header.SetContentEncoding("gzip")
			return r
		}},
		{"no 200", "status", func(filtertest.Call) *proxy.Response { return filtertest.Answer(307, "text/plain", "elsewhere") }},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDoor(t, "", newServer())
				d.server.Before = func(_ context.Context, c filtertest.Call) (*proxy.Response, error) {
					if len(c.Items) > 1 {
						return test.answer(c), nil
					}
					return nil, nil //nolint:nilnil // as ever
				}
				names := letters(4)
				check := func(results []result) {
					t.Helper()
					for i, r := range results {
						require.NoError(t, r.err)
						require.Equal(t, echoes(names[i], 1), r.body)
					}
				}
				check(d.together(predicts(names...)...))
				require.Equal(t, []int{4, 1, 1, 1, 1}, sizes(d.after()))
				require.Equal(t, 1, d.house.Count(t, "friday_batch_fallback_total", "reason", test.reason))

				before := len(d.server.Calls())
				time.Sleep(4 * time.Minute)
				check(d.together(predicts(names...)...))
				for _, c := range d.server.Calls()[before:] {
					require.Len(t, c.Items, 1)
				}
				require.Equal(t, 5, d.house.Count(t, "friday_batch_dispatch_total", "reason", "unbatchable"))

				// Another model is as ever; and so is this one after a while.
				before = len(d.server.Calls())
				time.Sleep(2 * time.Minute)
				check(d.together(predicts(names...)...))
				require.Equal(t, []int{1, 4, 1, 1, 1, 1}, sizes(d.server.Calls()[before:]))
			})
		})
	}
}

// TestDistrustedQueue: what waits while a model turns out not to be fit is not
// batched either.
func TestDistrustedQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDoor(t, "max_batch_size {value: 8}", newServer())
		d.server.Before = func(_ context.Context, c filtertest.Call) (*proxy.Response, error) {
			if len(c.Items) > 1 {
				return filtertest.Answer(200, "application/json", `{"predictions":[1]}`), nil
			}
			return nil, nil //nolint:nilnil // as ever
		}
		names := letters(64)
		for i, r := range d.together(predicts(names...)...) {
			require.NoError(t, r.err)
			require.Equal(t, echoes(names[i], 1), r.body)
		}
		merged := slices.DeleteFunc(sizes(d.after()), func(n int) bool { return n == 1 })
		// A second one may be on its way before the first has been looked at.
		require.LessOrEqual(t, len(merged), 2)
		require.GreaterOrEqual(t, d.house.Count(t, "friday_batch_dispatch_total", "reason", "unbatchable"), 64-2*8)
	})
}

// TestCookiesAreNotShared: whose is it? The model is not batched for a while, so
// that each caller gets its own.
func TestCookiesAreNotShared(t *testing.T) {
	for _, status := range []int{200, 429} {
		synctest.Test(t, func(t *testing.T) {
			d := newDoor(t, "", newServer())
			var sent atomic.Int64
			d.Handler = chain(t, d.house, "", proxy.HandlerFunc(func(ctx context.Context, r *proxy.Request) (*proxy.Response, error) {
				resp, err := d.server.Handle(ctx, r)
				if err != nil {
					return nil, err
				}
				resp.Header.SetStatusCode(status)
				resp.Header.Set("Set-Cookie", fmt.Sprintf("session=%d; Path=/", sent.Add(1)))
				resp.Header.Add("set-cookie", "other=1")
				resp.Header.Set("x-request-id", string(r.Header.Peek("X-Request-Id")))
				resp.Header.Set("X-Correlation-ID", "7")
				resp.Header.Set("X-Model-Version", "3")
				return resp, nil
			}))
			for _, r := range d.together(predicts(letters(3)...)...) {
				require.NoError(t, r.err)
				require.Equal(t, status, r.status)
				require.NotContains(t, r.header, "set-cookie")
				require.NotContains(t, r.header, "x-request-id")
				require.NotContains(t, r.header, "x-correlation-id")
				require.Equal(t, "3", r.header["x-model-version"])
			}
			require.Equal(t, []int{3}, sizes(d.after()))
			require.Equal(t, 1, d.house.Count(t, "friday_batch_fallback_total", "reason", "cookie"))

			for _, r := range d.together(predicts(letters(3)...)...) {
				require.NoError(t, r.err)
				require.Contains(t, r.header, "set-cookie")
				require.Equal(t, "7", r.header["x-correlation-id"])
			}
			require.Equal(t, []int{3, 1, 1, 1, 1}, sizes(d.after()))
		})
	}
}

// cutShort is a body that ends before its end.
type cutShort struct{ *proxy.BytesBody }

func (b cutShort) Read(p []byte) (int, error) {
	n, err := b.BytesBody.Read(p)
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

func TestAnswerCutShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDoor(t, "", newServer())
		d.server.Before = func(_ context.Context, c filtertest.Call) (*proxy.Response, error) {
			if len(c.Items) == 1 {
				return nil, nil //nolint:nilnil // as ever
			}
			r := filtertest.Answer(200, "application/json", `{"predictions":[1`)
			r.Body = cutShort{proxy.NewBytesBody([]byte(`{"predictions":[1`))}
			return r, nil
		}
		for i, r := range d.together(predicts(letters(4)...)...) {
			require.NoError(t, r.err)
			require.Equal(t, echoes(letters(4)[i], 1), r.body)
		}
		require.Equal(t, []int{4, 2, 1, 1, 2, 1, 1}, sorted(sizes(d.after()), []int{4, 2, 1, 1, 2, 1, 1}))
	})
}

// sorted returns want where got holds the same numbers in any order, else got.
func sorted(got, want []int) []int {
	if slices.Equal(slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want))) {
		return want
	}
	return got
}

// endless is a body without an end.
type endless struct{ *proxy.BytesBody }

func (endless) Read(p []byte) (int, error) { return len(p), nil }
func (endless) Len() int64                 { return -1 }

func TestAnswerTooLarge(t *testing.T) {
	for _, declared := range []bool{true, false} {
		d := newDoor(t, "", filtertest.NewServer(1, 20*time.Millisecond, 0))
		d.server.Before = func(_ context.Context, c filtertest.Call) (*proxy.Response, error) {
			if len(c.Items) == 1 {
				return nil, nil //nolint:nilnil // as ever
			}
			r := proxy.NewResponse()
			r.Header.SetStatusCode(200)
			r.Body = endless{}
			if declared {
				r.Body = declaredBody{}
			}
			return r, nil
		}
		for i, r := range d.together(predicts(letters(4)...)...) {
			require.NoError(t, r.err)
			require.Equal(t, echoes(letters(4)[i], 1), r.body)
		}
		require.Equal(t, 1, d.house.Count(t, "friday_batch_fallback_total", "reason", "too_large"))
	}
}

type declaredBody struct{ endless }

func (declaredBody) Len() int64   { return 1 << 40 }
func (declaredBody) Close() error { return nil }
func (endless) Close() error      { return nil }

func (endless) Trailer() *fasthttp.ResponseHeader { return nil }

// TestPanic: in a merged call it is everyone's and nobody's; alone it is its own.
func TestPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDoor(t, "", newServer())
		d.server.Before = func(_ context.Context, c filtertest.Call) (*proxy.Response, error) {
			if strings.Contains(c.Body, "poison") {
				panic("poison")
			}
			return nil, nil //nolint:nilnil // as ever
		}
		d.Handler = recovering(d.Handler)
		names := []string{"a", "b", "poison", "c"}
		for i, r := range d.together(predicts(names...)...) {
			if i == 2 {
				require.ErrorContains(t, r.err, "panic: poison")
				continue
			}
			require.NoError(t, r.err)
			require.Equal(t, echoes(names[i], 1), r.body)
		}
		require.Equal(t, 1, d.house.Count(t, "friday_batch_fallback_total", "reason", "panic"))
		// The slot of the one that panicked is free again.
		require.NoError(t, call(t.Context(), d, filtertest.Request(predictPath, instances("z", 1))).err)
	})
}

// recovering does what a codec does.
func recovering(h proxy.Handler) proxy.Handler {
	return proxy.HandlerFunc(func(ctx context.Context, req *proxy.Request) (resp *proxy.Response, err error) {
		defer func() {
			if v := recover(); v != nil {
				resp, err = nil, proxy.PanicError(v, nil)
			}
		}()
		return h.Handle(ctx, req)
	})
}

// TestAnswersOwnHead: what speaks of the bytes of the whole is not handed on.
func TestAnswersOwnHead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDoor(t, "", newServer())
		d.server.Before = func(_ context.Context, c filtertest.Call) (*proxy.Response, error) {
			r := filtertest.Answer(200, "application/json", `{"predictions":[`+strings.Join(c.Items, ",")+`]}`)
			r.Header.Set("ETag", `"x"`)
			r.Header.Set("X-Model-Version", "3")
			r.Header.SetContentLength(12345)
			return r, nil
		}
		var wg sync.WaitGroup
		defer wg.Wait()
		for i, r := range d.together(predicts("a", "bbbbbb")...) {
			require.Equal(t, "3", r.header["x-model-version"])
			require.NotContains(t, r.header, "etag")
			require.Equal(t, len(r.body), len(`{"predictions":[{"x":"-0","n":9007199254740993}]}`)+[]int{1, 6}[i])
		}
	})
}
