package questions

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Tolerance is by how much numbers with a fraction may differ unless a list says
// otherwise, absolutely or, where they are above 1, relative to the larger.
const Tolerance = 1e-6

// Comparison compares answers, as decoded with json.Number. The zero value wants them
// to be equal.
type Comparison struct {
	// Tolerance is for numbers with a fraction.
	Tolerance float64
	// Ignored are members of the outermost object that count as equal where both have
	// them.
	Ignored []string
	// Largest is the largest difference of two numbers that was seen, in the
	// tolerance's measure.
	Largest float64
}

// Difference says where the answers differ and how; empty: nowhere.
func (c *Comparison) Difference(reference, got any) string {
	return c.differ("", reference, got)
}

func (c *Comparison) differ(path string, reference, got any) string {
	switch r := reference.(type) {
	case map[string]any:
		if g, ok := got.(map[string]any); ok {
			return c.members(path, r, g)
		}
	case []any:
		if g, ok := got.([]any); ok {
			return c.elements(path, r, g)
		}
	case json.Number:
		if g, ok := got.(json.Number); ok && c.near(r, g) {
			return ""
		}
	default:
		if reference == got {
			return ""
		}
	}
	return fmt.Sprintf("%s: %.80v where the server itself says %.80v", named(path), got, reference)
}

func named(path string) string {
	if path == "" {
		return "the answer"
	}
	return path
}

func (c *Comparison) elements(path string, reference, got []any) string {
	if len(reference) != len(got) {
		return fmt.Sprintf("%s: %d elements where the server itself gives %d", named(path), len(got), len(reference))
	}
	for i := range reference {
		if d := c.differ(path+"["+strconv.Itoa(i)+"]", reference[i], got[i]); d != "" {
			return d
		}
	}
	return ""
}

func (c *Comparison) members(path string, reference, got map[string]any) string {
	for name := range got {
		if _, ok := reference[name]; !ok {
			return strings.TrimPrefix(path+"."+name, ".") + ": is not in the server's own answer"
		}
	}
	for name, r := range reference {
		inner := strings.TrimPrefix(path+"."+name, ".")
		g, ok := got[name]
		if !ok {
			return inner + ": is missing"
		}
		if path == "" && slices.Contains(c.Ignored, name) {
			continue
		}
		if d := c.differ(inner, r, g); d != "" {
			return d
		}
	}
	return ""
}

// near says whether numbers are equal: integers exactly, others within the tolerance.
func (c *Comparison) near(a, b json.Number) bool {
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
	d := math.Abs(x-y) / max(1, math.Abs(x), math.Abs(y))
	c.Largest = max(c.Largest, d)
	return d <= c.Tolerance
}

func whole(n json.Number) bool { return !strings.ContainsAny(n.String(), ".eE") }
