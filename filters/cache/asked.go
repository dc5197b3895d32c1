package cache

import (
	"bytes"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/fridaymesh/friday/filters/inference/jsonspan"
	cachev1 "github.com/fridaymesh/friday/xds/api/friday/filters/http/cache/v1"
)

// asked is a request for a whole answer: a chat or a completion.
type asked struct {
	protocol, model string
	// cold says that the temperature is given and is 0, seeded that a seed is given.
	cold, seeded bool
	// kept: the server is asked to keep the answer, which is more than to answer.
	kept bool
	// form is all that is asked, written in one way only.
	form []byte
}

// wholeProtocol is the protocol of a path whose answers are cached whole; empty: none.
func wholeProtocol(uri []byte) string {
	if i := bytes.IndexByte(uri, '?'); i >= 0 {
		uri = uri[:i]
	}
	switch path := string(uri); {
	case strings.HasSuffix(path, "/v1/chat/completions"):
		return chat
	case strings.HasSuffix(path, "/v1/completions"):
		return completions
	}
	return ""
}

// read reads the body of such a request; nil where it is none, or not to be written in
// one way only. Of what is returned nothing refers to body.
func read(protocol string, body []byte) *asked {
	if !utf8.Valid(body) {
		return nil
	}
	a := &asked{protocol: protocol}
	s := jsonspan.New(body)
	if s.Kind() != '{' {
		return nil
	}
	form, ok := appendCanonical(make([]byte, 0, len(body)+16), body, &s)
	if !ok || s.End() != nil {
		return nil
	}
	a.form = form
	s = jsonspan.New(body)
	s.Object()
	for span, ok := s.Member(); ok; span, ok = s.Member() {
		value := s.Value().Of(body)
		given := string(value) != "null"
		switch string(span.Of(body)) {
		case "model":
			if a.model, ok = jsonspan.Unquote(value); !ok {
				return nil
			}
		case "temperature":
			t, err := strconv.ParseFloat(string(value), 64)
			a.cold = given && err == nil && t == 0
		case "seed":
			a.seeded = given
		case "store":
			a.kept = given && string(value) != "false"
		}
	}
	return a
}

// again says whether answers to such a request may be given again.
func (a *asked) again(d cachev1.Cache_Determinism) bool {
	switch {
	case a.kept:
		return false
	case d == cachev1.Cache_ANY:
		return true
	case d == cachev1.Cache_SEEDED:
		return a.cold || a.seeded
	}
	return a.cold
}
