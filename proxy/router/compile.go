package router

import (
	"errors"
	"fmt"
	"net/textproto"
	"regexp"
	"regexp/syntax"
	"strings"
)

// matcher is a compiled Match.
type matcher struct {
	prefix, path, separated string
	ignoreCase              bool
	regex                   *regexp.Regexp

	headers []headerMatcher
	query   []QueryMatch
	cookies []CookieMatch
	grpc    bool
	share   *uint32
}

type headerMatcher struct {
	HeaderMatch

	pseudo pseudo
	name   headerName
}

// pseudo says where a value comes from that is no header line.
type pseudo int

const (
	notPseudo pseudo = iota
	pseudoMethod
	pseudoPath
	pseudoAuthority
)

// compile checks m. Its errors begin with the field's path within m.
func compile(m *Match) (matcher, error) {
	set := 0
	for _, is := range []bool{m.Prefix != "", m.Path != "", m.Separated != "", m.Regex != nil} {
		if is {
			set++
		}
	}
	if set != 1 {
		return matcher{}, fmt.Errorf(": exactly one of prefix, path, separated and regex must be set, not %d", set)
	}
	c := matcher{
		prefix: m.Prefix, path: m.Path, separated: m.Separated, ignoreCase: m.IgnoreCase,
		grpc: m.GRPC, share: m.Share,
	}
	var err error
	if m.Regex != nil {
		if c.regex, err = whole(m.Regex); err != nil {
			return matcher{}, fmt.Errorf(".regex: %w", err)
		}
	}
	for i, h := range m.Headers {
		hm, err := compileHeader(h)
		if err != nil {
			return matcher{}, fmt.Errorf(".headers[%d]%w", i, err)
		}
		c.headers = append(c.headers, hm)
	}
	for i, q := range m.Query {
		if q.Name == "" {
			return matcher{}, fmt.Errorf(".query[%d].name: must not be empty", i)
		}
		if q.Value, err = compileString(q.Value, q.Present); err != nil {
			return matcher{}, fmt.Errorf(".query[%d]%w", i, err)
		}
		c.query = append(c.query, q)
	}
	for i, k := range m.Cookies {
		if k.Name == "" || k.Value == nil {
			return matcher{}, fmt.Errorf(".cookies[%d]: name and value must be set", i)
		}
		if k.Value, err = compileString(k.Value, false); err != nil {
			return matcher{}, fmt.Errorf(".cookies[%d]%w", i, err)
		}
		c.cookies = append(c.cookies, k)
	}
	return c, nil
}

func compileHeader(h HeaderMatch) (headerMatcher, error) {
	hm := headerMatcher{HeaderMatch: h}
	switch name := lower(h.Name); {
	case name == "":
		return hm, errors.New(".name: must not be empty")
	case name == ":method":
		hm.pseudo = pseudoMethod
	case name == ":path":
		hm.pseudo = pseudoPath
	case name == ":authority", name == "host":
		hm.pseudo = pseudoAuthority
	case name[0] == ':':
		return hm, fmt.Errorf(".name: %q: only :method, :path and :authority are known", h.Name)
	default:
		hm.name = headerName{name, textproto.CanonicalMIMEHeaderKey(name)}
	}
	if h.Range != nil && (h.Value != nil || h.Present) {
		return hm, errors.New(": range excludes value and present")
	}
	var err error
	hm.Value, err = compileString(h.Value, h.Present)
	return hm, err
}

// compileString returns a copy of m that is ready to match.
func compileString(m *StringMatch, present bool) (*StringMatch, error) {
	if m == nil {
		return nil, nil // no value is asked for
	}
	if present {
		return nil, errors.New(": value and present exclude each other")
	}
	c := *m
	switch c.Kind {
	case Exact:
	case Prefix, Suffix, Contains:
		// The empty text would match everything; Envoy refuses it too.
		if c.Text == "" {
			return nil, errors.New(".value.text: must not be empty but for an exact match")
		}
	case Regex:
		if c.Regex == nil {
			return nil, errors.New(".value.regex: must be set")
		}
		var err error
		if c.Regex, err = whole(c.Regex); err != nil {
			return nil, fmt.Errorf(".value.regex: %w", err)
		}
	default:
		return nil, fmt.Errorf(".value.kind: %d is not known", c.Kind)
	}
	return &c, nil
}

// whole makes of re one that matches only whole strings. Looking whether re's
// leftmost match is the whole string would not do: of "ab", "a|ab" finds "a".
func whole(re *regexp.Regexp) (*regexp.Regexp, error) {
	// Printed anew from its syntax tree, the text is complete in itself: as
	// written it may end inside of a quotation ("\Qa") that swallowed the anchor.
	tree, err := syntax.Parse(re.String(), syntax.Perl)
	if err != nil {
		return nil, fmt.Errorf("%q: %w", re, err)
	}
	anchored, err := regexp.Compile(strings.Join([]string{`\A(?:`, tree.String(), `)\z`}, ""))
	if err != nil {
		return nil, fmt.Errorf("%q: %w", re, err)
	}
	return anchored, nil
}
