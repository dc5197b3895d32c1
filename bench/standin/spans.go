package standin

import (
	"bytes"
	"encoding/json"
	"iter"
)

// The wire formats are read by their spans: which bytes of the document are the
// value of a field, which those of an element. All of this expects a document
// that json.Valid has passed.

// fields yields the names, unquoted, and the values of an object; of anything
// else nothing.
func fields(object []byte) iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		rest := space(object)
		if len(rest) == 0 || rest[0] != '{' {
			return
		}
		for rest = space(rest[1:]); len(rest) > 0 && rest[0] != '}'; rest = space(rest) {
			if rest[0] == ',' {
				rest = space(rest[1:])
			}
			n := value(rest)
			name := unquote(rest[:n])
			rest = space(space(rest[n:])[1:]) // the colon
			n = value(rest)
			if !yield(string(name), rest[:n]) {
				return
			}
			rest = rest[n:]
		}
	}
}

// elements yields the elements of an array; of anything else nothing.
func elements(array []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		rest := space(array)
		if len(rest) == 0 || rest[0] != '[' {
			return
		}
		for rest = space(rest[1:]); len(rest) > 0 && rest[0] != ']'; rest = space(rest) {
			if rest[0] == ',' {
				rest = space(rest[1:])
			}
			n := value(rest)
			if !yield(rest[:n]) {
				return
			}
			rest = rest[n:]
		}
	}
}

// flat yields the numbers, strings and literals of an array of any depth, in
// order.
func flat(array []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) { flatInto(array, yield) }
}

func flatInto(array []byte, yield func([]byte) bool) bool {
	for e := range elements(array) {
		if e[0] == '[' {
			if !flatInto(e, yield) {
				return false
			}
		} else if !yield(e) {
			return false
		}
	}
	return true
}

// space skips white space.
func space(b []byte) []byte { return bytes.TrimLeft(b, " \t\r\n") }

// value is the length of the value that b begins with.
func value(b []byte) int {
	switch b[0] {
	case '"':
		return stringLen(b)
	case '{', '[':
		depth := 0
		for i := 0; i < len(b); i++ {
			switch b[i] {
			case '"':
				i += stringLen(b[i:]) - 1
			case '{', '[':
				depth++
			case '}', ']':
				if depth--; depth == 0 {
					return i + 1
				}
			}
		}
		return len(b)
	}
	if n := bytes.IndexAny(b, ",]} \t\r\n"); n > 0 {
		return n
	}
	return len(b)
}

func stringLen(b []byte) int {
	for i := 1; i < len(b); i++ {
		switch b[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(b)
}

// unquote is a string's text. It shares memory with quoted where it can.
func unquote(quoted []byte) []byte {
	if len(quoted) < 2 || quoted[0] != '"' {
		return quoted
	}
	if bytes.IndexByte(quoted, '\\') < 0 {
		return quoted[1 : len(quoted)-1]
	}
	var s string
	if json.Unmarshal(quoted, &s) != nil {
		return quoted
	}
	return []byte(s)
}

// compact is a document without the white space outside its strings. The text of
// numbers stays what it is.
func compact(doc []byte) []byte {
	dst := make([]byte, 0, len(doc))
	for i := 0; i < len(doc); i++ {
		switch doc[i] {
		case ' ', '\t', '\r', '\n':
		case '"':
			n := stringLen(doc[i:])
			dst = append(dst, doc[i:i+n]...)
			i += n - 1
		default:
			dst = append(dst, doc[i])
		}
	}
	return dst
}
