package hardening

import "strings"

// lines are about the ends of lines and the request line.
func lines() []Case {
	return []Case{
		{Name: "plain", Raw: get + "\r\n", Rule: "RFC 9112 3", Want: passed},
		{Name: "empty line before it", Raw: "\r\n" + get + "\r\n", Rule: "RFC 9112 2.2", Want: passed},
		{Name: "bare LF ends the request line", Raw: "GET /a HTTP/1.1\nHost: h\r\n\r\n", Rule: "own, RFC 9112 2.2", Want: "400"},
		{Name: "bare LF ends a field", Raw: "GET /a HTTP/1.1\r\nHost: h\nX: y\r\n\r\n", Rule: "own, RFC 9112 2.2", Want: "400"},
		{Name: "bare LF ends the head", Raw: "GET /a HTTP/1.1\r\nHost: h\r\n\n", Rule: "own, RFC 9112 2.2", Want: "400"},
		{Name: "bare CR in the request line", Raw: "GET /a\rb HTTP/1.1\r\nHost: h\r\n\r\n", Rule: "RFC 9112 2.2", Want: "400"},
		{Name: "bare CR in a field", Raw: get + "X: a\rb: c\r\n\r\n", Rule: "RFC 9112 2.2", Want: "400"},
		{Name: "two CRs before LF", Raw: get + "X: a\r\r\n\r\n", Rule: "RFC 9112 2.2", Want: "400"},
		{Name: "HTTP/0.9", Raw: "GET /a\r\n\r\n", Rule: "RFC 9112 3", Want: "400"},
		{Name: "two blanks before the target", Raw: "GET  /a HTTP/1.1\r\nHost: h\r\n\r\n", Rule: "own, RFC 9112 3", Want: "400"},
		{Name: "two blanks before the version", Raw: "GET /a  HTTP/1.1\r\nHost: h\r\n\r\n", Rule: "own, RFC 9112 3", Want: "400"},
		{Name: "tab after the method", Raw: "GET\t/a HTTP/1.1\r\nHost: h\r\n\r\n", Rule: "own, RFC 9112 3", Want: "400"},
		{Name: "blank behind the version", Raw: "GET /a HTTP/1.1 \r\nHost: h\r\n\r\n", Rule: "own, RFC 9112 3", Want: "400"},
		{Name: "blank before the method", Raw: " GET /a HTTP/1.1\r\nHost: h\r\n\r\n", Rule: "RFC 9112 3", Want: "400"},
		{Name: "version in lower case", Raw: "GET /a http/1.1\r\nHost: h\r\n\r\n", Rule: "RFC 9112 2.3", Want: "400"},
		{Name: "HTTP/1.2", Raw: "GET /a HTTP/1.2\r\nHost: h\r\n\r\n", Rule: "own, RFC 9110 2.5", Want: "505"},
		{Name: "HTTP/2.0 in a request line", Raw: "GET /a HTTP/2.0\r\nHost: h\r\n\r\n", Rule: "RFC 9110 15.6.6", Want: "505"},
		{Name: "HTTP/11.1", Raw: "GET /a HTTP/11.1\r\nHost: h\r\n\r\n", Rule: "RFC 9112 2.3", Want: "400"},
		{Name: "unknown method", Raw: "BREW /a HTTP/1.1\r\nHost: h\r\n\r\n", Rule: "RFC 9110 9.1", Want: "BREW /a h | END"},
		{Name: "method in lower case is another method", Raw: "get /a HTTP/1.1\r\nHost: h\r\n\r\n", Rule: "RFC 9110 9.1", Want: "get /a h | END"},
		{Name: "no token as method", Raw: "GE(T /a HTTP/1.1\r\nHost: h\r\n\r\n", Rule: "RFC 9110 5.6.2", Want: "400"},
		{Name: "TLS on a port without", Raw: "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", Rule: "RFC 9112 3", Want: "400"},
	}
}

// targets are about what is asked for.
func targets() []Case {
	return []Case{
		{Name: "escapes stay as they are", Raw: "GET /a%2fb/%41?q=%20+ HTTP/1.1\r\nHost: h\r\n\r\n", Rule: "RFC 9110 4.2.3", Want: "GET /a%2fb/%41?q=%20+ h | END"},
		{Name: "dot segments stay as they are", Raw: "GET /a/../b//c HTTP/1.1\r\nHost: h\r\n\r\n", Rule: "RFC 9110 4.2.3", Want: "GET /a/../b//c h | END"},
		{Name: "absolute form", Raw: "GET http://h/a HTTP/1.1\r\nHost: h\r\n\r\n", Rule: "RFC 9112 3.2.2", Want: passed},
		{Name: "absolute form, another Host", Raw: "GET http://h/a HTTP/1.1\r\nHost: other\r\n\r\n", Rule: "RFC 9112 3.2.2", Want: passed},
		{Name: "absolute form without a path", Raw: "GET http://h?q HTTP/1.1\r\nHost: h\r\n\r\n", Rule: "RFC 9112 3.2.2", Want: "GET /?q h | END"},
		{Name: "absolute form, other scheme", Raw: "GET ftp://h/a HTTP/1.1\r\nHost: h\r\n\r\n", Rule: "own, RFC 9112 3.2.2", Want: "400"},
		{Name: "absolute form, user in it", Raw: "GET http://u@h/a HTTP/1.1\r\nHost: h\r\n\r\n", Rule: "RFC 9110 4.2.4", Want: "400"},
		{Name: "absolute form, no host", Raw: "GET http:///a HTTP/1.1\r\nHost: h\r\n\r\n", Rule: "RFC 9110 4.2.1", Want: "400"},
		{Name: "no slash", Raw: "GET a HTTP/1.1\r\nHost: h\r\n\r\n", Rule: "RFC 9112 3.2", Want: "400"},
		{Name: "asterisk of GET", Raw: "GET * HTTP/1.1\r\nHost: h\r\n\r\n", Rule: "RFC 9112 3.2.4", Want: "400"},
		{Name: "fragment", Raw: "GET /a#b HTTP/1.1\r\nHost: h\r\n\r\n", Rule: "RFC 9112 3.2", Want: "400"},
		{Name: "NUL in the target", Raw: "GET /a\x00b HTTP/1.1\r\nHost: h\r\n\r\n", Rule: "RFC 9112 3.2", Want: "400"},
		{Name: "DEL in the target", Raw: "GET /a\x7fb HTTP/1.1\r\nHost: h\r\n\r\n", Rule: "RFC 9112 3.2", Want: "400"},
		{Name: "longer than is read", Raw: "GET /" + strings.Repeat("a", 20<<10) + " HTTP/1.1\r\nHost: h\r\n\r\n", Rule: "RFC 9112 3", Want: "414"},
	}
}

// fields are about single lines of the head.
func fields() []Case {
	return []Case{
		{Name: "folded line", Raw: get + "X: a\r\n b\r\n\r\n", Rule: "RFC 9112 5.2", Want: "400"},
		{Name: "first line begins with a blank", Raw: "GET /a HTTP/1.1\r\n Host: h\r\n\r\n", Rule: "RFC 9112 2.2", Want: "400"},
		{Name: "blank before the colon", Raw: get + "X : a\r\n\r\n", Rule: "RFC 9112 5.1", Want: "400"},
		{Name: "tab before the colon", Raw: post + "Content-Length\t: 5\r\n\r\nhello", Rule: "RFC 9112 5.1", Want: "400"},
		{Name: "blank in a name", Raw: get + "X Y: a\r\n\r\n", Rule: "RFC 9110 5.1", Want: "400"},
		{Name: "no name", Raw: get + ": a\r\n\r\n", Rule: "RFC 9110 5.1", Want: "400"},
		{Name: "no colon", Raw: get + "X\r\n\r\n", Rule: "RFC 9112 5", Want: "400"},
		{Name: "no token as name", Raw: get + "X(): a\r\n\r\n", Rule: "RFC 9110 5.1", Want: "400"},
		{Name: "letters beyond ASCII in a name", Raw: get + "X\xc3\xa9: a\r\n\r\n", Rule: "RFC 9110 5.1", Want: "400"},
		{Name: "NUL in a name", Raw: get + "X\x00: a\r\n\r\n", Rule: "RFC 9110 5.1", Want: "400"},
		{Name: "NUL in a value", Raw: get + "X: a\x00b\r\n\r\n", Rule: "RFC 9110 5.5", Want: "400"},
		{Name: "control character in a value", Raw: get + "X: a\x01b\r\n\r\n", Rule: "own, RFC 9110 5.5", Want: "400"},
		{Name: "tab in a value", Raw: get + "X: a\tb\r\n\r\n", Rule: "RFC 9110 5.5", Want: passed},
		{Name: "letters beyond ASCII in a value", Raw: get + "X: \xc3\xa9\xff\r\n\r\n", Rule: "RFC 9110 5.5", Want: passed},
		{Name: "empty value", Raw: get + "X:\r\n\r\n", Rule: "RFC 9110 5.5", Want: passed},
		{Name: "underscore in a name", Raw: get + "Content_Length: 5\r\n\r\n", Rule: "RFC 9110 5.6.2", Want: passed},
		{Name: "a hundred fields", Raw: get + strings.Repeat("X: a\r\n", 99) + "\r\n", Rule: "RFC 6585 5", Want: passed},
		{Name: "more than a hundred fields", Raw: get + strings.Repeat("X: a\r\n", 100) + "\r\n", Rule: "RFC 6585 5", Want: "431"},
		{Name: "head larger than is read", Raw: get + "X: " + strings.Repeat("a", 20<<10) + "\r\n\r\n", Rule: "RFC 6585 5", Want: "431"},
	}
}

// hosts are about Host.
func hosts() []Case {
	return []Case{
		{Name: "no Host", Raw: "GET /a HTTP/1.1\r\n\r\n", Rule: "RFC 9112 3.2", Want: "400"},
		{Name: "two Hosts", Raw: get + "Host: other\r\n\r\n", Rule: "RFC 9112 3.2", Want: "400"},
		{Name: "the same Host twice", Raw: get + "Host: h\r\n\r\n", Rule: "RFC 9112 3.2", Want: "400"},
		{Name: "Host with a path", Raw: "GET /a HTTP/1.1\r\nHost: h/b\r\n\r\n", Rule: "RFC 9112 3.2", Want: "400"},
		{Name: "Host with a user", Raw: "GET /a HTTP/1.1\r\nHost: u@h\r\n\r\n", Rule: "RFC 9112 3.2", Want: "400"},
		{Name: "Host with a blank", Raw: "GET /a HTTP/1.1\r\nHost: h b\r\n\r\n", Rule: "RFC 9112 3.2", Want: "400"},
		{Name: "empty Host", Raw: "GET /a HTTP/1.1\r\nHost:\r\n\r\n", Rule: "own, RFC 9110 4.2.1", Want: "400"},
		{Name: "Host with a port", Raw: "GET /a HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", Rule: "RFC 9112 3.2", Want: "GET /a [::1]:80 | END"},
		{Name: "HTTP/1.0 without Host", Raw: "GET /a HTTP/1.0\r\n\r\n", Rule: "RFC 9112 3.2", Want: "GET /a SERVER"},
		{Name: "HTTP/1.0, two Hosts", Raw: "GET /a HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", Rule: "RFC 9112 3.2", Want: "400"},
	}
}
