package history

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// around is how many equal lines stand around those that differ.
const around = 3

// Diff says how b differs from a, policy by policy, in the unified form; empty:
// not at all. Weights that a shift had set stand as comments behind the text.
func Diff(a, b *Version) string {
	names := map[string]bool{}
	for _, v := range []*Version{a, b} {
		for _, p := range v.Policies {
			names[p.Name] = true
		}
	}
	var out strings.Builder
	for _, name := range slices.Sorted(maps.Keys(names)) {
		old, now := text(a.Find(name)), text(b.Find(name))
		if slices.Equal(old, now) {
			continue
		}
		fmt.Fprintf(&out, "--- %s\n+++ %s\n", label(a, name), label(b, name))
		hunks(&out, edits(old, now))
	}
	return out.String()
}

func label(v *Version, name string) string {
	p := v.Find(name)
	if p == nil {
		return fmt.Sprintf("/dev/null\tversion %d", v.Number)
	}
	return fmt.Sprintf("%s\tversion %d, %s of %s", p.Name, v.Number, p.Version, p.File)
}

// text is a policy's lines.
func text(p *Policy) []string {
	if p == nil {
		return nil
	}
	lines := strings.Split(strings.TrimRight(p.Text, "\n"), "\n")
	for _, prefix := range slices.Sorted(maps.Keys(p.Weights)) {
		lines = append(lines, fmt.Sprintf("# shifted: %s%s: %s", p.Name, prefix, Shares(p.Weights[prefix])))
	}
	return lines
}

// Shares is weights as people write them: blue=90,green=10.
func Shares(weights map[string]uint32) string {
	parts := make([]string, 0, len(weights))
	for _, name := range slices.Sorted(maps.Keys(weights)) {
		parts = append(parts, fmt.Sprintf("%s=%d", name, weights[name]))
	}
	return strings.Join(parts, ",")
}

// edit is a line that stays (' '), goes ('-') or comes ('+').
type edit struct {
	kind byte
	line string
}

// maxTable bounds the memory of a comparison; beyond it all lines between the
// equal ends go and come.
const maxTable = 4 << 20

// edits leads from the lines a to the lines b, by their longest common
// subsequence.
func edits(a, b []string) (list []edit) {
	head := 0
	for head < len(a) && head < len(b) && a[head] == b[head] {
		head++
	}
	tail := 0
	for tail < len(a)-head && tail < len(b)-head && a[len(a)-1-tail] == b[len(b)-1-tail] {
		tail++
	}
	add := func(kind byte, lines ...string) {
		for _, l := range lines {
			list = append(list, edit{kind, l})
		}
	}
	add(' ', a[:head]...)
	x, y := a[head:len(a)-tail], b[head:len(b)-tail]
	if len(x)*len(y) > maxTable {
		add('-', x...)
		add('+', y...)
	} else {
		list = append(list, compare(x, y)...)
	}
	add(' ', a[len(a)-tail:]...)
	return list
}

func compare(x, y []string) (list []edit) {
	// longest[i][j] is that of x[i:] and y[j:].
	longest := make([][]int32, len(x)+1)
	for i := range longest {
		longest[i] = make([]int32, len(y)+1)
	}
	for i, old := range slices.Backward(x) {
		for j, now := range slices.Backward(y) {
			if old == now {
				longest[i][j] = longest[i+1][j+1] + 1
			} else {
				longest[i][j] = max(longest[i+1][j], longest[i][j+1])
			}
		}
	}
	i, j := 0, 0
	for i < len(x) || j < len(y) {
		switch {
		case i < len(x) && j < len(y) && x[i] == y[j]:
			list = append(list, edit{' ', x[i]})
			i, j = i+1, j+1
		case j == len(y) || i < len(x) && longest[i+1][j] >= longest[i][j+1]:
			list = append(list, edit{'-', x[i]})
			i++
		default:
			list = append(list, edit{'+', y[j]})
			j++
		}
	}
	return list
}

// hunks writes the edits with the lines around them.
func hunks(out *strings.Builder, list []edit) {
	near := make([]bool, len(list))
	for i, e := range list {
		if e.kind != ' ' {
			for k := max(0, i-around); k <= min(len(list)-1, i+around); k++ {
				near[k] = true
			}
		}
	}
	old, now := 1, 1
	for i := 0; i < len(list); {
		if !near[i] {
			old, now, i = old+1, now+1, i+1
			continue
		}
		end, gone, come := i, 0, 0
		for ; end < len(list) && near[end]; end++ {
			if list[end].kind != '+' {
				gone++
			}
			if list[end].kind != '-' {
				come++
			}
		}
		fmt.Fprintf(out, "@@ -%s +%s @@\n", span(old, gone), span(now, come))
		for _, e := range list[i:end] {
			out.WriteString(string(rune(e.kind)) + e.line + "\n")
		}
		old, now, i = old+gone, now+come, end
	}
}

// span is a hunk's place: of no lines, the line before.
func span(first, n int) string {
	if n == 0 {
		first--
	}
	return fmt.Sprintf("%d,%d", first, n)
}
