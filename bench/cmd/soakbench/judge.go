package main

import (
	"cmp"
	"encoding/csv"
	"fmt"
	"math"
	"os"
	"strconv"

	"github.com/fridaymesh/friday/bench/report"
)

// series are the figures that must not grow, and of is one of them.
type series struct {
	name, unit string
	of         func(*look) float64
	// most is how much of its mean a figure may grow in an hour, where that is more than
	// its noise; 0: it is not judged.
	most float64
}

func figures() []series {
	return []series{
		{"memory of its own", "MiB", func(l *look) float64 { return l.anonymous }, .02},
		// Pages of the program itself, read when first needed: the kernel's, and no more than
		// the file has.
		{"memory of files", "MiB", func(l *look) float64 { return l.mapped }, 0},
		{"heap in use", "MiB", func(l *look) float64 { return l.heap }, .02},
		{"heap kept for later", "MiB", func(l *look) float64 { return l.free }, 0},
		{"stacks", "MiB", func(l *look) float64 { return l.stacks }, .02},
		{"goroutines", "", func(l *look) float64 { return l.goroutines }, .02},
		{"descriptors", "", func(l *look) float64 { return l.descriptors }, .02},
		{"p50", "ms", func(l *look) float64 { return l.p50 }, 0},
		{"p99", "ms", func(l *look) float64 { return l.p99 }, 0},
	}
}

// slope is the least-squares line through the figures, per hour, with its standard error.
// Neighbours resemble each other, so the error is taken from means over blocks of ten looks.
func slope(looks []look, of func(*look) float64) (mean, perHour, fault float64) {
	const block = 10
	var x, y []float64
	for i := 0; i+block <= len(looks); i += block {
		sx, sy := 0.0, 0.0
		for j := range block {
			sx += looks[i+j].at.Hours()
			sy += of(&looks[i+j])
		}
		x, y = append(x, sx/block), append(y, sy/block)
	}
	n := float64(len(x))
	mx, my := 0.0, 0.0
	for i := range x {
		mx, my = mx+x[i]/n, my+y[i]/n
	}
	if len(x) < 3 {
		return my, 0, math.Inf(1)
	}
	sxx, sxy := 0.0, 0.0
	for i := range x {
		sxx += (x[i] - mx) * (x[i] - mx)
		sxy += (x[i] - mx) * (y[i] - my)
	}
	perHour = sxy / sxx
	rest := 0.0
	for i := range x {
		e := y[i] - my - perHour*(x[i]-mx)
		rest += e * e
	}
	return my, perHour, math.Sqrt(rest / (n - 2) / sxx)
}

// judge prints the table and says what grows: more than noise explains (three standard
// errors, for six figures are looked at), and by more than is worth a word.
func (b *bench) judge(looks []look) (broken []error) {
	t := &report.Table{
		Title: fmt.Sprintf("\nIn %.0f minutes at %.0f%% of what the server can do, %d looks", b.minutes, 100*b.share, len(looks)),
		Head:  []string{"", "mean", "least", "most", "growth an hour", "± (one standard error)", ""},
	}
	for _, s := range figures() {
		least, most := math.Inf(1), math.Inf(-1)
		for i := range looks {
			least, most = min(least, s.of(&looks[i])), max(most, s.of(&looks[i]))
		}
		mean, perHour, fault := slope(looks, s.of)
		verdict := "level"
		switch {
		case s.most == 0:
			verdict = ""
		case perHour > 3*fault && perHour > s.most*mean:
			verdict = "GROWS"
			broken = append(broken, fmt.Errorf("%s grows by %.2f %s an hour (± %.2f)", s.name, perHour, cmp.Or(s.unit, "an hour"), fault))
		}
		t.Row(s.name+" "+s.unit, fmt.Sprintf("%.1f", mean), fmt.Sprintf("%.1f", least), fmt.Sprintf("%.1f", most), fmt.Sprintf("%+.2f", perHour), fmt.Sprintf("%.2f", fault), verdict)
	}
	b.say("%s", t)
	return broken
}

// keep writes what was seen to the files that were asked for.
func (b *bench) keep(looks []look) error {
	if b.plot != "" {
		title := fmt.Sprintf("Friday for %.0f minutes at %.0f%% of what the server can do", b.minutes, 100*b.share)
		if err := os.WriteFile(b.plot, []byte(plot(title, looks)), 0o644); err != nil { // #nosec G306 -- a picture for everybody
			return err
		}
	}
	if b.csv == "" {
		return nil
	}
	f, err := os.Create(b.csv)
	if err != nil {
		return err
	}
	w := csv.NewWriter(f)
	head := []string{"seconds"}
	for _, s := range figures() {
		head = append(head, s.name)
	}
	_ = w.Write(head) // Error tells
	for i := range looks {
		row := []string{strconv.FormatFloat(looks[i].at.Seconds(), 'f', 0, 64)}
		for _, s := range figures() {
			row = append(row, strconv.FormatFloat(s.of(&looks[i]), 'f', 2, 64))
		}
		_ = w.Write(row)
	}
	w.Flush()
	return cmp.Or(w.Error(), f.Close())
}
