package router

// Case is folded in ASCII only, as header names, host names and Envoy's
// ignore_case are; strings.EqualFold would take "K" (the Kelvin sign) for "k".

func lowerByte(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + ('a' - 'A')
	}
	return c
}

func lower(s string) string {
	b := []byte(s)
	for i, c := range b {
		b[i] = lowerByte(c)
	}
	return string(b)
}

// lowered returns s itself where there is nothing to lower, else memory with it.
func lowered(memory, s []byte) []byte {
	for i, c := range s {
		if lowerByte(c) == c {
			continue
		}
		memory = append(memory, s[:i]...)
		for _, c := range s[i:] {
			memory = append(memory, lowerByte(c))
		}
		return memory
	}
	return s
}

// equalFold compares with text in any case.
func equalFold(s []byte, text string) bool {
	return len(s) == len(text) && hasPrefixFold(s, text)
}

func hasPrefixFold(s []byte, text string) bool {
	if len(s) < len(text) {
		return false
	}
	for i := range len(text) {
		if lowerByte(s[i]) != lowerByte(text[i]) {
			return false
		}
	}
	return true
}

func hasSuffixFold(s []byte, text string) bool {
	return len(s) >= len(text) && hasPrefixFold(s[len(s)-len(text):], text)
}

func containsFold(s []byte, text string) bool {
	for ; len(s) >= len(text); s = s[1:] {
		if hasPrefixFold(s, text) {
			return true
		}
		if len(s) == 0 {
			break
		}
	}
	return false
}
