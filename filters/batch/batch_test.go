package batch_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp"

	"github.com/fridaymesh/friday/filters/filtertest"
	"github.com/fridaymesh/friday/proxy"
)

func TestAloneGoesUntouched(t *testing.T) {
	d := newDoor(t, "", filtertest.NewServer(1, 0, 0))
	const body = "{ \"instances\" : [ 1.0, 9007199254740993 ] ,\"z\":null }"
	req := filtertest.Request(predictPath+"?trace=1", body, "Authorization", "Bearer x", "Expect", "100-continue", "x-request-id", "7")
	seen := (*proxy.Request)(nil)
	d.server.Before = func(context.Context, filtertest.Call) (*proxy.Response, error) { return nil, nil }
	h := chain(t, d.house, "", proxy.HandlerFunc(func(ctx context.Context, r *proxy.Request) (*proxy.Response, error) {
		seen = r
		return d.server.Handle(ctx, r)
	}))
	r := call(t.Context(), h, req)
	require.NoError(t, r.err)
	require.Equal(t, 200, r.status)
	require.Equal(t, `{"predictions":[{"echo":1.0},{"echo":9007199254740993}]}`, r.body)
	require.Same(t, req, seen, "the request itself is passed on")
	got := d.server.Calls()[0]
	require.Equal(t, body, got.Body)
	require.Equal(t, "100-continue", got.Header["expect"])
	require.Equal(t, "10.0.0.1:80", got.Endpoint)
	require.Equal(t, 2, req.Trace.BatchSize)
	require.Equal(t, "m", req.Trace.Model)
	require.NotContains(t, r.header, "x-friday-batch-size")
}

func TestMergesAndSplits(t *testing.T) {
	for _, test := range []struct{ name, path, request, answer string }{
		{"kserve v1", predictPath, `{"instances":[{"x":"%s"}],"signature_name":"s"}`, `{"predictions":[{"echo":{"x":"%s"}}]}`},
		{
			"openai", embedPath, `{"model":"e","input":"%s"}`,
			`{"object":"list","data":[{"object":"embedding","index":0,"embedding":[5,99.0]}],"model":"e","usage":{"prompt_tokens":5,"total_tokens":5}}`,
		},
		{
			"open inference", inferPath, `{"id":"%[1]s","inputs":[{"name":"a","shape":[1,2],"datatype":"BYTES","data":["%[1]s","%[1]s"]}]}`,
			`{"model_name":"m","id":"%[1]s","outputs":[{"name":"echo","shape":[1,2],"datatype":"BYTES","data":["%[1]s","%[1]s"]}]}`,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDoor(t, "", filtertest.NewServer(1, 10*time.Millisecond, 0))
				var requests []*proxy.Request
				for _, name := range letters(8) {
					requests = append(requests, filtertest.Request(test.path, fmt.Sprintf(test.request, name)))
				}
				// The plug is of another group where the path is: hold its slot too.
				hold := filtertest.Request(test.path, fmt.Sprintf(test.request, "hld"))
				var wg sync.WaitGroup
				wg.Go(func() { call(t.Context(), d, hold) })
				time.Sleep(time.Millisecond)
				results := make([]result, len(requests))
				for i, req := range requests {
					wg.Go(func() { results[i] = call(t.Context(), d, req) })
				}
				wg.Wait()
				for i, name := range letters(8) {
					require.NoError(t, results[i].err)
					want := test.answer
					if strings.Contains(want, "%") {
						want = fmt.Sprintf(want, name)
					}
					require.JSONEq(t, want, results[i].body)
					require.Equal(t, 8, results[i].req.Trace.BatchSize)
					require.Equal(t, 1, results[i].req.Trace.Attempts)
					// 9 ms for the slot, and an eighth of 10 ms for the plug to come back.
					require.Equal(t, 10250*time.Microsecond, results[i].req.Trace.Queued)
				}
				require.Equal(t, []int{1, 8}, sizes(d.server.Calls()))
			})
		})
	}
}

func TestMergedHead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDoor(t, "", filtertest.NewServer(1, 10*time.Millisecond, 0))
		var requests []*proxy.Request
		for _, name := range letters(3) {
			requests = append(requests, filtertest.Request(predictPath, instances(name, 1),
				"AUTHORIZATION", "Bearer x", "Accept-Encoding", "gzip", "Expect", "100-continue",
				"X-Friday-Debug", "1", "X-Other", name, "Cookie", "b=2;a=1"))
		}
		hold := filtertest.Request(predictPath, instances("hold", 1),
			"AUTHORIZATION", "Bearer x", "Accept-Encoding", "gzip", "Cookie", "b=2;a=1")
		var wg sync.WaitGroup
		wg.Go(func() { call(t.Context(), d, hold) })
		time.Sleep(time.Millisecond)
		results := make([]result, len(requests))
		for i, req := range requests {
			wg.Go(func() { results[i] = call(t.Context(), d, req) })
			time.Sleep(time.Millisecond)
		}
		wg.Wait()
		merged := d.server.Calls()[1]
		require.Len(t, merged.Items, 3)
		require.Equal(t, "Bearer x", merged.Header["authorization"])
		require.Equal(t, "identity", merged.Header["accept-encoding"])
		require.Equal(t, "c00", merged.Header["x-other"], "the first caller's head")
		require.NotContains(t, merged.Header, "expect")
		require.NotContains(t, merged.Header, "x-friday-debug")
		require.Equal(t, fmt.Sprint(len(merged.Body)), merged.Header["content-length"])
		require.Equal(t, "3", results[1].header["x-friday-batch-size"])
		require.Equal(t, "9.250", results[1].header["x-friday-queue-ms"])
		require.Equal(t, "application/json", results[1].header["content-type"])
	})
}

// TestNeverTogether: requests that differ in one of these ways share no call.
func TestNeverTogether(t *testing.T) {
	base := func(headers ...string) *proxy.Request {
		return filtertest.Request(predictPath, instances("a", 1), headers...)
	}
	for _, test := range []struct {
		name string
		a, b *proxy.Request
		more func(a, b *proxy.Request)
	}{
		{name: "path", a: base(), b: filtertest.Request("/v1/models/n:predict", instances("a", 1))},
		{name: "query", a: base(), b: filtertest.Request(predictPath+"?a=1", instances("a", 1))},
		{name: "options", a: base(), b: filtertest.Request(predictPath, `{"instances":[1],"signature_name":"s"}`)},
		{name: "credentials", a: base("Authorization", "Bearer a"), b: base("Authorization", "Bearer b")},
		{name: "credentials, one without", a: base(), b: base("Authorization", "Bearer b")},
		{name: "credentials, any case", a: base("authorization", "Bearer a"), b: base("AUTHORIZATION", "Bearer b")},
		{name: "credentials, header to header", a: base("api-key", "k"), b: base("x-api-key", "k")},
		{name: "cookie", a: base("Cookie", "session=a"), b: base("Cookie", "session=b")},
		{name: "accept", a: base("Accept", "a/b"), b: base("Accept", "a/c")},
		{name: "accept-encoding", a: base("Accept-Encoding", "gzip"), b: base()},
		{name: "host", a: base(), b: base(), more: func(_, b *proxy.Request) { b.Header.SetHost("other") }},
		{name: "content type", a: base(), b: base(), more: func(_, b *proxy.Request) { b.Header.SetContentType("application/json; charset=utf-8") }},
		{name: "cluster", a: base(), b: base(), more: func(_, b *proxy.Request) { b.Cluster = "other" }},
		{name: "route", a: base(), b: base(), more: func(_, b *proxy.Request) { b.Route = "other" }},
		{name: "pinned endpoint", a: base(), b: base(), more: func(_, b *proxy.Request) { b.Endpoint = &proxy.Endpoint{Address: "10.9.9.9:80"} }},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDoor(t, "", filtertest.NewServer(64, 10*time.Millisecond, 0))
				if test.more != nil {
					test.more(test.a, test.b)
				}
				var wg sync.WaitGroup
				for range 4 {
					for i, r := range []*proxy.Request{test.a, test.b} {
						own := *r
						body, ok := r.Body.(*proxy.BytesBody)
						require.True(t, ok)
						marked := strings.Replace(string(body.Bytes()), `"instances":[`, fmt.Sprintf(`"instances":["%c",`, 'A'+i), 1)
						own.Body = proxy.NewBytesBody([]byte(marked))
						own.Header = new(fasthttp.RequestHeader)
						r.Header.CopyTo(own.Header)
						wg.Go(func() { require.NoError(t, call(t.Context(), d, &own).err) })
					}
					time.Sleep(time.Millisecond)
				}
				wg.Wait()
				require.Less(t, len(d.server.Calls()), 8, "some did share a call")
				for _, c := range d.server.Calls() {
					require.False(t, strings.Contains(c.Body, `"A"`) && strings.Contains(c.Body, `"B"`), c.Body)
				}
			})
		})
	}
}

// TestTogether is the other side: what does not matter keeps nobody apart.
func TestTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDoor(t, "", filtertest.NewServer(1, 10*time.Millisecond, 0))
		requests := predicts(letters(3)...)
		requests[0].Header.Set("x-request-id", "1")
		requests[1].Header.Set("User-Agent", "curl")
		requests[2].Header.Set("traceparent", "00-1-2-3")
		for _, r := range d.together(requests...) {
			require.Equal(t, 200, r.status)
		}
		require.Equal(t, []int{3}, sizes(d.after()))
	})
}

func TestPassesUntouched(t *testing.T) {
	for _, test := range []struct {
		name, config, path, body string
		headers                  []string
	}{
		{name: "unknown path", path: "/v1/other", body: `{}`},
		{name: "not JSON", path: predictPath, body: `{"instances":[1`},
		{name: "disabled", config: "disabled: true", path: predictPath, body: instances("a", 1)},
		{name: "not this protocol", config: "protocols: OPENAI", path: predictPath, body: instances("a", 1)},
		{name: "not named", path: "/v1/completions", body: `{"model":"e","prompt":"a"}`},
		{name: "usage", config: "usage: BYPASS", path: embedPath, body: `{"model":"e","input":"a"}`},
		{name: "signed", path: predictPath, body: instances("a", 1), headers: []string{"Content-Digest", "sha-256=:x:"}},
		{name: "idempotency key", path: predictPath, body: instances("a", 1), headers: []string{"idempotency-key", "1"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDoor(t, test.config, filtertest.NewServer(8, 10*time.Millisecond, 0))
				start := time.Now()
				var wg sync.WaitGroup
				const callers = 2
				for range callers {
					wg.Go(func() {
						r := call(t.Context(), d, filtertest.Request(test.path, test.body, test.headers...))
						require.NoError(t, r.err)
						require.Zero(t, r.req.Trace.BatchSize)
					})
				}
				wg.Wait()
				require.Equal(t, 10*time.Millisecond, time.Since(start), "all at once")
				require.Len(t, d.server.Calls(), callers)
				require.Equal(t, test.body, d.server.Calls()[0].Body)
			})
		})
	}
}

// TestTooLargePasses as it is, read or not.
func TestTooLargePasses(t *testing.T) {
	big := `{"instances":["` + strings.Repeat("x", 16<<20) + `"]}`
	h := chain(t, filtertest.NewHouse(t, 1), "", proxy.HandlerFunc(func(_ context.Context, req *proxy.Request) (*proxy.Response, error) {
		require.EqualValues(t, len(big), req.Body.Len())
		require.Nil(t, req.Endpoint)
		return filtertest.Answer(200, "text/plain", "ok"), nil
	}))
	r := call(t.Context(), h, filtertest.Request(predictPath, big))
	require.Equal(t, "ok", r.body)
	require.Zero(t, r.req.Trace.BatchSize)
}

func TestUsageIsSharedOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDoor(t, "", filtertest.NewServer(1, 10*time.Millisecond, 0))
		results := make([]result, 3)
		var wg sync.WaitGroup
		for i, text := range []string{"hold", "a", "seven letters"} {
			wg.Go(func() {
				results[i] = call(t.Context(), d, filtertest.Request(embedPath, `{"model":"e","input":["`+text+`"]}`))
			})
			time.Sleep(time.Millisecond)
		}
		wg.Wait()
		require.Contains(t, results[1].body, `"prompt_tokens":3,"total_tokens":3`)
		require.Contains(t, results[2].body, `"prompt_tokens":15,"total_tokens":15`)
	})
}
