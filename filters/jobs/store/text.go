package store

import (
	"encoding/hex"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"
)

// texts are statements with PostgreSQL's numbered parameters. Their number is that of the
// statements in this package.
type texts struct{ known sync.Map }

func newTexts() *texts { return new(texts) }

// numbered puts $1, $2 … in the place of each ?. No statement of this package has one
// elsewhere.
func (t *texts) numbered(statement string) string {
	if known, ok := t.known.Load(statement); ok {
		return known.(string) //nolint:forcetypeassert // nothing else is stored
	}
	var b strings.Builder
	n := 0
	for part := range strings.SplitSeq(statement, "?") {
		if n > 0 {
			b.WriteString("$" + strconv.Itoa(n))
		}
		b.WriteString(part)
		n++
	}
	t.known.Store(statement, b.String())
	return b.String()
}

// escape stands before each byte, in hexadecimal, that PostgreSQL's text cannot have: NUL,
// and what is no UTF-8. It is a code point that never stands for a character (Unicode 23.7),
// and is escaped itself.
const escape = "\uFDD0"

// escaped is s as PostgreSQL can keep it.
func escaped(s string) string {
	if !strings.Contains(s, "\x00") && !strings.Contains(s, escape) && utf8.ValidString(s) {
		return s
	}
	var b strings.Builder
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		if r == utf8.RuneError && n == 1 || r == 0 || s[:n] == escape {
			for _, c := range []byte(s[:n]) {
				b.WriteString(escape + hex.EncodeToString([]byte{c}))
			}
		} else {
			b.WriteString(s[:n])
		}
		s = s[n:]
	}
	return b.String()
}

// unescaped is what escaped was of.
func unescaped(s string) string {
	head, rest, found := strings.Cut(s, escape)
	if !found {
		return s
	}
	var b strings.Builder
	b.WriteString(head)
	for found {
		head, rest, found = strings.Cut(rest, escape)
		if c, err := hex.DecodeString(head[:min(2, len(head))]); err == nil && len(c) == 1 {
			b.Write(c)
			head = head[2:]
		}
		b.WriteString(head)
	}
	return b.String()
}

// escapeAll leaves args alone: a change may be made again with them.
func escapeAll(args []any) []any {
	out := slices.Clone(args)
	for i, a := range out {
		if s, ok := a.(string); ok {
			out[i] = escaped(s)
		}
	}
	return out
}

func unescapeAll(err error, into []any) error {
	for _, p := range into {
		switch p := p.(type) {
		case *string:
			*p = unescaped(*p)
		case *any:
			if s, ok := (*p).(string); ok {
				*p = unescaped(s)
			}
		}
	}
	return err
}
