// Package report writes tables for people: columns that line up, figures with as
// many digits as they are worth.
package report

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Table is lines of cells under a heading. A column whose cells all begin with a
// digit, a sign or a dash is set flush right.
type Table struct {
	Title string
	Head  []string
	rows  [][]string // nil: a rule between rows
}

// Row adds a line. Cells beyond the heading are an error of the caller's and
// left out.
func (t *Table) Row(cells ...string) {
	row := make([]string, len(t.Head))
	copy(row, cells)
	t.rows = append(t.rows, row)
}

// Rule adds a line between rows.
func (t *Table) Rule() {
	if n := len(t.rows); n > 0 && t.rows[n-1] != nil {
		t.rows = append(t.rows, nil)
	}
}

// WriteTo writes the table.
func (t *Table) WriteTo(w io.Writer) (int64, error) {
	n, err := io.WriteString(w, t.String())
	return int64(n), err
}

// String is the table as text.
func (t *Table) String() string {
	widths := make([]int, len(t.Head))
	right := make([]bool, len(t.Head))
	for i, h := range t.Head {
		widths[i] = utf8.RuneCountInString(h)
		right[i] = true
		for _, row := range t.rows {
			if row == nil {
				continue
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(row[i]))
			right[i] = right[i] && (row[i] == "" || strings.ContainsRune("0123456789+-−–", first(row[i])))
		}
	}
	var b strings.Builder
	if t.Title != "" {
		b.WriteString(t.Title + "\n")
	}
	line := func(cells []string) {
		var l strings.Builder
		for i, c := range cells {
			gap := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(c))
			if right[i] {
				l.WriteString("  " + gap + c)
			} else {
				l.WriteString("  " + c + gap)
			}
		}
		b.WriteString(strings.TrimRight(l.String(), " ") + "\n")
	}
	rule := make([]string, len(t.Head))
	for i := range rule {
		rule[i] = strings.Repeat("-", widths[i])
	}
	line(t.Head)
	line(rule)
	for i, row := range t.rows {
		switch {
		case row != nil:
			line(row)
		case i < len(t.rows)-1:
			line(rule)
		}
	}
	return b.String()
}

func first(s string) rune {
	r, _ := utf8.DecodeRuneInString(s)
	return r
}

// Median is the middle of values in any order, or the mean of the two in the middle; 0 of
// none.
func Median[T ~int64 | ~float64](values []T) T {
	if len(values) == 0 {
		return 0
	}
	v := slices.Sorted(slices.Values(values))
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}

// Millis is a time in milliseconds, with three digits that count.
func Millis(d time.Duration) string {
	ms := float64(d) / float64(time.Millisecond)
	switch {
	case ms == 0:
		return "0"
	case math.Abs(ms) < 1:
		return fmt.Sprintf("%.3f", ms)
	case math.Abs(ms) < 10:
		return fmt.Sprintf("%.2f", ms)
	case math.Abs(ms) < 100:
		return fmt.Sprintf("%.1f", ms)
	}
	return fmt.Sprintf("%.0f", ms)
}

// Rate is a number per second: whole where it is large, with commas.
func Rate(v float64) string {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return "–"
	}
	if math.Abs(v) < 100 {
		return fmt.Sprintf("%.1f", v)
	}
	return Count(int64(math.Round(v)))
}

// Count is a whole number with commas.
func Count[T ~int | ~int64 | ~uint64](v T) string {
	s := fmt.Sprintf("%d", v)
	sign := ""
	if s[0] == '-' {
		sign, s = "-", s[1:]
	}
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return sign + s
}

// Ratio is how many times b goes into a, as "1.25×".
func Ratio(a, b float64) string {
	if b == 0 {
		return "–"
	}
	return fmt.Sprintf("%.2f×", a/b)
}

// Percent is a share as "96.3%".
func Percent(v float64) string { return fmt.Sprintf("%.1f%%", 100*v) }
