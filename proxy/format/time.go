package format

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// startTime compiles START_TIME's argument: the words of strftime(3), and %f, %1f to
// %9f for parts of a second, %s for seconds since 1970. Empty: ISO 8601 with
// milliseconds.
func startTime(layout string, local bool) (value, error) {
	if layout == "" {
		layout = "%Y-%m-%dT%H:%M:%S.%3fZ"
	}
	var parts []func(dst []byte, t time.Time) []byte
	add := func(f func(dst []byte, t time.Time) []byte) { parts = append(parts, f) }
	for rest := layout; rest != ""; {
		before, after, found := strings.Cut(rest, "%")
		add(func(dst []byte, _ time.Time) []byte { return append(dst, before...) })
		if !found {
			break
		}
		digits := 0
		for digits < len(after) && '0' <= after[digits] && after[digits] <= '9' {
			digits++
		}
		width, _ := strconv.Atoi(after[:digits])
		if digits == len(after) || digits > 0 && (after[digits] != 'f' || width < 1 || width > 9) {
			return nil, fmt.Errorf("START_TIME(%s): a word of strftime must follow %q", layout, "%")
		}
		f, ok := timeWord(after[digits], width)
		if !ok {
			return nil, fmt.Errorf("START_TIME(%s): %q is not supported", layout, "%"+after[digits:digits+1])
		}
		add(f)
		rest = after[digits+1:]
	}
	return func(f *Facts) (string, bool) {
		t := f.Request.Start.UTC()
		if local {
			t = t.Local()
		}
		var dst []byte
		for _, p := range parts {
			dst = p(dst, t)
		}
		return string(dst), true
	}, nil
}

func timeWord(word byte, width int) (func(dst []byte, t time.Time) []byte, bool) {
	if layout, ok := layouts[word]; ok {
		return func(dst []byte, t time.Time) []byte { return t.AppendFormat(dst, layout) }, true
	}
	switch word {
	case 's':
		return func(dst []byte, t time.Time) []byte { return strconv.AppendInt(dst, t.Unix(), 10) }, true
	case 'f':
		if width == 0 {
			width = 9
		}
		return func(dst []byte, t time.Time) []byte {
			return append(dst, fmt.Sprintf("%09d", t.Nanosecond())[:width]...)
		}, true
	case '%':
		return func(dst []byte, _ time.Time) []byte { return append(dst, '%') }, true
	}
	return nil, false
}

//nolint:gochecknoglobals // an immutable table
var layouts = map[byte]string{
	'Y': "2006", 'y': "06", 'm': "01", 'd': "02", 'e': "_2", 'H': "15", 'I': "03", 'M': "04", 'S': "05",
	'p': "PM", 'b': "Jan", 'B': "January", 'a': "Mon", 'A': "Monday", 'j': "002", 'z': "-0700", 'Z': "MST",
	'F': "2006-01-02", 'T': "15:04:05", 'D': "01/02/06", 'R': "15:04",
}
