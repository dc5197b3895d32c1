package h1

import (
	"bytes"
	"encoding/binary"
)

// What characters may stand where, one bit each.
const (
	tokenChar  = 1 << iota // RFC 9110 section 5.6.2
	fieldChar              // RFC 9110 section 5.5: visible, blank, tab, and what is not ASCII
	hostChar               // RFC 3986 section 3.2.2, and the port's colon
	targetChar             // anything but blanks, control characters and the sign of a fragment
	hexDigit
)

var chars = classes() //nolint:gochecknoglobals // immutable

func classes() (t [256]uint8) {
	mark := func(s string, class uint8) {
		for i := range len(s) {
			t[s[i]] |= class
		}
	}
	const alphanumeric = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	mark(alphanumeric+"!#$%&'*+-.^_`|~", tokenChar)
	mark(alphanumeric+"-._~%!$&'()*+,;=:[]", hostChar)
	mark("0123456789abcdefABCDEF", hexDigit)
	mark("\t", fieldChar)
	for c := ' '; c < 256; c++ {
		if c != 0x7f {
			t[c] |= fieldChar | targetChar
		}
	}
	t[' '] &^= targetChar
	t['#'] &^= targetChar
	return t
}

func token(b []byte) bool     { return all(b, tokenChar) }
func authority(b []byte) bool { return all(b, hostChar) }

// valid says whether b can be a field's value. Eight bytes are looked at together;
// where one of them is a control character it may still be a tab.
func valid(b []byte) bool {
	const each = 0x0101010101010101
	for len(b) >= 8 {
		x := binary.LittleEndian.Uint64(b)
		del := x ^ each*0x7f
		if ((x-each*0x20)&^x|(del-each)&^del)&(each*0x80) != 0 && !all(b[:8], fieldChar) {
			return false
		}
		b = b[8:]
	}
	return all(b, fieldChar)
}

func all(b []byte, class uint8) bool {
	for _, c := range b {
		if chars[c]&class == 0 {
			return false
		}
	}
	return true
}

func digit(c byte) bool { return c-'0' <= 9 }
func isHex(c byte) bool { return chars[c]&hexDigit != 0 }

func fromHex(c byte) byte {
	if digit(c) {
		return c - '0'
	}
	return c | 0x20 - 'a' + 10
}

// lists says whether a list of words holds one.
func lists(value []byte, word string) bool {
	for v := range bytes.SplitSeq(value, []byte{','}) {
		if bytes.EqualFold(bytes.Trim(v, " \t"), []byte(word)) {
			return true
		}
	}
	return false
}
