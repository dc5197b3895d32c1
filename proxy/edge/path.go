package edge

import (
	"bytes"
	"net/http"
	"strings"

	"github.com/valyala/fasthttp"

	"github.com/fridaymesh/friday/proxy"
)

// Paths is how paths are brought into one form.
type Paths struct {
	// Normalize removes "." and ".." segments and decodes what need not be encoded.
	Normalize bool
	// MergeSlashes makes one slash of several.
	MergeSlashes bool
	// Escaped is what becomes of %2F and %5C.
	Escaped Escaped
}

// Escaped is what becomes of a path with an encoded slash.
type Escaped int

// The ways, by Envoy's names.
const (
	KeepEscaped Escaped = iota
	RefuseEscaped
	RedirectUnescaped
	ForwardUnescaped
)

// apply changes the path; redirect, where not empty, is where the caller is sent instead.
func (p Paths) apply(h *fasthttp.RequestHeader) (redirect string, err error) {
	if p == (Paths{}) {
		return "", nil
	}
	target := h.RequestURI()
	if len(target) == 0 || target[0] != '/' {
		return "", nil // "*", or a CONNECT's
	}
	end := bytes.IndexAny(target, "?#")
	if end < 0 {
		end = len(target)
	}
	path, query := string(target[:end]), string(target[end:])
	rewritten := path
	unescaped := false
	if p.Escaped != KeepEscaped {
		var found bool
		if rewritten, found = unescapeSlashes(path); found {
			if p.Escaped == RefuseEscaped {
				return "", refused("the path has an escaped slash")
			}
			unescaped = p.Escaped == RedirectUnescaped
		}
	}
	if p.Normalize {
		var ok bool
		if rewritten, ok = normalize(rewritten); !ok {
			return "", refused("the path cannot be normalised")
		}
	}
	if p.MergeSlashes {
		rewritten = mergeSlashes(rewritten)
	}
	if unescaped {
		return rewritten + query, nil
	}
	if rewritten != path {
		h.SetRequestURI(rewritten + query)
	}
	return "", nil
}

func refused(message string) *proxy.Error {
	return &proxy.Error{Status: http.StatusBadRequest, Flag: proxy.FlagDownstreamProtocol, Err: errorText(message)}
}

type errorText string

func (e errorText) Error() string { return string(e) }

func unescapeSlashes(path string) (string, bool) {
	var b strings.Builder
	found := false
	for i := 0; i < len(path); i++ {
		if path[i] == '%' && i+2 < len(path) {
			switch strings.ToLower(path[i+1 : i+3]) {
			case "2f":
				b.WriteByte('/')
				i, found = i+2, true
				continue
			case "5c":
				b.WriteByte('\\')
				i, found = i+2, true
				continue
			}
		}
		b.WriteByte(path[i])
	}
	return b.String(), found
}

func mergeSlashes(path string) string {
	if !strings.Contains(path, "//") {
		return path
	}
	var b strings.Builder
	for i := range len(path) {
		if path[i] != '/' || i == 0 || path[i-1] != '/' {
			b.WriteByte(path[i])
		}
	}
	return b.String()
}

// normalize decodes unreserved characters (RFC 3986 section 6.2.2.2), makes "/" of "\"
// and removes dot segments (section 5.2.4). It fails where a zero is encoded.
func normalize(path string) (string, bool) {
	decoded, ok := decodeUnreserved(path)
	if !ok {
		return "", false
	}
	if !strings.Contains(decoded, "/.") {
		return decoded, true
	}
	var out []string
	segments := strings.Split(decoded[1:], "/")
	for i, s := range segments {
		end := i == len(segments)-1
		dots, _, _ := strings.Cut(s, ";") // some servers take "..;x" for ".."
		switch dots {
		case ".":
		case "..":
			if len(out) > 0 {
				out = out[:len(out)-1]
			}
		default:
			out = append(out, s)
			continue
		}
		if end {
			out = append(out, "") // the slash at the end stays
		}
	}
	return "/" + strings.Join(out, "/"), true
}

func decodeUnreserved(path string) (string, bool) {
	if !strings.ContainsAny(path, `%\`) {
		return path, true
	}
	var b strings.Builder
	for i := 0; i < len(path); i++ {
		switch c := path[i]; {
		case c == '\\':
			b.WriteByte('/')
		case c != '%':
			b.WriteByte(c)
		default:
			if i+2 >= len(path) || hexDigit(path[i+1]) < 0 || hexDigit(path[i+2]) < 0 {
				b.WriteByte(c) // the server's to judge
				continue
			}
			v := byte(hexDigit(path[i+1])<<4 | hexDigit(path[i+2])) // #nosec G115 -- two digits
			if v == 0 {
				return "", false
			}
			if unreserved(v) {
				b.WriteByte(v)
			} else {
				b.WriteString(path[i : i+3])
			}
			i += 2
		}
	}
	return b.String(), true
}

func hexDigit(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c|0x20 && c|0x20 <= 'f':
		return int(c|0x20-'a') + 10
	}
	return -1
}

func unreserved(c byte) bool {
	return 'a' <= c|0x20 && c|0x20 <= 'z' || '0' <= c && c <= '9' || strings.IndexByte("-._~", c) >= 0
}
