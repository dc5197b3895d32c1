package listener

import "bytes"

// maxLine bounds the bytes that are looked at for a request line, as in Envoy.
const maxLine = 64 << 10

// preface2 is what HTTP/2 begins with (RFC 9113 section 3.4).
const preface2 = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

// readProtocol looks for a request and says in which HTTP: http/1.0, http/1.1 or h2c.
func readProtocol(b []byte) (protocol string, v verdict) {
	n := min(len(b), len(preface2))
	if string(b[:n]) == preface2[:n] {
		if n == len(preface2) {
			return "h2c", yes
		}
		return "", undecided
	}
	line, _, whole := bytes.Cut(b, []byte{'\n'})
	// A method: letters, up to a space.
	for i, ch := range line {
		if ch == ' ' && i > 0 {
			break
		}
		if !token(ch) || i == maxMethod {
			return "", no
		}
	}
	if !whole {
		if len(b) >= maxLine {
			return "", no
		}
		return "", undecided
	}
	line = bytes.TrimSuffix(line, []byte{'\r'})
	for _, p := range []string{"HTTP/1.1", "HTTP/1.0"} {
		rest, ok := bytes.CutSuffix(line, []byte(" "+p))
		if method, target, spaced := bytes.Cut(rest, []byte{' '}); ok && spaced && len(method) > 0 && len(target) > 0 {
			return map[string]string{"HTTP/1.1": "http/1.1", "HTTP/1.0": "http/1.0"}[p], yes
		}
	}
	return "", no
}

// maxMethod is longer than any method that is known.
const maxMethod = 32

// token says that ch may stand in a method (RFC 9110 section 5.6.2).
func token(ch byte) bool {
	return ch >= 'A' && ch <= 'Z' || ch >= 'a' && ch <= 'z' || ch >= '0' && ch <= '9' || bytes.IndexByte([]byte("!#$%&'*+-.^_`|~"), ch) >= 0
}
