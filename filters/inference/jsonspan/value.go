package jsonspan

// value returns the offset behind the value at i, -1 where there is none or where
// it nests deeper than budget. It keeps one bit for each open bracket in place of
// a call stack, so that a hostile text costs no memory.
func value(b []byte, i, budget int) int {
	var objects [MaxDepth / 64]uint64
	depth := 0
	i = space(b, i)
	for {
		// A value begins at i.
		if i >= len(b) {
			return -1
		}
		switch c := b[i]; c {
		case '"':
			i = str(b, i)
		case '{', '[':
			if depth >= budget {
				return -1
			}
			word, bit := &objects[depth>>6], uint64(1)<<(depth&63)
			depth++
			i = space(b, i+1)
			if i >= len(b) {
				return -1
			}
			if b[i] == c+2 { // } and ] stand two behind { and [
				depth--
				i++
				break
			}
			if c == '[' {
				*word &^= bit
				continue
			}
			*word |= bit
			if i = name(b, i); i < 0 {
				return -1
			}
			continue
		case 't':
			i = literal(b, i, "true")
		case 'f':
			i = literal(b, i, "false")
		case 'n':
			i = literal(b, i, "null")
		default:
			i = number(b, i)
			if depth > 0 && !isObject(&objects, depth) {
				i = numbers(b, i)
			}
		}
		if i < 0 {
			return -1
		}
		// A value ended before i: close what closes, then step over a comma.
		for {
			if depth == 0 {
				return i
			}
			if i < len(b) && b[i] <= ' ' {
				i = space(b, i)
			}
			if i >= len(b) {
				return -1
			}
			object := isObject(&objects, depth)
			if b[i] == ',' {
				i = space(b, i+1)
				if object {
					if i = name(b, i); i < 0 {
						return -1
					}
				}
				break
			}
			if object && b[i] != '}' || !object && b[i] != ']' {
				return -1
			}
			depth--
			i++
		}
	}
}

// isObject says whether the innermost of depth open brackets is an object's.
func isObject(objects *[MaxDepth / 64]uint64, depth int) bool {
	depth--
	return objects[depth>>6&(MaxDepth/64-1)]>>(depth&63)&1 == 1
}

// name returns the offset of the value that belongs to the member name at i.
func name(b []byte, i int) int {
	if i >= len(b) || b[i] != '"' {
		return -1
	}
	if i = str(b, i); i < 0 {
		return -1
	}
	i = space(b, i)
	if i >= len(b) || b[i] != ':' {
		return -1
	}
	return space(b, i+1)
}

// space returns the offset of the first byte from i on that is not white space.
func space(b []byte, i int) int {
	for i < len(b) {
		switch b[i] {
		case ' ', '\t', '\n', '\r':
			i++
		default:
			return i
		}
	}
	return i
}

func literal(b []byte, i int, word string) int {
	if len(b)-i < len(word) || string(b[i:i+len(word)]) != word {
		return -1
	}
	return i + len(word)
}
