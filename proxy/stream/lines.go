package stream

import "bytes"

// MaxLine is the longest line that is put together from several pieces.
const MaxLine = 16 << 10

// Lines cuts text that comes in pieces into lines, which end in LF or CRLF. Server-sent
// events (HTML standard, section 9.2) and NDJSON are made of lines; a lone CR, with
// which the former could end, too, is used by nobody and is a part of the line here.
// The zero value is at the start of a text.
type Lines struct {
	begun []byte // a line whose end has not come
	over  bool   // it is too long: its end is waited for
}

// Next takes the first line off piece. line is nil where piece holds the end of none:
// what it holds is remembered, and rest is empty. A line that is longer than [MaxLine]
// and came in pieces is cut to its beginning. line is valid until the next call.
func (l *Lines) Next(piece []byte) (line, rest []byte) {
	line, rest, whole := bytes.Cut(piece, []byte{'\n'})
	if !whole {
		l.keep(piece)
		return nil, nil
	}
	if len(l.begun) > 0 {
		l.keep(line)
		line = l.begun
		l.begun, l.over = l.begun[:0], false
	}
	if n := len(line); n > 0 && line[n-1] == '\r' {
		line = line[:n-1]
	}
	return line, rest
}

// Skip takes all lines off piece without a look at them.
func (l *Lines) Skip(piece []byte) {
	if i := bytes.LastIndexByte(piece, '\n'); i >= 0 {
		l.begun, l.over = l.begun[:0], false
		piece = piece[i+1:]
	}
	l.keep(piece)
}

// Begun is what has come of the line whose end has not.
func (l *Lines) Begun() []byte { return l.begun }

// Over says that Begun has been cut.
func (l *Lines) Over() bool { return l.over }

func (l *Lines) keep(part []byte) {
	if room := MaxLine - len(l.begun); len(part) > room {
		part, l.over = part[:room], true
	}
	l.begun = append(l.begun, part...)
}
