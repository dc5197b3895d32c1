package http2

import "strings"

// Word makes a string of b without making one where it is usual.
func Word(b []byte) string {
	if s, ok := usual[string(b)]; ok {
		return s
	}
	return string(b)
}

// Name is a field's name as HTTP/2 has it, in lower case.
func Name(name []byte) string {
	if s, ok := lower[string(name)]; ok {
		return s
	}
	return strings.ToLower(string(name))
}

// usual are values that heads are mostly made of, lower names as HTTP/1.1 and HTTP/2
// write them.
var (
	usual = words( //nolint:gochecknoglobals // immutable
		"GET", "POST", "200", "application/json", "application/grpc", "application/grpc+proto", "trailers", "gzip", "*/*",
		"identity", "text/event-stream", "no-cache", "0", "",
	)
	lower = names( //nolint:gochecknoglobals // immutable
		"Accept", "Accept-Encoding", "Authorization", "Cache-Control", "Content-Length", "Content-Type", "Connection", "Cookie",
		"Date", "Grpc-Accept-Encoding", "Grpc-Encoding", "Grpc-Message", "Grpc-Status", "Grpc-Timeout", "Host", "Server",
		"Te", "Traceparent", "Tracestate", "Transfer-Encoding", "User-Agent", "X-Forwarded-For", "X-Forwarded-Proto",
		"X-Request-Id",
	)
)

func words(all ...string) map[string]string {
	m := make(map[string]string, len(all))
	for _, w := range all {
		m[w] = w
	}
	return m
}

func names(all ...string) map[string]string {
	m := make(map[string]string, 2*len(all))
	for _, n := range all {
		l := strings.ToLower(n)
		m[n], m[l] = l, l
	}
	return m
}
