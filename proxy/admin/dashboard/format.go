package dashboard

import (
	"fmt"
	"math"
	"reflect"
	"strconv"
	"time"

	"github.com/fridaymesh/friday/proxy"
	"github.com/fridaymesh/friday/proxy/template"
)

// none stands where there is no number.
const none = "–"

// seconds writes a time as people say it: 850 µs, 12 ms, 3.4 s.
func seconds(s float64) string {
	switch {
	case math.IsNaN(s):
		return none
	case math.IsInf(s, 1):
		return "over 1 min"
	case s == 0:
		return "0 s"
	case s < .000_999_5:
		return short(s*1e6) + " µs"
	case s < .999_5:
		return short(s*1e3) + " ms"
	case s < 120:
		return short(s) + " s"
	case s < 2*3600:
		return short(s/60) + " min"
	case s < 48*3600:
		return short(s/3600) + " h"
	}
	return short(s/86400) + " days"
}

// number writes three figures of what is below a thousand, and the whole number above.
func number(v float64) string {
	switch {
	case math.IsNaN(v) || math.IsInf(v, 0):
		return none
	case v >= 1e9:
		return short(v/1e9) + " G"
	case v >= 1e6:
		return short(v/1e6) + " M"
	case v >= 1e4:
		return short(v/1e3) + " k"
	}
	return short(v)
}

func sizeOf(v float64) string {
	units := []string{" B", " KiB", " MiB", " GiB", " TiB"}
	i := 0
	for ; v >= 1024 && i < len(units)-1; i++ {
		v /= 1024
	}
	return short(v) + units[i]
}

// percent writes a share; NaN, such as 0 of 0, is none.
func percent(share float64) string {
	if math.IsNaN(share) || math.IsInf(share, 0) {
		return none
	}
	if share > 0 && share < .0001 {
		return "< 0.01 %"
	}
	return short(share*100) + " %"
}

// high says that a share of errors is one to look at; it is the usual alert's.
func high(share float64) bool { return known(share) && share > .02 }

// short has up to three figures, and none after the point that say nothing.
func short(v float64) string {
	places := 0
	switch {
	case v == math.Trunc(v):
	case v < 10:
		places = 2
	case v < 100:
		places = 1
	}
	s := strconv.FormatFloat(v, 'f', places, 64)
	if places > 0 {
		for s[len(s)-1] == '0' {
			s = s[:len(s)-1]
		}
		if s[len(s)-1] == '.' {
			s = s[:len(s)-1]
		}
	}
	return s
}

// functions are what the page calls.
func functions() map[string]template.Func {
	return map[string]template.Func{
		"seconds": of(seconds), "number": of(number), "bytes": of(sizeOf), "percent": of(percent), "high": of(high),
		"rows": rows, "more": of(more), "ready": of(ready), "moment": of(moment),
		"p50":  ofGroup(func(h *histogram) float64 { return h.Quantile(.5) }),
		"p99":  ofGroup(func(h *histogram) float64 { return h.Quantile(.99) }),
		"mean": ofGroup((*histogram).Mean),
	}
}

// of lends a template a function of one argument.
func of[A, R any](f func(A) R) template.Func {
	return func(args []any) (any, error) {
		if len(args) == 1 {
			if a, ok := args[0].(A); ok {
				return f(a), nil
			}
		}
		return nil, fmt.Errorf("not for %T", args)
	}
}

func ofGroup(f func(*histogram) float64) template.Func {
	return func(args []any) (any, error) {
		if g, ok := args[0].(*group); ok {
			return f(&g.histogram), nil
		}
		return of(func(g group) float64 { return f(&g.histogram) })(args)
	}
}

// ready says that a model is where it should be.
func ready(m proxy.ModelStatus) bool { return m.State == "ready" }

// moment writes a time as RFC 3339 does; nothing where there is none.
func moment(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04:05Z")
}

// most is how many rows of a table are shown.
const most = 50

// rows are the first of a table's, more how many there are besides.
func rows(args []any) (any, error) {
	v := reflect.ValueOf(args[0])
	if v.Kind() != reflect.Slice {
		return nil, fmt.Errorf("not for %T", args[0])
	}
	return v.Slice(0, min(v.Len(), most)).Interface(), nil
}

func more(n int) int { return max(0, n-most) }
