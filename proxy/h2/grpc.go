package h2

import (
	"encoding/binary"
	"net/http"
	"strconv"
	"time"

	"github.com/fridaymesh/friday/proxy"
)

// The codes in use (https://grpc.github.io/grpc/core/md_doc_statuscodes.html).
const (
	codeCancelled         = 1
	codeUnknown           = 2
	codeDeadlineExceeded  = 4
	codePermissionDenied  = 7
	codeResourceExhausted = 8
	codeUnimplemented     = 12
	codeInternal          = 13
	codeUnavailable       = 14
	codeUnauthenticated   = 16
)

// code is the gRPC status of an error: that of its HTTP status
// (https://github.com/grpc/grpc/blob/master/doc/http-grpc-status-mapping.md), but
// where Friday knows better than a status can say.
func code(pe *proxy.Error) int {
	if pe.GRPC > 0 {
		return pe.GRPC
	}
	switch pe.Flag { //nolint:exhaustive // the others are told by their status
	case proxy.FlagTimeout:
		return codeDeadlineExceeded
	case proxy.FlagDownstreamGone:
		return codeCancelled
	case proxy.FlagDownstreamTooLarge:
		return codeResourceExhausted
	case proxy.FlagInternal:
		return codeInternal
	}
	switch pe.Status {
	case http.StatusBadRequest:
		return codeInternal
	case http.StatusUnauthorized:
		return codeUnauthenticated
	case http.StatusForbidden:
		return codePermissionDenied
	case http.StatusNotFound:
		return codeUnimplemented
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return codeUnavailable
	}
	return codeUnknown
}

// grpcAnswer tells a gRPC caller of an error: head and trailers in one, and no body.
func grpcAnswer(pe *proxy.Error) *proxy.Response {
	r := proxy.NewResponse()
	r.Header.SetStatusCode(http.StatusOK)
	r.Header.SetContentType("application/grpc")
	r.Header.Set("grpc-status", strconv.Itoa(code(pe)))
	message := pe.Message
	if message == "" {
		message = http.StatusText(pe.Status)
	}
	r.Header.Set("grpc-message", percentEncoded(message))
	if pe.RetryAfter > 0 {
		// https://github.com/grpc/proposal/blob/master/A6-client-retries.md#pushback
		r.Header.Set("grpc-retry-pushback-ms", strconv.FormatInt(pe.RetryAfter.Milliseconds(), 10))
	}
	if pe.Decorate != nil {
		pe.Decorate(&r.Header)
	}
	return r
}

// percentEncoded is a grpc-message: everything but visible ASCII and blanks, and the
// percent sign, is encoded.
func percentEncoded(s string) string {
	const hex = "0123456789ABCDEF"
	out := make([]byte, 0, len(s))
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '%' {
			out = append(out, '%', hex[c>>4], hex[c&15])
		} else {
			out = append(out, c)
		}
	}
	return string(out)
}

// timeout reads a grpc-timeout: at most eight digits, and a unit. One that cannot be
// read is the server's to complain of.
func timeout(v []byte) (time.Duration, bool) {
	if len(v) < 2 || len(v) > 9 {
		return 0, false
	}
	var unit time.Duration
	switch v[len(v)-1] {
	case 'H':
		unit = time.Hour
	case 'M':
		unit = time.Minute
	case 'S':
		unit = time.Second
	case 'm':
		unit = time.Millisecond
	case 'u':
		unit = time.Microsecond
	case 'n':
		unit = time.Nanosecond
	default:
		return 0, false
	}
	n, err := strconv.ParseUint(string(v[:len(v)-1]), 10, 32)
	if err != nil {
		return 0, false
	}
	const most = uint64(1<<63 - 1)
	u := uint64(unit) // #nosec G115 -- positive
	if n > most/u {
		return time.Duration(most), true
	}
	return time.Duration(n * u), true // #nosec G115 -- at most most
}

// messages holds each message of a gRPC stream to a limit, by the length that stands
// before it: a byte that says whether it is compressed, and four bytes, the most
// significant first.
type messages struct {
	limit int64
	head  [5]byte
	have  int   // of head
	left  int64 // of the message
}

// pass reads on; false where a message is over the limit.
func (m *messages) pass(p []byte) bool {
	for len(p) > 0 {
		if m.left > 0 {
			n := min(int64(len(p)), m.left)
			m.left -= n
			p = p[n:]
			continue
		}
		n := copy(m.head[m.have:], p)
		m.have += n
		p = p[n:]
		if m.have == len(m.head) {
			m.have = 0
			m.left = int64(binary.BigEndian.Uint32(m.head[1:]))
			if m.left > m.limit {
				return false
			}
		}
	}
	return true
}
