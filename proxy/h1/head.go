package h1

import (
	"bytes"

	"github.com/valyala/fasthttp"

	"github.com/fridaymesh/friday/proxy"
	"github.com/fridaymesh/friday/proxy/config"
)

// head is what the lines of a request's head have said so far of its framing.
type head struct {
	http10  bool
	chunked bool
	length  int64 // -1: none was told
	asks    bool  // for another protocol

	fields, hosts      int
	sized, coded       bool // Content-Length, Transfer-Encoding
	upgrade, connected bool // Upgrade, Connection: upgrade
}

// first takes the request line (RFC 9112 section 3).
func (h *head) first(line []byte) error {
	h.length = -1
	i := bytes.IndexByte(line, ' ')
	if i <= 0 || !token(line[:i]) {
		return malformed("bad method")
	}
	method, rest := line[:i], line[i+1:]
	i = bytes.IndexByte(rest, ' ')
	if i < 0 {
		return malformed("no version")
	}
	if err := target(string(method), rest[:i]); err != nil {
		return err
	}
	h.asks = string(method) == fasthttp.MethodConnect
	switch version := rest[i+1:]; {
	case string(version) == "HTTP/1.1":
	case string(version) == "HTTP/1.0":
		h.http10 = true
	case len(version) == 8 && string(version[:5]) == "HTTP/" && digit(version[5]) && version[6] == '.' && digit(version[7]):
		return &proxy.Error{
			Status: fasthttp.StatusHTTPVersionNotSupported, Flag: proxy.FlagDownstreamProtocol,
			Message: "HTTP Version Not Supported", Err: refusal("a version that is neither 1.0 nor 1.1"),
		}
	default:
		return malformed("bad version")
	}
	return nil
}

// target checks a request's target. It may hold what a URI may not, as servers are
// sent it, but no blanks, no control characters and no fragment.
func target(method string, t []byte) error {
	if !all(t, targetChar) {
		return malformed("bad character in the target")
	}
	switch {
	case len(t) == 0:
		return malformed("no target")
	case t[0] == '/':
		return nil
	case method == fasthttp.MethodConnect:
		if !authority(t) {
			return malformed("bad authority")
		}
		return nil
	case t[0] == '*':
		if len(t) > 1 || method != fasthttp.MethodOptions {
			return malformed("bad target")
		}
		return nil
	}
	rest, ok := cutScheme(t)
	if !ok {
		return malformed("bad target")
	}
	if i := bytes.IndexAny(rest, "/?"); i >= 0 {
		rest = rest[:i]
	}
	if len(rest) == 0 || !authority(rest) {
		return malformed("bad authority")
	}
	return nil
}

// cutScheme takes http:// or https:// from the absolute form of a target.
func cutScheme(t []byte) (rest []byte, ok bool) {
	scheme, rest, ok := bytes.Cut(t, []byte("://"))
	return rest, ok && (bytes.EqualFold(scheme, []byte("http")) || bytes.EqualFold(scheme, []byte("https")))
}

// field takes a line of the head (RFC 9112 section 5).
func (h *head) field(line []byte, l *config.Limits) error {
	name, value, err := h.split(line, l.MaxHeaders)
	if err != nil {
		return err
	}
	if l.Underscores == config.RefuseUnderscores && bytes.IndexByte(name, '_') >= 0 {
		return malformed("an underscore in a name")
	}
	switch len(name) {
	case len("host"):
		if bytes.EqualFold(name, []byte("host")) {
			if h.hosts++; h.hosts > 1 || !authority(value) {
				return malformed("bad Host")
			}
		}
	case len("expect"):
		if bytes.EqualFold(name, []byte("expect")) && !h.http10 && !bytes.EqualFold(value, []byte("100-continue")) {
			return &proxy.Error{
				Status: fasthttp.StatusExpectationFailed, Flag: proxy.FlagDownstreamProtocol,
				Message: "Expectation Failed", Err: refusal("an expectation that is not 100-continue"),
			}
		}
	case len("upgrade"):
		h.upgrade = h.upgrade || bytes.EqualFold(name, []byte("upgrade"))
	case len("connection"):
		if bytes.EqualFold(name, []byte("connection")) {
			h.connected = h.connected || lists(value, "upgrade")
		}
	case len("content-length"):
		if bytes.EqualFold(name, []byte("content-length")) {
			return h.contentLength(value)
		}
	case len("transfer-encoding"):
		if bytes.EqualFold(name, []byte("transfer-encoding")) {
			return h.transferEncoding(value)
		}
	}
	return nil
}

// split takes a field line apart and checks its characters.
func (h *head) split(line []byte, most int) (name, value []byte, err error) {
	if h.fields++; h.fields > most {
		return nil, nil, &proxy.Error{
			Status: fasthttp.StatusRequestHeaderFieldsTooLarge, Flag: proxy.FlagDownstreamTooLarge,
			Message: "Request Header Fields Too Large", Err: refusal("too many fields in the head"),
		}
	}
	i := bytes.IndexByte(line, ':')
	if i <= 0 || !token(line[:i]) {
		// Also a line that begins with a blank, to go on with the one before it, and
		// a blank before the colon.
		return nil, nil, malformed("bad field name")
	}
	if value = line[i+1:]; !valid(value) {
		return nil, nil, malformed("bad character in a field")
	}
	return line[:i], bytes.Trim(value, " \t"), nil
}

// contentLength is strict where RFC 9110 section 8.6 leaves a choice: two are
// refused even where they are equal.
func (h *head) contentLength(value []byte) error {
	if h.sized || len(value) == 0 || len(value) > 18 {
		return malformed("bad Content-Length")
	}
	h.sized, h.length = true, 0
	for _, c := range value {
		if !digit(c) {
			return malformed("bad Content-Length")
		}
		h.length = h.length*10 + int64(c-'0')
	}
	return nil
}

// transferEncoding takes chunked and nothing else (RFC 9112 section 6.1): 501 for a
// coding that is not known below chunked, 400 where chunked is not the last.
func (h *head) transferEncoding(value []byte) error {
	switch {
	case h.http10:
		return malformed("Transfer-Encoding in HTTP/1.0")
	case h.coded:
		return malformed("Transfer-Encoding twice")
	case !bytes.EqualFold(value, []byte("chunked")):
		i := bytes.LastIndexByte(value, ',')
		if i < 0 || !bytes.EqualFold(bytes.Trim(value[i+1:], " \t"), []byte("chunked")) || lists(value[:i], "chunked") {
			return malformed("Transfer-Encoding does not end with chunked")
		}
		return &proxy.Error{
			Status: fasthttp.StatusNotImplemented, Flag: proxy.FlagDownstreamProtocol,
			Message: "Not Implemented", Err: refusal("a transfer coding below chunked"),
		}
	}
	h.coded, h.chunked = true, true
	return nil
}

// end says whether the head as a whole is one.
func (h *head) end() error {
	switch {
	case h.sized && h.coded:
		return malformed("both Content-Length and Transfer-Encoding")
	case !h.http10 && h.hosts == 0:
		return malformed("no Host")
	}
	h.asks = h.asks || h.upgrade && h.connected
	return nil
}

// trailer takes a line behind the last chunk. Which names may stand there is
// fasthttp's to say; those that frame, or are credentials, may not.
func (h *head) trailer(line []byte, l *config.Limits) error {
	_, _, err := h.split(line, l.MaxHeaders)
	return err
}

// originForm makes http://host/path to /path, with the host where it belongs: it wins
// over the Host field (RFC 9112 section 3.2.2).
func originForm(h *fasthttp.RequestHeader) {
	uri := h.RequestURI()
	if len(uri) == 0 || uri[0] == '/' {
		return
	}
	rest, ok := cutScheme(uri)
	if !ok {
		return
	}
	i := bytes.IndexAny(rest, "/?")
	if i < 0 {
		i = len(rest)
	}
	host, path := bytes.Clone(rest[:i]), string(rest[i:])
	switch {
	case path == "" && string(h.Method()) == fasthttp.MethodOptions:
		path = "*" // RFC 9112 section 3.2.4
	case path == "" || path[0] != '/':
		path = "/" + path
	}
	h.SetHostBytes(host)
	h.SetRequestURI(path)
}

// expectation writes Expect as fasthttp knows it, which would else wait for a body that
// waits to be asked for: names stay as they were written.
func expectation(h *fasthttp.RequestHeader) {
	if h.ContentLength() == 0 {
		return
	}
	for name, value := range h.All() {
		if len(name) == len("expect") && string(name) != "Expect" && bytes.EqualFold(name, []byte("expect")) {
			h.Set("Expect", string(value))
			return
		}
	}
}

// dropUnderscores takes out the fields that have one in their name.
func dropUnderscores(h *fasthttp.RequestHeader) {
	var doomed []string
	for name := range h.All() {
		if bytes.IndexByte(name, '_') >= 0 {
			doomed = append(doomed, string(name))
		}
	}
	for _, name := range doomed {
		h.Del(name)
	}
}
