package router

import "bytes"

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
	return true
}

func (m *headerMatcher) holds(r *request) bool {
	var value []byte
	ok := true
	switch m.pseudo {
	case pseudoMethod:
		value = r.header.Method()
	case pseudoPath:
		value = r.target
	case pseudoAuthority:
		value, ok = r.authority, len(r.authority) > 0
	case notPseudo:
		value, ok = m.name.value(r.header)
	}
	switch {
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
	return m.prefix == "/" && len(m.headers) == 0 && len(m.query) == 0
}
