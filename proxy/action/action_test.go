package action_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp"
	"go.uber.org/goleak"

	"github.com/fridaymesh/friday/proxy"
	"github.com/fridaymesh/friday/proxy/action"
	"github.com/fridaymesh/friday/proxy/format"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func request(t testing.TB, text string, body proxy.Body) *proxy.Request {
	t.Helper()
	h := &fasthttp.RequestHeader{}
	h.DisableNormalizing()
	h.SetNoDefaultContentType(true)
	require.NoError(t, h.Read(bufio.NewReader(strings.NewReader(strings.ReplaceAll(text, "\n", "\r\n")+"\r\n\r\n"))))
	return &proxy.Request{Header: h, Body: body, Protocol: "http1"}
}

// server answers with the given statuses, one after the other, and keeps what it saw.
type server struct {
	statuses []int
	bodies   []string
	targets  []string
	headers  []string
	retries  int
}

func (s *server) Handle(_ context.Context, req *proxy.Request) (*proxy.Response, error) {
	n := len(s.bodies)
	req.Trace.Attempts++
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	s.bodies = append(s.bodies, string(body))
	s.targets = append(s.targets, string(req.Header.Host())+string(req.Header.RequestURI()))
	s.headers = append(s.headers, string(req.Header.Peek("x-envoy-attempt-count")))
	status := s.statuses[min(n, len(s.statuses)-1)]
	if status == 0 {
		return nil, &proxy.Error{Status: 503, Flag: proxy.FlagUpstreamReset}
	}
	resp := proxy.NewResponse()
	resp.Header.SetStatusCode(status)
	return resp, nil
}

func (s *server) BeginRetry(*proxy.Request) bool { s.retries++; return true }
func (s *server) EndRetry(*proxy.Request)        { s.retries-- }

// pipe is a body that arrives.
type pipe struct {
	*io.PipeReader
}

func (pipe) Len() int64                        { return -1 }
func (pipe) Trailer() *fasthttp.ResponseHeader { return nil }

func TestRetriesReadTheBodyAgain(t *testing.T) {
	for name, body := range map[string]func() proxy.Body{
		"in memory": func() proxy.Body { return proxy.NewBytesBody([]byte("hello world")) },
		"arriving": func() proxy.Body {
			r, w := io.Pipe()
			go func() {
				_, _ = io.WriteString(w, "hello ")
				_, _ = io.WriteString(w, "world")
				_ = w.Close()
			}()
			return pipe{r}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &server{statuses: []int{503, 0, 200}}
				h, err := action.NewForward(&action.Forward{Retry: &action.Retry{On: action.On5xx, Times: 2}, CountAttempts: true}, s, nil)
				require.NoError(t, err)
				req := request(t, "POST /x HTTP/1.1\nHost: h\nTransfer-Encoding: chunked", body())
				resp, err := h.Handle(t.Context(), req)
				require.NoError(t, err)
				require.Equal(t, 200, resp.Header.StatusCode())
				require.NoError(t, resp.Close())
				require.Equal(t, []string{"hello world", "hello world", "hello world"}, s.bodies)
				require.Equal(t, []string{"1", "2", "3"}, s.headers)
				require.Zero(t, s.retries)
				require.Equal(t, 3, req.Trace.Attempts)
				require.Empty(t, req.Header.Peek("x-envoy-attempt-count"), "filters keep their request")
			})
		})
	}
}

func TestABodyThatIsTooLongIsNotSentAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{statuses: []int{503, 200}}
		h, err := action.NewForward(&action.Forward{Retry: &action.Retry{On: action.On5xx, Times: 2}, Keep: 4}, s, nil)
		require.NoError(t, err)
		r, w := io.Pipe()
		go func() {
			_, _ = io.WriteString(w, "hello ")
			_, _ = io.WriteString(w, "world")
			_ = w.Close()
		}()
		resp, err := h.Handle(t.Context(), request(t, "POST /x HTTP/1.1\nHost: h\nTransfer-Encoding: chunked", pipe{r}))
		require.NoError(t, err)
		require.Equal(t, 503, resp.Header.StatusCode())
		require.NoError(t, resp.Close())
		require.Equal(t, []string{"hello world"}, s.bodies)
	})
}

// stuck is a server that never answers.
type stuck struct{ attempts int }

func (s *stuck) Handle(ctx context.Context, _ *proxy.Request) (*proxy.Response, error) {
	s.attempts++
	<-ctx.Done()
	return nil, proxy.AsError(ctx, context.Cause(ctx))
}

func TestPerTryTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &stuck{}
		h, err := action.NewForward(&action.Forward{Retry: &action.Retry{On: action.On5xx, Times: 2, PerTry: time.Second}}, s, nil)
		require.NoError(t, err)
		start := time.Now()
		_, err = h.Handle(t.Context(), request(t, "GET / HTTP/1.1\nHost: h", proxy.NoBody))
		var pe *proxy.Error
		require.ErrorAs(t, err, &pe)
		require.Equal(t, proxy.FlagTimeout, pe.Flag)
		require.Equal(t, 3, s.attempts)
		require.InDelta(t, 3, time.Since(start).Seconds(), 0.5)
	})
}

func TestRewrites(t *testing.T) {
	prefix := "/new/"
	sub, err := action.NewSubstitution(regexp.MustCompile("^/a/([^/]+)/(.*)$"), `/b/\2/\1/$\\`)
	require.NoError(t, err)
	path, err := format.New("/p%REQ(:METHOD)%", "")
	require.NoError(t, err)
	for target, w := range map[string]action.Rewrite{
		"h/new/x?q=/api/":  {Prefix: &prefix, Matched: 5},
		"s/new/":           {Prefix: &prefix, Matched: -1, Host: "s"},
		`h/b/2/1/$\?q=/a/`: {Regex: sub},
		"h/pGET?q":         {Path: path},
	} {
		s := &server{statuses: []int{200}}
		h, err := action.NewForward(&action.Forward{Rewrite: w}, s, nil)
		require.NoError(t, err)
		uri := map[string]string{"h/new/x?q=/api/": "/api/x?q=/api/", "s/new/": "http://h/api/x", `h/b/2/1/$\?q=/a/`: "/a/1/2?q=/a/", "h/pGET?q": "/x?q"}[target]
		resp, err := h.Handle(t.Context(), request(t, "GET "+uri+" HTTP/1.1\nHost: h", proxy.NoBody))
		require.NoError(t, err)
		require.NoError(t, resp.Close())
		require.Equal(t, []string{target}, s.targets)
	}
	_, err = action.NewSubstitution(regexp.MustCompile("a"), `\1`)
	require.Error(t, err)
	_, err = action.NewSubstitution(regexp.MustCompile("a"), `\x`)
	require.Error(t, err)
}

func TestErrorsAreDecoratedForEachRequest(t *testing.T) {
	shared := &proxy.Error{Status: 503, Flag: proxy.FlagNoHealthyUpstream, Message: "m"}
	h, err := action.NewForward(&action.Forward{Levels: []action.Headers{{ResponseAdd: []format.HeaderValue{{Name: "x-path", Value: "%REQ(:PATH)%"}}}}},
		proxy.HandlerFunc(func(context.Context, *proxy.Request) (*proxy.Response, error) { return nil, shared }), nil)
	require.NoError(t, err)
	for _, path := range []string{"/a", "/b"} {
		_, err := h.Handle(t.Context(), request(t, "GET "+path+" HTTP/1.1\nHost: h", proxy.NoBody))
		pe, ok := errors.AsType[*proxy.Error](err)
		require.True(t, ok)
		require.Equal(t, path, string(pe.Response().Header.Peek("x-path")))
	}
	require.Nil(t, shared.Decorate, "others have it, too")
}

func FuzzParseOn(f *testing.F) {
	f.Add("5xx, gateway-error,unavailable")
	f.Fuzz(func(t *testing.T, text string) {
		if on, err := action.ParseOn(text); err != nil {
			require.NotEmpty(t, err.Error())
		} else if on == 0 {
			require.Empty(t, strings.Trim(strings.ReplaceAll(text, "http3-post-connect-failure", ""), ", \t\n\v\f\r\u0085\u00a0"))
		}
	})
}
