package modelinfer

import (
	"bytes"
	"slices"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/fridaymesh/friday/filters/inference/wire"
)

// key gathers what has to be equal: each part behind its field's number and with
// its length, so that two that differ are never written alike.
type key struct {
	raw []byte
}

func (k *key) add(number protowire.Number, part []byte) {
	k.raw = protowire.AppendVarint(k.raw, uint64(number)) // #nosec G115 -- positive
	k.raw = protowire.AppendBytes(k.raw, part)
}

func (k *key) String() string { return wire.Key(k.raw) }

// apart are the beginnings of parameters that keep a request from sharing a call:
// sequences are stateful, and with shared memory the data is not in the message.
var apart = [...]string{"sequence_", "shared_memory_"} //nolint:gochecknoglobals // a constant table

// maxParameters bounds what one map costs.
const maxParameters = 256

// parameters are a map's entries. Encoders write them in any order.
type parameters struct {
	entries []entry
}

type entry struct{ name, value []byte }

// add takes one field of the map: a message of the name, field 1, and the value, an
// InferParameter, field 2. It is false where that is not all there is, or the
// parameter keeps the request apart.
func (p *parameters) add(r *fields, f field) bool {
	var e entry
	var seen uint32
	in := r.inside(f)
	for f, ok := in.next(); ok; f, ok = in.next() {
		switch f.number {
		case 1:
			e.name = in.of(f)
		case 2:
			e.value = in.of(f)
		default:
			return false
		}
		if !once(&seen, f) {
			return false
		}
	}
	for _, prefix := range apart {
		if strings.HasPrefix(string(e.name), prefix) && !isFalse(e.value) {
			return false
		}
	}
	p.entries = append(p.entries, e)
	return !in.bad && len(p.entries) <= maxParameters
}

// isFalse: bool_param, field 1, is false, which asks for nothing.
func isFalse(value []byte) bool { return string(value) == "\x08\x00" }

// addTo adds all of them to k; false where a name stands twice: a decoder takes the
// last.
func (p *parameters) addTo(k *key, number protowire.Number) bool {
	slices.SortFunc(p.entries, func(a, b entry) int { return bytes.Compare(a.name, b.name) })
	for i, e := range p.entries {
		if i > 0 && bytes.Equal(p.entries[i-1].name, e.name) {
			return false
		}
		k.add(number, e.name)
		k.add(number, e.value)
	}
	return true
}
