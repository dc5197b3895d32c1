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

// lines calls f with the value of each line until f says true, and says whether it did,
// and whether there is a line at all. A match asks for each line by itself, as Envoy does:
// a list that was sent in one line is one value.
func (n headerName) lines(h *fasthttp.RequestHeader, f func(value []byte) bool) (found, there bool) {
	// With names normalised all spellings would find the same lines.
	if exact := h.DisableNormalizing(); !exact {
		defer h.EnableNormalizing()
	}
	spelling, uniform := n.spelling(h.RawHeaders())
	if !uniform {
		for _, v := range proxy.FieldValues(h, n.lower) {
			if there = true; f([]byte(v)) {
				return true, true
			}
		}
		return false, there
	}
	look := func(name string) bool {
		for _, v := range h.PeekAll(name) {
			if there = true; f(v) {
				return true
			}
		}
		return false
	}
	found = spelling != nil && string(spelling) != n.canonical && string(spelling) != n.lower && look(string(spelling)) ||
		look(n.canonical) || n.lower != n.canonical && look(n.lower)
	return found, there
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
