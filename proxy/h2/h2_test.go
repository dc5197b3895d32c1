package h2

import (
	"bufio"
	"encoding/binary"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp"
	"go.uber.org/goleak"
	"golang.org/x/net/http/httpguts"
	"golang.org/x/net/http2/hpack"

	"github.com/fridaymesh/friday/proxy"
	"github.com/fridaymesh/friday/proxy/config"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// parsed is the head that a request's fields make.
func parsed(r *received, upgrade string) (*fasthttp.RequestHeader, error) {
	h := new(fasthttp.RequestHeader)
	h.DisableNormalizing()
	h.SetNoDefaultContentType(true)
	return h, r.head(h, upgrade, &config.Limits{MaxHeaders: 1000})
}

func fields(pairs ...string) (f []hpack.HeaderField) {
	for i := 0; i < len(pairs); i += 2 {
		f = append(f, hpack.HeaderField{Name: pairs[i], Value: pairs[i+1]})
	}
	return f
}

func TestRequestHead(t *testing.T) {
	h, err := parsed(&received{
		method: "POST", path: "/v1/x%2Fy//z?q=a+b&", authority: "model.test:80", length: -1,
		fields: fields("content-type", "application/grpc+proto", "te", "trailers", "x-many", "1", "cookie", `a="1"`, "x-many", "2",
			"cookie", "b=2", "grpc-timeout", "1S", "host", "other", "trailer", "x-sum"),
	}, "")
	require.NoError(t, err)
	require.Equal(t, "POST /v1/x%2Fy//z?q=a+b& HTTP/1.1", strings.SplitN(string(h.Header()), "\r\n", 2)[0])
	require.Equal(t, "model.test:80", string(h.Host()))
	require.Equal(t, `a="1"; b=2`, string(h.Peek("cookie")))
	require.Equal(t, "trailers", string(h.Peek("te")))
	require.Len(t, h.PeekAll("x-many"), 2)
	require.Equal(t, -1, h.ContentLength())
	require.Contains(t, string(h.AppendBytes(nil)), "Trailer: x-sum\r\n")
	require.True(t, proxy.IsGRPC(h))
}

func TestRequestHeadUpgrade(t *testing.T) {
	h, err := parsed(&received{method: "GET", path: "/", authority: "h", length: -1}, "websocket")
	require.NoError(t, err)
	require.Equal(t, "websocket", string(h.Peek("upgrade")))
	require.Len(t, h.Peek("sec-websocket-key"), 24)
	require.NotContains(t, string(h.AppendBytes(nil)), "chunked")
	h, err = parsed(&received{method: "GET", path: "/", authority: "h", length: -1, fields: fields("sec-websocket-key", "own")}, "websocket")
	require.NoError(t, err)
	require.Equal(t, "own", string(h.Peek("sec-websocket-key")))
}

func TestRequestHeadLong(t *testing.T) {
	long := strings.Repeat("x", 20<<10)
	h, err := parsed(&received{method: "GET", path: "/", authority: "h", fields: fields("x", long)}, "")
	require.NoError(t, err)
	require.Equal(t, long, string(h.Peek("x")))
}

func TestRequestHeadRefuses(t *testing.T) {
	for name, r := range map[string]*received{
		"a line in the method":     {method: "GET /x HTTP/1.1", path: "/", authority: "h"},
		"no method":                {path: "/", authority: "h"},
		"a blank in the path":      {method: "GET", path: "/a HTTP/1.1", authority: "h"},
		"no path":                  {method: "GET", authority: "h"},
		"a blank in the host":      {method: "GET", path: "/", authority: "h x"},
		"the framing of HTTP/1.1":  {method: "GET", path: "/", authority: "h", fields: fields("transfer-encoding", "chunked")},
		"a connection's own field": {method: "GET", path: "/", authority: "h", fields: fields("connection", "x")},
		"an upgrade":               {method: "GET", path: "/", authority: "h", fields: fields("upgrade", "websocket")},
		"another's path":           {method: "GET", path: "http://evil/", authority: "h"},
		"a path without a slash":   {method: "GET", path: "evil/", authority: "h"},
		"asterisk of GET":          {method: "GET", path: "*", authority: "h"},
		"a fragment":               {method: "GET", path: "/a#b", authority: "h"},
		"no host":                  {method: "GET", path: "/"},
		"a user":                   {method: "GET", path: "/", authority: "u@h"},
		"a path in the host":       {method: "GET", path: "/", authority: "h/x"},
		"two hosts":                {method: "GET", path: "/", fields: fields("host", "a", "host", "b")},
		"te":                       {method: "GET", path: "/", authority: "h", fields: fields("te", "gzip")},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := parsed(r, "")
			pe, ok := errors.AsType[*proxy.Error](err)
			require.True(t, ok, "%v", err)
			require.Equal(t, 400, pe.Status)
		})
	}
}

func TestRequestHeadLimits(t *testing.T) {
	for name, tc := range map[string]struct {
		limits config.Limits
		status int
		left   string
	}{
		"all is well": {config.Limits{MaxHeaders: 2, Underscores: config.AllowUnderscores}, 0, "1"},
		"too many":    {config.Limits{MaxHeaders: 1}, 431, ""},
		"not allowed": {config.Limits{MaxHeaders: 2, Underscores: config.RefuseUnderscores}, 400, ""},
		"and dropped": {config.Limits{MaxHeaders: 2, Underscores: config.DropUnderscores}, 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			h := new(fasthttp.RequestHeader)
			h.DisableNormalizing()
			r := &received{method: "GET", path: "/", authority: "h", fields: fields("x_y", "1", "z", "2")}
			err := r.head(h, "", &tc.limits)
			if tc.status == 0 {
				require.NoError(t, err)
				require.Equal(t, tc.left, string(h.Peek("x_y")))
				return
			}
			pe, ok := errors.AsType[*proxy.Error](err)
			require.True(t, ok, "%v", err)
			require.Equal(t, tc.status, pe.Status)
		})
	}
}

// FuzzRequestHead: whatever the fields hold, they never become more than one head,
// and method and path stay what they were.
func FuzzRequestHead(f *testing.F) {
	f.Add("GET", "/", "h", "x", "y")
	f.Add("POST", "/a?b", "h:1", "content-length", "3")
	f.Add("GET /x HTTP/1.1", "/ HTTP/1.1\r\n\r\n", "h\r\n", "x:y", "a\r\nb: c")
	f.Add("OPTIONS", "*", "", "transfer-encoding", "chunked")
	f.Fuzz(func(t *testing.T, method, target, host, name, value string) {
		if !token(name) || strings.ToLower(name) != name || !httpguts.ValidHeaderFieldValue(value) {
			t.Skip() // the frames' reader refuses them
		}
		h, err := parsed(&received{method: method, path: target, authority: host, fields: fields(name, value)}, "")
		if err != nil {
			return
		}
		require.Equal(t, method, string(h.Method()))
		require.Equal(t, target, string(h.RequestURI()))
		fields := 0
		for range proxy.Fields(h.AppendBytes(nil)) {
			fields++
		}
		require.LessOrEqual(t, fields, 3)
	})
}

func TestCodes(t *testing.T) {
	for _, tc := range []struct {
		pe   proxy.Error
		want int
	}{
		{proxy.Error{Status: 400, Flag: proxy.FlagDownstreamProtocol}, 13},
		{proxy.Error{Status: 401}, 16},
		{proxy.Error{Status: 403}, 7},
		{proxy.Error{Status: 404, Flag: proxy.FlagNoRoute}, 12},
		{proxy.Error{Status: 413, Flag: proxy.FlagDownstreamTooLarge}, 8},
		{proxy.Error{Status: 418}, 2},
		{proxy.Error{Status: 429}, 14},
		{proxy.Error{Status: 499, Flag: proxy.FlagDownstreamGone}, 1},
		{proxy.Error{Status: 500, Flag: proxy.FlagInternal}, 13},
		{proxy.Error{Status: 500}, 2},
		{proxy.Error{Status: 502, Flag: proxy.FlagUpstreamProtocol}, 14},
		{proxy.Error{Status: 503, Flag: proxy.FlagOverflow}, 14},
		{proxy.Error{Status: 504}, 14},
		{proxy.Error{Status: 504, Flag: proxy.FlagTimeout}, 4},
	} {
		require.Equal(t, tc.want, code(&tc.pe), "%+v", tc.pe)
	}
}

func TestGRPCAnswer(t *testing.T) {
	r := grpcAnswer(&proxy.Error{Status: 503, Flag: proxy.FlagOverflow, Message: "100% \u00fc\n", RetryAfter: 1500 * time.Millisecond})
	require.Equal(t, 200, r.Header.StatusCode())
	require.Equal(t, "application/grpc", string(r.Header.ContentType()))
	require.Equal(t, "14", string(r.Header.Peek("grpc-status")))
	require.Equal(t, "100%25 %C3%BC%0A", string(r.Header.Peek("grpc-message")))
	require.Equal(t, "1500", string(r.Header.Peek("grpc-retry-pushback-ms")))
	require.Equal(t, proxy.NoBody, r.Body)
	require.NoError(t, r.Close())
	r = grpcAnswer(&proxy.Error{Status: 404, Flag: proxy.FlagNoRoute})
	require.Equal(t, "Not Found", string(r.Header.Peek("grpc-message")))
	require.NoError(t, r.Close())
}

func TestTimeout(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"1H": time.Hour, "2M": 2 * time.Minute, "3S": 3 * time.Second, "4m": 4 * time.Millisecond,
		"5u": 5 * time.Microsecond, "6n": 6, "0S": 0, "99999999H": 1<<63 - 1,
	} {
		got, ok := timeout([]byte(text))
		require.True(t, ok, text)
		require.Equal(t, want, got, text)
	}
	for _, text := range []string{"", "S", "1", "1s", "-1S", "+1S", "1.5S", "123456789S", "1 S"} {
		_, ok := timeout([]byte(text))
		require.False(t, ok, text)
	}
}

func message(n int) string {
	return string(binary.BigEndian.AppendUint32([]byte{0}, uint32(n))) + strings.Repeat("x", n)
}

// A stream may be as long as it likes; a message may not, however it is cut up.
func TestMessages(t *testing.T) {
	for text, want := range map[string]bool{
		"": true, message(0): true, message(5): true, message(6): false,
		message(5) + message(5) + message(0): true, message(5) + message(6): false, message(2)[:4]: true,
	} {
		for _, size := range []int{1, 2, 3, 7, 100} {
			m, ok := messages{limit: 5}, true
			for rest := text; len(rest) > 0 && ok; {
				n := min(size, len(rest))
				ok = m.pass([]byte(rest[:n]))
				rest = rest[n:]
			}
			require.Equal(t, want, ok, "%q by %d", text, size)
		}
	}
}

// FuzzMessages: how a stream is cut up makes no difference.
func FuzzMessages(f *testing.F) {
	f.Add([]byte(message(3)+message(9)), uint8(4))
	f.Add([]byte{0, 0xff, 0xff, 0xff, 0xff}, uint8(1))
	f.Fuzz(func(t *testing.T, in []byte, size uint8) {
		whole := messages{limit: 8}
		want := whole.pass(in)
		m, ok := messages{limit: 8}, true
		for rest := in; len(rest) > 0 && ok; {
			n := min(max(int(size), 1), len(rest))
			ok = m.pass(rest[:n])
			rest = rest[n:]
		}
		require.Equal(t, want, ok)
		if want {
			require.Equal(t, whole.left, m.left)
			require.Equal(t, whole.have, m.have)
		}
	})
}

func TestAnswerHead(t *testing.T) {
	for name, tc := range map[string]struct {
		fields string
		n      int64
		head   bool
		want   []string
	}{
		"known":        {"content-length: 3\r\n", 3, false, []string{"3"}},
		"not known":    {"transfer-encoding: chunked\r\n", -1, false, nil},
		"empty":        {"content-length: 0\r\n", 0, false, []string{"0"}},
		"answer to it": {"content-length: 9\r\n", 0, true, []string{"9"}},
	} {
		t.Run(name, func(t *testing.T) {
			resp := proxy.NewResponse()
			defer resp.Close()
			require.NoError(t, resp.Header.Read(bufio.NewReader(strings.NewReader("HTTP/1.1 200 OK\r\n"+tc.fields+"X-A: b\r\n\r\n"))))
			var lengths []string
			for _, f := range appendAnswer(nil, 200, &resp.Header, tc.n, tc.head, false) {
				require.NotEqual(t, "transfer-encoding", f.Name)
				require.Equal(t, strings.ToLower(f.Name), f.Name)
				if f.Name == "content-length" {
					lengths = append(lengths, f.Value)
				}
			}
			require.Equal(t, tc.want, lengths)
		})
	}
}
