package main

import (
	"fmt"
	"html"
	"strings"
)

// The picture's measures, in pixels.
const (
	wide, high   = 860, 150 // of one panel
	left, beside = 60, 170
	above, under = 26, 14
)

// plot draws the figures as an SVG, one panel for those that share a unit.
func plot(title string, looks []look) string {
	all := figures()
	panels := []struct {
		name  string
		lines []series
	}{
		{"MiB", []series{all[0], all[1], all[2], all[4]}},
		{"goroutines, descriptors", []series{all[5], all[6]}},
		{"ms", []series{all[7], all[8]}},
	}
	var b strings.Builder
	tall := 40 + len(panels)*(high+above+under)
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">`+"\n", left+wide+beside, tall)
	fmt.Fprintf(&b, `<rect width="100%%" height="100%%" fill="white"/><text x="%d" y="22" font-size="15">%s</text>`+"\n", left, html.EscapeString(title))
	y := 40
	for _, p := range panels {
		panel(&b, p.name, p.lines, looks, y+above)
		y += high + above + under
	}
	b.WriteString("</svg>\n")
	return b.String()
}

// colours tell the lines of a panel apart, also in print.
func colours() []string { return []string{"#1f5aa6", "#9a9a9a", "#d1731f", "#2e8b57"} }

func panel(b *strings.Builder, name string, lines []series, looks []look, top int) {
	most := 0.0
	for _, s := range lines {
		for i := range looks {
			most = max(most, s.of(&looks[i]))
		}
	}
	if most == 0 || len(looks) < 2 {
		return
	}
	most *= 1.1
	first, last := looks[0].at.Minutes(), looks[len(looks)-1].at.Minutes()
	fmt.Fprintf(b, `<text x="%d" y="%d" fill="#555">%s</text>`+"\n", left, top-6, html.EscapeString(name))
	for i := range 3 {
		v := most * float64(i) / 2
		at := float64(top+high) - float64(high)*v/most
		fmt.Fprintf(b, `<line x1="%d" x2="%d" y1="%.1f" y2="%.1f" stroke="#ddd"/><text x="%d" y="%.1f" text-anchor="end" fill="#555">%.0f</text>`+"\n", left, left+wide, at, at, left-6, at+4, v)
	}
	for n, s := range lines {
		fmt.Fprintf(b, `<polyline fill="none" stroke="%s" stroke-width="1.5" points="`, colours()[n])
		for i := range looks {
			x := float64(left) + float64(wide)*(looks[i].at.Minutes()-first)/(last-first)
			fmt.Fprintf(b, "%.1f,%.1f ", x, float64(top+high)-float64(high)*s.of(&looks[i])/most)
		}
		b.WriteString(`"/>` + "\n")
		fmt.Fprintf(b, `<text x="%d" y="%d" fill="%s">%s</text>`+"\n", left+wide+10, top+14+16*n, colours()[n], html.EscapeString(s.name))
	}
	fmt.Fprintf(b, `<text x="%d" y="%d" fill="#555">minute %.0f</text><text x="%d" y="%d" text-anchor="end" fill="#555">%.0f</text>`+"\n", left, top+high+13, first, left+wide, top+high+13, last)
}
