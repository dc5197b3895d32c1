package format_test

import (
	"bufio"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp"

	"github.com/fridaymesh/friday/proxy"
	"github.com/fridaymesh/friday/proxy/format"
)

func facts(t testing.TB) *format.Facts {
	t.Helper()
	h := &fasthttp.RequestHeader{}
	h.DisableNormalizing()
	require.NoError(t, h.Read(bufio.NewReader(strings.NewReader("GET /a/b?c=d&e HTTP/1.1\r\nHost: h:1\r\nX-One: 1\r\nx-one: 2\r\n\r\n"))))
	r := proxy.NewResponse()
	r.Header.SetStatusCode(503)
	proxy.AddField(&r.Header, "X-Out", "y")
	return &format.Facts{
		Request: &proxy.Request{
			Metadata: map[string]map[string]any{"f": {"k": map[string]any{"in": "text"}}},
			Header:   h, Protocol: "http1", Route: "r", VirtualHost: "v", Cluster: "c",
			Start:  time.Date(2026, 2, 3, 4, 5, 6, 789123456, time.UTC),
			Remote: &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 99}, Local: &net.TCPAddr{IP: net.IPv4(10, 0, 0, 2), Port: 80},
			Trace: proxy.Trace{Attempts: 2, Upstream: "10.0.0.3:8000"},
		},
		Response: &r.Header, Status: 503, Err: &proxy.Error{Status: 503, Flag: proxy.FlagUpstreamReset},
		Sent: 7, Received: 5, Duration: 1234567 * time.Microsecond, LocalBody: "text",
	}
}

func TestCommands(t *testing.T) {
	f := facts(t)
	for text, want := range map[string]string{
		"plain":                                "plain",
		"100%%":                                "100%",
		"%REQ(:METHOD)% %REQ(:path)%":          "GET /a/b?c=d&e",
		"%REQ_WITHOUT_QUERY(:PATH)%":           "/a/b",
		"%REQ(X-ENVOY-ORIGINAL-PATH?:PATH):4%": "/a/b",
		"%REQ(:authority)%":                    "h:1",
		"%REQ(X-ONE)%|%REQ(absent)%":           "1|-",
		"%RESP(x-out)% %TRAILER(x)%":           "y -",
		"%RESPONSE_CODE% %RESPONSE_FLAGS%":     "503 UC",
		"%RESPONSE_CODE_DETAILS%":              "upstream_reset_before_response_started{connection_termination}",
		"%BYTES_RECEIVED% %BYTES_SENT%":        "5 7",
		"%DURATION%ms":                         "1234ms",
		"%PROTOCOL% %ROUTE_NAME%":              "HTTP/1.1 r",
		"%VIRTUAL_HOST_NAME%":                  "v",
		"%UPSTREAM_CLUSTER% %UPSTREAM_HOST%":   "c 10.0.0.3:8000",
		"%UPSTREAM_REQUEST_ATTEMPT_COUNT%":     "2",
		"%DOWNSTREAM_REMOTE_ADDRESS%":          "10.0.0.1:99",
		"%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% %DOWNSTREAM_LOCAL_PORT%": "10.0.0.1 80",
		"%START_TIME%": "2026-02-03T04:05:06.789Z",
		"%START_TIME(%Y/%m/%d %H:%M:%S.%6f %s %%)%": "2026/02/03 04:05:06.789123 1770091506 %",
		"%QUERY_PARAM(c)%":                          "d",
		"%DYNAMIC_METADATA(a:b)%":                   "-",
		"%DYNAMIC_METADATA(f:k:in)% %DYNAMIC_METADATA(f:k)% %DYNAMIC_METADATA(f:k:in:x)%": `text {"in":"text"} -`,
		"%LOCAL_REPLY_BODY%": "text",
	} {
		c, err := format.New(text, "-")
		require.NoError(t, err, text)
		require.Equal(t, want, c.String(f), text)
	}
}

func TestRefused(t *testing.T) {
	for _, text := range []string{
		"%", "%nothing%", "%REQ", "%REQ(a%", "%REQ%", "%REQ()%", "%REQ(a?)%", "%UNHEARD_OF%", "%PROTOCOL(x)%",
		"%REQ(a):%", "50% off", "%START_TIME(%Q)%", "%START_TIME(%)%", "%DYNAMIC_METADATA%",
	} {
		_, err := format.New(text, "-")
		require.Error(t, err, text)
	}
}

func TestJSON(t *testing.T) {
	j, err := format.NewJSON(map[string]any{
		"code": "%RESPONSE_CODE%", "none": "%REQ(absent)%", "mix": "%PROTOCOL% %REQ(absent)%",
		"in": map[string]any{"list": []any{"%ROUTE_NAME%", 1.5, true}}, "quote": `"%REQ(:METHOD)%`,
	})
	require.NoError(t, err)
	require.Equal(t, `{"code":503,"in":{"list":["r",1.5,true]},"mix":"HTTP/1.1 -","none":null,"quote":"\"GET"}`+"\n", string(j.Append(nil, facts(t))))
	_, err = format.NewJSON(map[string]any{"a": map[string]any{"b": "%X"}})
	require.ErrorContains(t, err, "a: b: ")
}

func FuzzNew(f *testing.F) {
	for _, s := range []string{"%REQ(a?b):3%", "%%", "%START_TIME(%3f)%", "a%RESP(b)%c"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if c, err := format.New(s, "-"); err == nil {
			_ = c.String(facts(t))
		}
	})
}
