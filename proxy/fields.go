package proxy

import (
	"bytes"
	"iter"
)

// Fields goes over the names and values of a written head (what AppendBytes of a
// fasthttp header makes), in order and to the letter, without its first line. Asking a fasthttp
// request header for all its fields instead would parse Cookie and write it anew.
func Fields(head []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func(name, value []byte) bool) {
		_, rest, _ := bytes.Cut(head, []byte{'\n'})
		for len(rest) > 0 {
			var line []byte
			line, rest, _ = bytes.Cut(rest, []byte{'\n'})
			name, value, ok := bytes.Cut(line, []byte{':'})
			if !ok {
				continue
			}
			value = bytes.TrimSuffix(bytes.TrimPrefix(value, []byte{' '}), []byte{'\r'})
			if !yield(name, value) {
				return
			}
		}
	}
}
