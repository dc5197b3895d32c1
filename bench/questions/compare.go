package questions

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
)

// Tolerance is by how much numbers may differ, absolutely or relative to the larger.
const Tolerance = 1e-6

// Difference says where two answers, as decoded with json.Number, differ and how;
// empty: nowhere. Members of the outermost object that are named in ignored count as
// equal where both have them.
func Difference(reference, got any, ignored ...string) string {
	return differ("", reference, got, ignored)
}

func differ(path string, reference, got any, ignored []string) string {
	at := path
	if at == "" {
		at = "the answer"
	}
	switch r := reference.(type) {
	case map[string]any:
		g, ok := got.(map[string]any)
		if !ok {
			break
		}
		return differMembers(path, r, g, ignored)
	case []any:
		g, ok := got.([]any)
		if !ok {
			break
		}
		if len(r) != len(g) {
			return fmt.Sprintf("%s: %d elements where the server itself gives %d", at, len(g), len(r))
		}
		for i := range r {
			if d := differ(fmt.Sprintf("%s[%d]", path, i), r[i], g[i], nil); d != "" {
				return d
			}
		}
		return ""
	case json.Number:
		if g, ok := got.(json.Number); ok && near(r, g) {
			return ""
		}
	default:
		if reference == got {
			return ""
		}
	}
	return fmt.Sprintf("%s: %.80v where the server itself says %.80v", at, got, reference)
}

func differMembers(path string, reference, got map[string]any, ignored []string) string {
	for name := range got {
		if _, ok := reference[name]; !ok {
			return fmt.Sprintf("%s: is not in the server's own answer", strings.TrimPrefix(path+"."+name, "."))
		}
	}
	for name, r := range reference {
		inner := strings.TrimPrefix(path+"."+name, ".")
		g, ok := got[name]
		if !ok {
			return inner + ": is missing"
		}
		if slices.Contains(ignored, name) {
			continue
		}
		if d := differ(inner, r, g, nil); d != "" {
			return d
		}
	}
	return ""
}

// near says whether numbers are equal: integers exactly, others within the tolerance.
func near(a, b json.Number) bool {
	if a == b {
		return true
	}
	if whole(a) && whole(b) {
		return false
	}
	x, errX := a.Float64()
	y, errY := b.Float64()
	if errX != nil || errY != nil {
		return false
	}
	return math.Abs(x-y) <= Tolerance*max(1, math.Abs(x), math.Abs(y))
}

func whole(n json.Number) bool { return !strings.ContainsAny(n.String(), ".eE") }
