package router

import (
	"bytes"

	"github.com/valyala/fasthttp"

	"github.com/fridaymesh/friday/proxy"
)

// headerName finds a header by name in any case.
//
// fasthttp, told not to normalise names (and a proxy must not), looks them up by
// their exact bytes. So the head as received is searched for how the caller
// spells the name, and that spelling is looked up beside the two usual ones, by
// which the house itself writes. Going over all headers instead would parse the
// cookies and write them anew.
//
// Everything is linear in the size of the head: callers choose it.
type headerName struct {
	lower, canonical string
}

// value returns the header's value, several lines joined by "," in the order
// received (RFC 9110 section 5.3). It allocates only to join.
func (n headerName) value(h *fasthttp.RequestHeader) (value []byte, ok bool) {
	// With names normalised all spellings would find the same lines.
	if exact := h.DisableNormalizing(); !exact {
		defer h.EnableNormalizing()
	}
	var v joined
	spelling, uniform := n.spelling(h.RawHeaders())
	if !uniform {
		joined, ok := proxy.FieldValue(h, n.lower)
		return []byte(joined), ok
	}
	if spelling != nil && string(spelling) != n.canonical && string(spelling) != n.lower {
		v.add(h.PeekAll(string(spelling))...)
	}
	v.add(h.PeekAll(n.canonical)...)
	if n.lower != n.canonical {
		v.add(h.PeekAll(n.lower)...)
	}
	return v.value, v.lines > 0
}

// spelling returns how the head spells the name, nil where it does not have it,
// and whether all its lines spell it so.
func (n headerName) spelling(raw []byte) (spelling []byte, uniform bool) {
	for len(raw) > 0 {
		var line []byte
		line, raw = cutLine(raw)
		if !n.names(line) {
			continue
		}
		this := line[:len(n.lower)]
		if spelling != nil && !bytes.Equal(spelling, this) {
			return nil, false
		}
		spelling = this
	}
	return spelling, true
}

func (n headerName) names(line []byte) bool {
	return len(line) > len(n.lower) && line[len(n.lower)] == ':' && hasPrefixFold(line, n.lower)
}

func cutLine(raw []byte) (line, rest []byte) {
	line, rest, _ = bytes.Cut(raw, newline)
	return line, rest
}

var newline = []byte("\n") //nolint:gochecknoglobals // never written

// joined is the value of several lines.
type joined struct {
	value []byte
	lines int
}

func (v *joined) add(lines ...[]byte) {
	for _, line := range lines {
		v.lines++
		switch v.lines {
		case 1:
			v.value = line
		case 2: // the first line is fasthttp's and must not grow
			v.value = append(append(append(make([]byte, 0, len(v.value)+len(line)+16), v.value...), ','), line...)
		default:
			v.value = append(append(v.value, ','), line...)
		}
	}
}
