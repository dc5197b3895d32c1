package hardening

import "strings"

// lengths are about what tells where a request ends.
func lengths() []Case {
	return []Case{
		{Name: "length", Raw: post + "Content-Length: 5\r\n\r\nhello", Rule: "RFC 9112 6.2", Want: received},
		{Name: "length with zeros before it", Raw: post + "Content-Length: 005\r\n\r\nhello", Rule: "RFC 9110 8.6", Want: received},
		{Name: "GET with a body", Raw: get + "Content-Length: 5\r\n\r\nhello", Rule: "RFC 9110 9.3.1", Want: "GET /a h hello | END"},
		{Name: "POST without a length", Raw: post + "\r\n", Rule: "RFC 9112 6.3", Want: "POST /a h | END"},
		{Name: "both lengths", Raw: post + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n" + last, Rule: "own, RFC 9112 6.3", Want: "400"},
		{Name: "both lengths, the other way round", Raw: post + "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n" + last, Rule: "own, RFC 9112 6.3", Want: "400"},
		{Name: "lengths that differ", Raw: post + "Content-Length: 5\r\nContent-Length: 0\r\n\r\nhello", Rule: "RFC 9112 6.3", Want: "400"},
		{Name: "the same length twice", Raw: post + "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", Rule: "own, RFC 9110 8.6", Want: "400"},
		{Name: "the same length twice, in a list", Raw: post + "Content-Length: 5, 5\r\n\r\nhello", Rule: "own, RFC 9110 8.6", Want: "400"},
		{Name: "length with a sign", Raw: post + "Content-Length: +5\r\n\r\nhello", Rule: "RFC 9110 8.6", Want: "400"},
		{Name: "negative length", Raw: post + "Content-Length: -5\r\n\r\nhello", Rule: "RFC 9110 8.6", Want: "400"},
		{Name: "length in hexadecimal", Raw: post + "Content-Length: 0x5\r\n\r\nhello", Rule: "RFC 9110 8.6", Want: "400"},
		{Name: "empty length", Raw: post + "Content-Length:\r\n\r\n", Rule: "RFC 9110 8.6", Want: "400"},
		{Name: "length beyond 64 bits", Raw: post + "Content-Length: 18446744073709551621\r\n\r\nhello", Rule: "RFC 9110 8.6", Want: "400"},
		{Name: "length beyond the limit", Raw: post + "Content-Length: 999999999999\r\n\r\nhello", Rule: "RFC 9110 15.5.14", Want: "413"},
		{Name: "Transfer-Encoding in HTTP/1.0", Raw: "POST /a HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" + last, Rule: "RFC 9112 6.1", Want: "400"},
		{Name: "identity", Raw: post + "Transfer-Encoding: identity\r\n\r\n", Rule: "RFC 9112 6.3", Want: "400"},
		{Name: "identity and a length", Raw: post + "Transfer-Encoding: identity\r\nContent-Length: 5\r\n\r\nhello", Rule: "RFC 9112 6.3", Want: "400"},
		{Name: "gzip below chunked", Raw: post + "Transfer-Encoding: gzip, chunked\r\n\r\n" + last, Rule: "RFC 9112 6.1", Want: "501"},
		{Name: "chunked is not the last", Raw: post + "Transfer-Encoding: chunked, gzip\r\n\r\n" + last, Rule: "RFC 9112 6.3", Want: "400"},
		{Name: "chunked twice", Raw: post + "Transfer-Encoding: chunked, chunked\r\n\r\n" + last, Rule: "RFC 9112 6.1", Want: "400"},
		{Name: "chunked on two lines", Raw: post + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n" + last, Rule: "RFC 9112 6.1", Want: "400"},
		{Name: "chunked behind a control character", Raw: post + "Transfer-Encoding: \x0bchunked\r\n\r\n" + last, Rule: "RFC 9110 5.5", Want: "400"},
		{Name: "chunked in quotes", Raw: post + "Transfer-Encoding: \"chunked\"\r\n\r\n" + last, Rule: "RFC 9112 6.1", Want: "400"},
		{Name: "chunked with a parameter", Raw: post + "Transfer-Encoding: chunked;a=b\r\n\r\n" + last, Rule: "RFC 9112 7.1", Want: "400"},
		{Name: "chunked in capitals", Raw: post + "Transfer-Encoding: CHUNKED\r\n\r\n5\r\nhello\r\n" + last, Rule: "RFC 9112 7", Want: received},
		{Name: "Transfer_Encoding is no length", Raw: post + "Transfer_Encoding: chunked\r\nContent-Length: 5\r\n\r\nhello", Rule: "RFC 9112 6.3", Want: received},
	}
}

// chunks are about the chunked coding.
func chunks() []Case {
	return []Case{
		{Name: "chunks", Raw: chunked + "2\r\nhe\r\n3\r\nllo\r\n" + last, Rule: "RFC 9112 7.1", Want: received},
		{Name: "chunk size in capitals, with zeros", Raw: chunked + "0005\r\nhello\r\n" + last, Rule: "RFC 9112 7.1", Want: received},
		{Name: "last chunk of several zeros", Raw: chunked + "5\r\nhello\r\n000\r\n\r\n", Rule: "RFC 9112 7.1", Want: received},
		{Name: "chunk extension", Raw: chunked + "5;a=b;c=\"d e\"\r\nhello\r\n" + last, Rule: "RFC 9112 7.1.1", Want: received},
		{Name: "chunk extension of megabytes", Raw: chunked + "5;" + strings.Repeat("a", 64<<10) + "\r\nhello\r\n" + last, Rule: "RFC 9112 7.1.1", Want: "400"},
		{Name: "many chunks with extensions", Raw: chunked + strings.Repeat("1;"+strings.Repeat("a", 1000)+"\r\nx\r\n", 60) + last, Rule: "RFC 9112 7.1.1", Want: "400"},
		{Name: "bare LF in a chunk extension", Raw: chunked + "5;a\nhello\r\n" + last, Rule: "RFC 9112 7.1.1", Want: "400"},
		{Name: "bare CR in a chunk extension", Raw: chunked + "5;a\rb\r\nhello\r\n" + last, Rule: "RFC 9112 7.1.1", Want: "400"},
		{Name: "bare LF behind a chunk size", Raw: chunked + "5\nhello\r\n" + last, Rule: "RFC 9112 7.1", Want: "400"},
		{Name: "bare LF behind a chunk", Raw: chunked + "5\r\nhello\n" + last, Rule: "RFC 9112 7.1", Want: "400"},
		{Name: "no chunk size", Raw: chunked + "\r\nhello\r\n" + last, Rule: "RFC 9112 7.1", Want: "400"},
		{Name: "chunk size with 0x", Raw: chunked + "0x5\r\nhello\r\n" + last, Rule: "RFC 9112 7.1", Want: "400"},
		{Name: "negative chunk size", Raw: chunked + "-5\r\nhello\r\n" + last, Rule: "RFC 9112 7.1", Want: "400"},
		{Name: "chunk size with a sign", Raw: chunked + "+5\r\nhello\r\n" + last, Rule: "RFC 9112 7.1", Want: "400"},
		{Name: "blank behind a chunk size", Raw: chunked + "5 \r\nhello\r\n" + last, Rule: "own, RFC 9112 7.1", Want: "400"},
		{Name: "blank before a chunk size", Raw: chunked + " 5\r\nhello\r\n" + last, Rule: "RFC 9112 7.1", Want: "400"},
		{Name: "chunk size beyond 64 bits", Raw: chunked + "10000000000000005\r\nhello\r\n" + last, Rule: "RFC 9112 7.1", Want: "400"},
		{Name: "chunk longer than its size", Raw: chunked + "4\r\nhello\r\n" + last, Rule: "RFC 9112 7.1", Want: "400"},
		{Name: "chunk shorter than its size", Raw: chunked + "6\r\nhello\r\n" + last, Rule: "RFC 9112 7.1", Want: "400"},
	}
}

// trailers are about fields behind the last chunk.
func trailers() []Case {
	const body = chunked + "5\r\nhello\r\n0\r\n"
	return []Case{
		{Name: "trailer", Raw: body + "X: y\r\n\r\n", Rule: "RFC 9112 7.1.2", Want: received},
		{Name: "trailer with a length", Raw: body + "Content-Length: 40\r\n\r\n", Rule: "RFC 9110 6.5.1", Want: "400"},
		{Name: "folded trailer", Raw: body + "X: y\r\n z\r\n\r\n", Rule: "RFC 9112 5.2", Want: "400"},
		{Name: "blank before a trailer's colon", Raw: body + "X : y\r\n\r\n", Rule: "RFC 9112 5.1", Want: "400"},
		{Name: "bare LF ends a trailer", Raw: body + "X: y\n\r\n", Rule: "own, RFC 9112 2.2", Want: "400"},
		{Name: "too many trailers", Raw: body + strings.Repeat("X: y\r\n", 200) + "\r\n", Rule: "RFC 6585 5", Want: "431"},
	}
}

// connections are about what follows, and about what is for one connection only.
func connections() []Case {
	return []Case{
		{Name: "two requests at once", Raw: get + "\r\n" + post + "Content-Length: 5\r\n\r\nhello", Rule: "RFC 9112 9.3.2", Want: "GET /a h | POST /a h hello | END"},
		{Name: "a good one, then a bad one", Raw: get + "\r\nGET /b HTTP/1.1\nHost: h\n\n", Rule: "RFC 9112 2.2", Want: "GET /a h | 400"},
		{Name: "a request in a body", Raw: post + "Content-Length: 33\r\n\r\n" + hidden, Rule: "RFC 9112 6.2", Want: "POST /a h " + flat(hidden) + " | END"},
		{Name: "a request behind both lengths", Raw: post + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n" + last + hidden, Rule: "own, RFC 9112 6.3", Want: "400"},
		{Name: "Connection: close", Raw: get + "Connection: close\r\n\r\n" + hidden, Rule: "RFC 9112 9.6", Want: "GET /a h"},
		{Name: "HTTP/1.0 that stays", Raw: "GET /a HTTP/1.0\r\nHost: h\r\nConnection: keep-alive\r\n\r\n", Rule: "RFC 9112 C.2.2", Want: passed},
		{Name: "names in Connection go no further", Raw: get + "Connection: x-secret\r\nX-Secret: 1\r\n\r\n", Rule: "RFC 9110 7.6.1", Want: passed},
		{Name: "Connection cannot take the length away", Raw: post + "Connection: content-length\r\nContent-Length: 5\r\n\r\nhello", Rule: "own, RFC 9110 7.6.1", Want: received},
		{Name: "Keep-Alive, TE, Proxy-Connection go no further", Raw: get + "Keep-Alive: 1\r\nTE: gzip\r\nProxy-Connection: close\r\n\r\n", Rule: "RFC 9110 7.6.1", Want: passed},
		{Name: "Upgrade to what is not known", Raw: get + "Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n", Rule: "RFC 9110 7.8", Want: passed},
		{Name: "Expect: 100-continue", Raw: post + "Expect: 100-continue\r\nContent-Length: 5\r\n\r\nhello", Rule: "RFC 9110 10.1.1", Want: "100 | " + received},
		{Name: "Expect: 100-continue in HTTP/1.0", Raw: "POST /a HTTP/1.0\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello", Rule: "RFC 9110 10.1.1", Want: "POST /a h hello"},
		{Name: "another expectation", Raw: post + "Expect: 200-ok\r\nContent-Length: 5\r\n\r\nhello", Rule: "RFC 9110 10.1.1", Want: "417"},
		{Name: "preface of HTTP/2, half of it", Raw: "PRI * HTTP/2.0\r\n\r\nGET", Rule: "RFC 9113 3.4", Want: "400"},
	}
}

// flat is a body as it stands in an answer.
func flat(s string) string { return strings.ReplaceAll(s, "\r\n", "~") }
