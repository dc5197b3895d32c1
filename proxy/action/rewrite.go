package action

import (
	"bytes"
	"errors"
	"regexp"
	"strings"

	"github.com/valyala/fasthttp"

	"github.com/fridaymesh/friday/proxy"
	"github.com/fridaymesh/friday/proxy/format"
)

// Rewrite is what the server is told that it was called by, in place of what the caller
// said. At most one of the fields for the path and one of those for the host is set.
type Rewrite struct {
	// Prefix, where not nil, replaces the first Matched bytes of the path; a negative
	// Matched: all of it.
	Prefix  *string
	Matched int
	// Regex replaces what it finds in the path, Path all of it, unless with nothing.
	Regex *Substitution
	Path  *format.Formatter

	// Host replaces the Host header, HostHeader names a header whose value does,
	// HostRegex makes it of the path, HostFormat of anything.
	Host, HostHeader string
	HostRegex        *Substitution
	HostFormat       *format.Formatter
	// ForwardHost adds the caller's Host to x-forwarded-host.
	ForwardHost bool
}

// Substitution replaces every match of Pattern by With, where $1 stands for a group.
type Substitution struct {
	Pattern *regexp.Regexp
	With    string
}

// NewSubstitution takes RE2's substitution, where \1 stands for a group and \0 for the
// match.
func NewSubstitution(pattern *regexp.Regexp, re2 string) (*Substitution, error) {
	var b strings.Builder
	for i := 0; i < len(re2); i++ {
		switch c := re2[i]; {
		case c == '$':
			b.WriteString("$$")
		case c != '\\':
			b.WriteByte(c)
		case i+1 < len(re2) && re2[i+1] == '\\':
			b.WriteByte('\\')
			i++
		case i+1 < len(re2) && '0' <= re2[i+1] && re2[i+1] <= '9':
			if int(re2[i+1]-'0') > pattern.NumSubexp() {
				return nil, errors.New("names a group that the pattern does not have")
			}
			b.WriteString("${" + re2[i+1:i+2] + "}")
			i++
		default:
			return nil, errors.New(`a "\" must be followed by a digit or another "\"`)
		}
	}
	return &Substitution{pattern, b.String()}, nil
}

// Apply replaces.
func (s *Substitution) Apply(text string) string { return s.Pattern.ReplaceAllString(text, s.With) }

func (w *Rewrite) any() bool {
	return w.Prefix != nil || w.Regex != nil || w.Path != nil ||
		w.Host != "" || w.HostHeader != "" || w.HostRegex != nil || w.HostFormat != nil
}

// apply rewrites req's head: first the host, which may be made of the path, then the path.
func (w *Rewrite) apply(req *proxy.Request) {
	h := req.Header
	OriginForm(h)
	path, query := splitPath(string(h.RequestURI()))
	if host := w.newHost(req, path); host != "" {
		old := string(h.Host())
		if w.ForwardHost && old != "" && old != host {
			forwarded, _ := proxy.FieldValue(h, "x-forwarded-host")
			if forwarded != "" {
				old = forwarded + "," + old
			}
			proxy.SetField(h, "x-forwarded-host", old)
		}
		h.SetHost(host)
	}
	if rewritten := w.path(req, path); rewritten != path {
		h.SetRequestURI(rewritten + query)
	}
}

func (w *Rewrite) newHost(req *proxy.Request, path string) string {
	switch {
	case w.Host != "":
		return w.Host
	case w.HostHeader != "":
		values := proxy.FieldValues(req.Header, w.HostHeader)
		if len(values) == 0 {
			return ""
		}
		return values[0]
	case w.HostRegex != nil:
		return w.HostRegex.Apply(path)
	case w.HostFormat != nil:
		return w.HostFormat.String(&format.Facts{Request: req})
	}
	return ""
}

func (w *Rewrite) path(req *proxy.Request, path string) string {
	switch {
	case w.Path != nil:
		if rewritten := w.Path.String(&format.Facts{Request: req}); rewritten != "" {
			return rewritten
		}
		return path
	case w.Regex != nil:
		return w.Regex.Apply(path)
	case w.Prefix == nil:
		return path
	case w.Matched < 0:
		return *w.Prefix
	case w.Matched <= len(path):
		return *w.Prefix + path[w.Matched:]
	}
	return path
}

// splitPath cuts a target at the query or the fragment, which stays with its "?" or "#".
func splitPath(target string) (path, query string) {
	if i := strings.IndexAny(target, "?#"); i >= 0 {
		return target[:i], target[i:]
	}
	return target, ""
}

// OriginForm makes http://host/path to /path, with the host where it belongs: it wins
// over the Host header (RFC 9112 section 3.2.2).
func OriginForm(h *fasthttp.RequestHeader) {
	scheme, rest, ok := bytes.Cut(h.RequestURI(), []byte("://"))
	if !ok || len(scheme) == 0 || scheme[0] == '/' || bytes.IndexByte(scheme, '?') >= 0 {
		return
	}
	i := bytes.IndexAny(rest, "/?#")
	if i < 0 {
		i = len(rest)
	}
	path := string(rest[i:])
	if path == "" || path[0] != '/' {
		path = "/" + path
	}
	h.SetHostBytes(bytes.Clone(rest[:i]))
	h.SetRequestURI(path)
}
