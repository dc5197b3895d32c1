package jsonspan

import (
	"encoding/binary"
	"math/bits"
)

// Bytes in all eight lanes of a word. Strings and runs of digits are read eight
// bytes at a time: an answer full of embeddings is little else. In all the lane
// tricks below a borrow or carry may spoil the lanes above the first hit, never
// the first hit itself, and only that one is asked for.
const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// str returns the offset behind the string whose opening quote is at i.
func str(b []byte, i int) int {
	i++
	for {
		for len(b)-i >= 8 {
			x := binary.LittleEndian.Uint64(b[i:])
			quote := x ^ ones*'"'
			slash := x ^ ones*'\\'
			hit := ((quote - ones) &^ quote) | ((slash - ones) &^ slash) | ((x - ones*' ') &^ x)
			if hit &= highs; hit != 0 {
				i += bits.TrailingZeros64(hit) >> 3
				break
			}
			i += 8
		}
		if i >= len(b) {
			return -1
		}
		switch c := b[i]; {
		case c == '"':
			return i + 1
		case c == '\\':
			if i = escape(b, i+1); i < 0 {
				return -1
			}
		case c < ' ':
			return -1
		default:
			i++
		}
	}
}

// escape returns the offset behind an escape whose backslash stands before i.
func escape(b []byte, i int) int {
	if i >= len(b) {
		return -1
	}
	switch b[i] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return i + 1
	case 'u':
		if len(b)-i < 5 {
			return -1
		}
		for _, c := range b[i+1 : i+5] {
			if c-'0' > 9 && c|0x20-'a' > 5 {
				return -1
			}
		}
		return i + 5
	}
	return -1
}

// number returns the offset behind the number at i (RFC 8259 section 6).
func number(b []byte, i int) int {
	if i < len(b) && b[i] == '-' {
		i++
	}
	switch {
	case i >= len(b) || b[i]-'0' > 9:
		return -1
	case b[i] == '0':
		i++
	default:
		i = digits(b, i+1)
	}
	if i < len(b) && b[i] == '.' {
		if i++; i >= len(b) || b[i]-'0' > 9 {
			return -1
		}
		i = digits(b, i+1)
	}
	if i < len(b) && b[i]|0x20 == 'e' {
		if i++; i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		if i >= len(b) || b[i]-'0' > 9 {
			return -1
		}
		i = digits(b, i+1)
	}
	return i
}

// numbers returns the offset behind the last of the numbers that follow the one
// before i, each behind a comma and at most one blank: the inside of an embedding.
// It stops at everything else, and leaves judging it to the caller.
func numbers(b []byte, i int) int {
	for i >= 0 && len(b)-i > 2 && b[i] == ',' {
		at := i + 1
		if b[at] == ' ' {
			at++
		}
		if b[at] != '-' && b[at]-'0' > 9 {
			return i
		}
		i = number(b, at)
	}
	return i
}

// digits returns the offset behind the digits, if any, that begin at i.
func digits(b []byte, i int) int {
	for len(b)-i >= 8 {
		x := binary.LittleEndian.Uint64(b[i:]) ^ ones*'0'
		// A lane's high bit: it was no digit.
		if no := ((x + ones*(128-10)) | x) & highs; no != 0 {
			return i + bits.TrailingZeros64(no)>>3
		}
		i += 8
	}
	for i < len(b) && b[i]-'0' <= 9 {
		i++
	}
	return i
}
