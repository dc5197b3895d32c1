package h2

import (
	"encoding/binary"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp"
	"go.uber.org/goleak"

	"github.com/fridaymesh/friday/proxy"
	"github.com/fridaymesh/friday/proxy/config"
	"github.com/fridaymesh/friday/proxy/exchange"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestRequestHead(t *testing.T) {
	h, err := requestHead(&http.Request{
		Method: "POST", RequestURI: "/v1/x%2Fy//z?q=a+b&", Host: "model.test:80", ContentLength: -1,
		Header: http.Header{
			"Content-Type": {"application/grpc+proto"}, "Te": {"trailers"}, "X-Many": {"1", "2"},
			"Cookie": {`a="1"; b=2`}, "Grpc-Timeout": {"1S"}, "Host": {"other"},
		},
		Trailer: http.Header{"X-Sum": nil},
	}, &config.Limits{MaxHeaders: 1000})
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

func TestRequestHeadLong(t *testing.T) {
	long := strings.Repeat("x", 20<<10)
	h, err := requestHead(&http.Request{Method: "GET", RequestURI: "/", Host: "h", Header: http.Header{"X": {long}}}, &config.Limits{MaxHeaders: 1000})
	require.NoError(t, err)
	require.Equal(t, long, string(h.Peek("x")))
}

func TestRequestHeadRefuses(t *testing.T) {
	for name, r := range map[string]*http.Request{
		"a line in the method": {Method: "GET /x HTTP/1.1", RequestURI: "/", Host: "h"},
		"no method":            {RequestURI: "/", Host: "h"},
		"a blank in the path":  {Method: "GET", RequestURI: "/a HTTP/1.1", Host: "h"},
		"no path":              {Method: "GET", Host: "h"},
		"a blank in the host":  {Method: "GET", RequestURI: "/", Host: "h x"},
		"two lengths":          {Method: "GET", RequestURI: "/", Host: "h", Header: http.Header{"Content-Length": {"1", "2"}}},
	} {
		t.Run(name, func(t *testing.T) {
			h, err := requestHead(r, &config.Limits{MaxHeaders: 1000})
			require.NotNil(t, h, "the access log reads it")
			pe, ok := errors.AsType[*proxy.Error](err)
			require.True(t, ok, "%v", err)
			require.Equal(t, 400, pe.Status)
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
		if strings.ContainsAny(name+value, "\r\n\x00") {
			t.Skip() // net/http refuses them
		}
		r := &http.Request{Method: method, RequestURI: target, Host: host, Header: http.Header{name: {value}}}
		h, err := requestHead(r, &config.Limits{MaxHeaders: 1000})
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

func TestBodyLimits(t *testing.T) {
	body := func(text string, n int64, grpc bool) ([]byte, error) {
		x := &exchange.Exchange{Active: &config.Active{HTTP: config.HTTP{MaxBodyBytes: 5, Limits: config.Limits{StreamIdleTimeout: config.Unlimited, RequestTimeout: config.Unlimited}}}}
		b, err := newBody(&http.Request{Body: io.NopCloser(strings.NewReader(text)), ContentLength: n}, x, grpc)
		if err != nil {
			return nil, err
		}
		return io.ReadAll(b)
	}
	for name, tc := range map[string]struct {
		text string
		n    int64
		grpc bool
		want int // of the error; 0: none
	}{
		"declared":        {"012345", 6, false, 413},
		"not declared":    {"012345", -1, false, 413},
		"fits":            {"01234", -1, false, 0},
		"fits, declared":  {"01234", 5, false, 0},
		"nothing":         {"", 0, false, 0},
		"many messages":   {message(5) + message(5), -1, true, 0},
		"one too long":    {message(5) + message(6), -1, true, 413},
		"declared stream": {message(3) + message(3), 16, true, 0},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := body(tc.text, tc.n, tc.grpc)
			if tc.want == 0 {
				require.NoError(t, err)
				require.Equal(t, tc.text, string(got))
				return
			}
			pe, ok := errors.AsType[*proxy.Error](err)
			require.True(t, ok, "%v", err)
			require.Equal(t, tc.want, pe.Status)
		})
	}
}

func TestWriteHead(t *testing.T) {
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
			var h fasthttp.ResponseHeader
			for line := range strings.SplitSeq(strings.TrimSuffix(tc.fields, "\r\n"), "\r\n") {
				k, v, _ := strings.Cut(line, ": ")
				h.Set(k, v)
			}
			dst := http.Header{}
			writeHead(dst, &h, tc.n, tc.head)
			require.Equal(t, tc.want, dst["Content-Length"])
			require.NotContains(t, dst, "Transfer-Encoding")
			require.Contains(t, dst, "Date", "and nil: net/http must not make one")
		})
	}
}
