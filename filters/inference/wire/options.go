package wire

import (
	"bytes"
	"crypto/sha256"
	"slices"

	"github.com/fridaymesh/friday/filters/inference/jsonspan"
)

// Options gathers the members of one object, to make a key of those that have to
// be equal. Its zero value is empty.
type Options struct {
	members []member
	arrays  [][]byte   // of what Other added
	first   [12]member // what members begin with, so that few members cost nothing
}

type member struct{ name, value []byte }

// Add adds a member that has to be equal: its name as it stands between the quotes
// and its value's bytes.
func (o *Options) Add(name, value []byte) {
	if o.members == nil {
		o.members = o.first[:0]
	}
	o.members = append(o.members, member{name, value})
}

// Other adds a member that has to be equal and whose meaning is not known.
func (o *Options) Other(name, value []byte) {
	o.Add(name, value)
	if len(value) > 0 && value[0] == '[' {
		o.arrays = append(o.arrays, value)
	}
}

// RunsOver says whether a member of unknown meaning may be a list over so many
// items.
func (o *Options) RunsOver(items int) bool {
	return slices.ContainsFunc(o.arrays, func(value []byte) bool { return PerItem(value, items) })
}

// Note adds a member that may differ; only its name counts.
func (o *Options) Note(name []byte) { o.Add(name, nil) }

// maxMembers bounds what one object costs.
const maxMembers = 256

// Unique says that every name stands once and without an escape. Where it is false,
// which member a server takes is its own affair. It orders the members by name.
func (o *Options) Unique() bool {
	if len(o.members) > maxMembers {
		return false
	}
	slices.SortFunc(o.members, func(a, b member) int { return bytes.Compare(a.name, b.name) })
	for i, m := range o.members {
		if jsonspan.Escaped(m.name) || i > 0 && bytes.Equal(o.members[i-1].name, m.name) {
			return false
		}
	}
	return true
}

// AppendKey writes the members that have to be equal as an object, ordered by
// name, so that the order in which a client writes them does not matter. It is
// false where they are not Unique.
func (o *Options) AppendKey(dst []byte) ([]byte, bool) {
	if !o.Unique() {
		return dst, false
	}
	dst = append(dst, '{')
	for _, m := range o.members {
		if m.value == nil {
			continue
		}
		dst = append(dst, '"')
		dst = append(dst, m.name...)
		dst = append(dst, '"', ':')
		dst = append(dst, m.value...)
		dst = append(dst, ',')
	}
	return append(dst, '}'), true
}

// maxKey is the length from which on a key is replaced by its hash: keys are kept
// for as long as a group of requests lives, options may be as long as a body.
const maxKey = 512

// Key makes a Message's Key of what AppendKey wrote.
func Key(raw []byte) string {
	if len(raw) <= maxKey {
		return string(raw)
	}
	sum := sha256.Sum256(raw)
	return "sha256:" + string(sum[:])
}

// PerItem says whether value, an option that its protocol does not know, may be a
// list that runs over the items, as it is an array of that very length: then it
// cannot be the same for other items.
func PerItem(value []byte, items int) bool {
	if value[0] != '[' {
		return false
	}
	s := jsonspan.New(value)
	n := 0
	for s.Array(); s.Element(); n++ {
		s.Value()
	}
	return n == items
}
