package jsonspan

import (
	"bytes"
	"encoding/json"
)

// MaxInt is the greatest integer that Int reads: every one up to it is exact in a
// float64 too, so that no reader sees another number.
const MaxInt = 1 << 53

// Int reads a number that is written as a plain integer from 0 to MaxInt: digits
// alone, no sign, point or exponent.
func Int(raw []byte) (int64, bool) {
	if len(raw) == 0 || len(raw) > 16 || raw[0] == '0' && len(raw) > 1 {
		return 0, false
	}
	var n int64
	for _, c := range raw {
		if c-'0' > 9 {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	return n, n <= MaxInt
}

// Escaped says whether a string or name holds an escape, so that its bytes are not
// its text.
func Escaped(raw []byte) bool { return bytes.IndexByte(raw, '\\') >= 0 }

// Unquote decodes a valid string, quotes included; false where raw is none. As
// encoding/json does, it reads an unpaired surrogate as U+FFFD; unlike it, it keeps
// bytes that are no UTF-8.
func Unquote(raw []byte) (string, bool) {
	if len(raw) < 2 || raw[0] != '"' {
		return "", false
	}
	if !Escaped(raw) {
		return string(raw[1 : len(raw)-1]), true
	}
	var s string
	return s, json.Unmarshal(raw, &s) == nil
}
