package policy

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// A Problem is one thing wrong with a file.
type Problem struct {
	File string
	// Line counts from 1; 0 where it is not known.
	Line int
	// Path is the field's, as spec.server.endpoints[0]; empty where the file as a
	// whole is meant.
	Path string
	// Text is the value, where there is one, and what is wrong with it.
	Text string
}

var _ error = (*Problem)(nil)

// Error is FILE:LINE: PATH: TEXT.
func (p *Problem) Error() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		b.WriteString(":" + strconv.Itoa(p.Line))
	}
	b.WriteString(": ")
	if p.Path != "" {
		b.WriteString(p.Path + ": ")
	}
	b.WriteString(p.Text)
	return b.String()
}

// Problems are all that is wrong, in the order of the file.
type Problems []*Problem

var _ error = Problems(nil)

// maxProblems bounds what is told about one file. Who has a hundred problems has
// one cause.
const maxProblems = 100

// Error has one line for each.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.Error()
	}
	return strings.Join(lines, "\n")
}

// sorted orders the problems of one file by line and bounds their number.
func (ps Problems) sorted() Problems {
	slices.SortStableFunc(ps, func(a, b *Problem) int { return a.Line - b.Line })
	if len(ps) > maxProblems {
		rest := len(ps) - maxProblems
		ps = append(ps[:maxProblems:maxProblems], &Problem{File: ps[0].File, Text: fmt.Sprintf("and %d more problems", rest)})
	}
	return ps
}

// maxShown bounds how much of a value a problem repeats, in bytes.
const maxShown = 64

func quote(s string) string {
	if len(s) <= maxShown {
		return strconv.Quote(s)
	}
	cut := maxShown
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return strconv.Quote(s[:cut] + "…")
}

// nearest returns the candidate that name most likely was meant to be, if one is
// close: equal but for case and underscores, or at most two edits away (one, in
// short names).
func nearest(name string, candidates []string) (string, bool) {
	if len(name) > maxShown {
		return "", false
	}
	plain := func(s string) string { return strings.ToLower(strings.NewReplacer("_", "", "-", "").Replace(s)) }
	best, found, distance := "", false, 3
	for _, c := range candidates {
		d := edits(plain(name), plain(c))
		if allowed := min(2, (len(c)+1)/3); d <= allowed && d < distance {
			best, found, distance = c, true, d
		}
	}
	return best, found
}

// edits is the Levenshtein distance.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
