package proxy_test

import (
	"bufio"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp"

	"github.com/fridaymesh/friday/proxy"
)

func head(t testing.TB, text string) *fasthttp.RequestHeader {
	t.Helper()
	h := &fasthttp.RequestHeader{}
	h.DisableNormalizing()
	h.SetNoDefaultContentType(true)
	require.NoError(t, h.Read(bufio.NewReader(strings.NewReader(strings.ReplaceAll(text, "\n", "\r\n")+"\r\n\r\n"))))
	return h
}

func TestFieldsInAnyCase(t *testing.T) {
	h := head(t, "POST / HTTP/1.1\nHost: h\nX-Y: 1\nx-tail: a\nx-y: 2\nX-tail: b\ncontent-type: t\nx-z: 1\nx-z: 2\nx-z: 3\nCookie: a=1;  b=2")
	require.Equal(t, []string{"1", "2"}, proxy.FieldValues(h, "x-Y"))
	value, ok := proxy.FieldValue(h, "X-TAIL")
	require.True(t, ok)
	require.Equal(t, "a,b", value)
	require.Equal(t, []string{"t"}, proxy.FieldValues(h, "Content-Type"))
	require.Equal(t, []string{"h"}, proxy.FieldValues(h, "host"))
	_, ok = proxy.FieldValue(h, "absent")
	require.False(t, ok)

	proxy.RemoveField(h, "X-Y")
	require.Empty(t, proxy.FieldValues(h, "x-y"))
	require.Equal(t, []string{"1", "2", "3"}, proxy.FieldValues(h, "x-z"), "in order")
	require.Equal(t, []string{"a=1;  b=2"}, proxy.FieldValues(h, "cookie"), "to the letter")
	proxy.SetField(h, "X-Z", "4")
	proxy.AddField(h, "x-z", "5")
	require.Equal(t, []string{"4", "5"}, proxy.FieldValues(h, "x-z"))
	proxy.SetField(h, "content-type", "u")
	require.Equal(t, "u", string(h.ContentType()))
	proxy.RemoveField(h, "Content-Type")
	require.Empty(t, h.ContentType())
}

func TestFieldsOfAResponse(t *testing.T) {
	r := proxy.NewResponse()
	defer func() { require.NoError(t, r.Close()) }()
	for _, f := range [][2]string{{"Set-Cookie", "a=1"}, {"x-a", "1"}, {"Server", "s"}, {"set-cookie", "b=2"}, {"x-b", "1"}, {"X-A", "2"}, {"x-b", "2"}} {
		proxy.AddField(&r.Header, f[0], f[1])
	}
	require.Equal(t, []string{"a=1", "b=2"}, proxy.FieldValues(&r.Header, "set-cookie"))
	proxy.RemoveField(&r.Header, "x-a")
	require.Empty(t, proxy.FieldValues(&r.Header, "x-a"))
	require.Equal(t, []string{"1", "2"}, proxy.FieldValues(&r.Header, "x-b"))
	proxy.SetField(&r.Header, "server", "t")
	require.Equal(t, []string{"t"}, proxy.FieldValues(&r.Header, "server"))
}
