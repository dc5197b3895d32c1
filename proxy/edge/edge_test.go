package edge_test

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp"

	"github.com/fridaymesh/friday/proxy"
	"github.com/fridaymesh/friday/proxy/edge"
	"github.com/fridaymesh/friday/proxy/format"
)

func request(t testing.TB, text string) *proxy.Request {
	t.Helper()
	h := &fasthttp.RequestHeader{}
	h.DisableNormalizing()
	h.SetNoDefaultContentType(true)
	require.NoError(t, h.Read(bufio.NewReader(strings.NewReader(strings.ReplaceAll(text, "\n", "\r\n")+"\r\n\r\n"))))
	return &proxy.Request{
		Header: h, Body: proxy.NoBody, Protocol: "http1",
		Remote: &net.TCPAddr{IP: net.IPv4(9, 9, 9, 9), Port: 1}, Local: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 80},
	}
}

func TestNothingIsAddedUnasked(t *testing.T) {
	req := request(t, "GET /a/../b HTTP/1.1\nHost: h:80\nX-Forwarded-For: 1.2.3.4")
	before := req.Header.String()
	resp, err := edge.New(edge.Config{}).Arrive(req)
	require.NoError(t, err)
	require.Nil(t, resp)
	require.Equal(t, before, req.Header.String())
	require.Equal(t, "1.2.3.4:0", req.Remote.String(), "who the caller is")
	require.Equal(t, "9.9.9.9:1", req.Peer.String())
	resp = proxy.NewResponse()
	before = resp.Header.String()
	edge.New(edge.Config{}).Leave(req, resp)
	require.Equal(t, before, resp.Header.String())
}

func TestPaths(t *testing.T) {
	for _, c := range []struct {
		paths      edge.Paths
		sent, want string
	}{
		{edge.Paths{Normalize: true}, "/a/./b/../c?x=/../y", "/a/c?x=/../y"},
		{edge.Paths{Normalize: true}, "/../%7Ea/%2e%2e/b%2Fc", "/b%2Fc"},
		{edge.Paths{Normalize: true}, `/a\b/..;x/c`, "/a/c"},
		{edge.Paths{Normalize: true}, "/a%zz", "/a%zz"},
		{edge.Paths{MergeSlashes: true}, "//a///b?c=//", "/a/b?c=//"},
		{edge.Paths{Escaped: edge.ForwardUnescaped, Normalize: true}, "/a%2F..%2fb", "/b"},
		{edge.Paths{Escaped: edge.RefuseEscaped}, "/a%2fb", "400"},
		{edge.Paths{Escaped: edge.RedirectUnescaped}, "/a%2fb?c", "307 /a/b?c"},
		{edge.Paths{Normalize: true}, "*", "*"},
	} {
		method := "GET "
		if c.sent == "*" {
			method = "OPTIONS "
		}
		req := request(t, method+c.sent+" HTTP/1.1\nHost: h")
		resp, err := edge.New(edge.Config{Paths: c.paths}).Arrive(req)
		got := string(req.Header.RequestURI())
		switch {
		case err != nil:
			got = "400"
		case resp != nil:
			got = "307 " + string(resp.Header.Peek("location"))
		}
		require.Equal(t, c.want, got, c.sent)
	}
}

func TestHostsAndOrigin(t *testing.T) {
	for host, want := range map[string]string{"h.test.:80": "h.test", "h.test:81": "h.test:81", "[::1]:80": "[::1]", "[::1]": "[::1]"} {
		req := request(t, "GET / HTTP/1.1\nHost: "+host)
		_, err := edge.New(edge.Config{Hosts: edge.Hosts{StripMatchingPort: true, StripDot: true}}).Arrive(req)
		require.NoError(t, err)
		require.Equal(t, want, string(req.Header.Host()))
	}
	req := request(t, "GET / HTTP/1.1\nHost: h\nx-forwarded-for: 1.1.1.1, 2.2.2.2\nvia: a\nX-Request-Id: theirs")
	e := edge.New(edge.Config{Origin: edge.Origin{Connection: true, Hops: 1}, Via: "b", RequestID: true})
	_, err := e.Arrive(req)
	require.NoError(t, err)
	require.Equal(t, "2.2.2.2:0", req.Remote.String())
	forwarded, _ := proxy.FieldValue(req.Header, "x-forwarded-for")
	require.Equal(t, "1.1.1.1, 2.2.2.2,9.9.9.9", forwarded)
	via, _ := proxy.FieldValue(req.Header, "via")
	require.Equal(t, "a, b", via)
	id, _ := proxy.FieldValue(req.Header, "x-request-id")
	require.Len(t, id, 36, "an id from outside is not kept")
}

// The caller must not be able to say who it is.
func TestClientCertificates(t *testing.T) {
	u, err := url.Parse("spiffe://a/b")
	require.NoError(t, err)
	state := &tls.ConnectionState{PeerCertificates: []*x509.Certificate{{Raw: []byte("x"), URIs: []*url.URL{u}}}}
	const own = "Hash=2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881;URI=spiffe://a/b"
	for _, c := range []struct {
		mode edge.ClientCert
		tls  *tls.ConnectionState
		want string
	}{
		{edge.SanitizeCert, nil, ""},
		{edge.SanitizeCert, state, ""},
		{edge.ForwardCert, nil, ""},
		{edge.ForwardCert, state, "theirs"},
		{edge.AppendCert, nil, ""},
		{edge.AppendCert, state, "theirs," + own},
		{edge.SetCert, state, own},
		{edge.AlwaysForwardCert, nil, "theirs"},
	} {
		req := request(t, "GET / HTTP/1.1\nHost: h\nX-Forwarded-Client-CERT: theirs")
		req.TLS = c.tls
		_, err := edge.New(edge.Config{ClientCert: c.mode, CertDetails: edge.CertDetails{URI: true}}).Arrive(req)
		require.NoError(t, err)
		got, _ := proxy.FieldValue(req.Header, "x-forwarded-client-cert")
		require.Equal(t, c.want, got, c.mode)
	}
}

func TestLocalReplies(t *testing.T) {
	gone, text := "gone", format.BodyFormat{}
	var err error
	text.Text, err = format.New("<%LOCAL_REPLY_BODY% %RESPONSE_CODE%>", "-")
	require.NoError(t, err)
	e := edge.New(edge.Config{
		Server: "mesh",
		Local: &edge.Local{Format: &text, Mappers: []edge.Mapper{
			{When: func(f *format.Facts) bool { return f.Status == 404 }, Status: 410, Body: &gone},
		}},
	})
	req := request(t, "GET / HTTP/1.1\nHost: h")
	for status, want := range map[int]string{404: "410 <gone 410>", 503: "503 <busy 503>"} {
		resp := e.Reply(req, &proxy.Error{Status: status, Message: "busy"})
		body := resp.Body.(*proxy.BytesBody).Bytes()
		require.Equal(t, want, want[:3]+" "+string(body))
		require.Equal(t, want[:3], resp.Header.String()[9:12])
		require.Equal(t, "mesh", string(resp.Header.Server()))
	}
	require.NotNil(t, (*edge.Edge)(nil).Reply(req, &proxy.Error{Status: 500}))
}

func FuzzPaths(f *testing.F) {
	f.Add("/a/../b%2F%2e", uint8(7))
	f.Fuzz(func(t *testing.T, path string, bits uint8) {
		h := &fasthttp.RequestHeader{}
		h.SetRequestURI("/" + path)
		req := &proxy.Request{Header: h}
		e := edge.New(edge.Config{Paths: edge.Paths{Normalize: bits&1 != 0, MergeSlashes: bits&2 != 0, Escaped: edge.Escaped(bits >> 2 & 3)}})
		resp, err := e.Arrive(req)
		if err == nil && resp == nil {
			require.Equal(t, byte('/'), h.RequestURI()[0])
		}
	})
}
