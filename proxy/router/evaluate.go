package router

import (
	"bytes"
	"math/rand/v2"
	"strconv"

	"github.com/fridaymesh/friday/proxy"
)

// takes says whether every part of the match holds.
func (m *matcher) takes(r *request) bool {
	return m.takesPath(r.path) && m.holds(r)
}

func (m *matcher) takesPath(path []byte) bool {
	switch {
	case m.regex != nil:
		return m.regex.Match(path)
	case m.prefix != "" && m.ignoreCase:
		return hasPrefixFold(path, m.prefix)
	case m.prefix != "":
		return len(path) >= len(m.prefix) && string(path[:len(m.prefix)]) == m.prefix
	case m.separated != "":
		n := len(m.separated)
		if len(path) > n && path[n] != '/' {
			return false
		}
		return hasPrefixFold(path, m.separated) && (m.ignoreCase || string(path[:n]) == m.separated)
	case m.ignoreCase:
		return equalFold(path, m.path)
	}
	return string(path) == m.path
}

// holds says whether the conditions beside the path hold.
func (m *matcher) holds(r *request) bool {
	for i := range m.headers {
		if !m.headers[i].holds(r) {
			return false
		}
	}
	for i := range m.query {
		q := &m.query[i]
		value, ok := r.param(q.Name)
		switch {
		case q.Value == nil:
			if ok != q.Present {
				return false
			}
		case !ok || !q.Value.matches(value):
			return false
		}
	}
	for i := range m.cookies {
		k := &m.cookies[i]
		value, ok := r.cookie(k.Name)
		if (ok && k.Value.matches(value)) == k.Invert {
			return false
		}
	}
	if m.grpc && !proxy.IsGRPC(r.header) {
		return false
	}
	return m.share == nil || rand.Uint32N(1_000_000) < *m.share // #nosec G404 -- shares of traffic need no secrecy
}

func (m *headerMatcher) holds(r *request) bool {
	switch m.pseudo {
	case pseudoMethod:
		return m.judge(r.header.Method(), true)
	case pseudoPath:
		return m.judge(r.target, true)
	case pseudoAuthority:
		return m.judge(r.authority, len(r.authority) > 0)
	case notPseudo:
	}
	// A line that satisfies is looked for, and the outcome turned round afterwards.
	found, there := m.name.lines(r.header, func(value []byte) bool { return m.judge(value, true) != m.Invert })
	if !there {
		return m.judge(nil, false)
	}
	return found != m.Invert
}

// judge compares a header's value, which may not be there.
func (m *headerMatcher) judge(value []byte, ok bool) bool {
	switch {
	case m.Range != nil:
		if !ok && !m.TreatMissingAsEmpty {
			return false
		}
		n, err := strconv.ParseInt(string(value), 10, 64)
		return (err == nil && m.Range.Start <= n && n < m.Range.End) != m.Invert
	case m.Value == nil:
		return (ok == m.Present) != m.Invert
	case !ok && !m.TreatMissingAsEmpty:
		return false
	}
	return m.Value.matches(value) != m.Invert
}

// matches compares. A Regex has been anchored by compileString.
func (m *StringMatch) matches(value []byte) bool {
	switch m.Kind {
	case Exact:
		return string(value) == m.Text || m.IgnoreCase && equalFold(value, m.Text)
	case Prefix:
		if m.IgnoreCase {
			return hasPrefixFold(value, m.Text)
		}
		return len(value) >= len(m.Text) && string(value[:len(m.Text)]) == m.Text
	case Suffix:
		if m.IgnoreCase {
			return hasSuffixFold(value, m.Text)
		}
		return len(value) >= len(m.Text) && string(value[len(value)-len(m.Text):]) == m.Text
	case Contains:
		if m.IgnoreCase {
			return containsFold(value, m.Text)
		}
		return contains(value, m.Text)
	case Regex:
		return m.Regex.Match(value)
	}
	return false
}

func contains(value []byte, text string) bool {
	// The first byte is searched at the speed of the machine; a conversion of
	// either side could allocate.
	for len(value) >= len(text) {
		i := bytes.IndexByte(value, text[0])
		if i < 0 || len(value)-i < len(text) {
			return false
		}
		value = value[i:]
		if string(value[:len(text)]) == text {
			return true
		}
		value = value[1:]
	}
	return false
}

// takesEverything says whether m is a bare prefix "/".
func (m *matcher) takesEverything() bool {
	return m.prefix == "/" && len(m.headers) == 0 && len(m.query) == 0 && len(m.cookies) == 0 && !m.grpc && m.share == nil
}
