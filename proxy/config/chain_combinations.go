package config

import (
	"fmt"
	"iter"
	"strings"
)

// Combinations are the ways in which a connection can match, one value of each
// field, as text. Two chains that have one in common cannot be told apart by the
// connections that match it.
func (m *ChainMatch) Combinations() iter.Seq[string] {
	fields := [][]string{
		texts(m.Prefixes), m.ServerNames, m.Protocols, texts(m.Direct), texts(m.Sources), texts(m.SourcePorts),
	}
	fixed := fmt.Sprintf("%d %s %d", m.Port, m.Transport, m.SourceType)
	return func(yield func(string) bool) {
		combine(fields, []string{fixed}, yield)
	}
}

func combine(fields [][]string, so []string, yield func(string) bool) bool {
	if len(fields) == 0 {
		return yield(strings.Join(so, "\n"))
	}
	if len(fields[0]) == 0 {
		return combine(fields[1:], append(so, ""), yield)
	}
	for _, v := range fields[0] {
		if !combine(fields[1:], append(so, v), yield) {
			return false
		}
	}
	return true
}

func texts[T any](values []T) (out []string) {
	for _, v := range values {
		out = append(out, fmt.Sprint(v))
	}
	return out
}
