package proxy

import (
	"bytes"
	"strings"
	"sync"

	"github.com/valyala/fasthttp"
)

// Head is a request's or a response's, of which fields are asked and changed by name in
// any case.
//
// fasthttp, told not to normalise names (and a proxy must not), knows a field by its
// exact spelling only. So the functions below go over the written head, which costs as
// much as writing it: they are for what a configuration asks for, not for every request.
type Head interface {
	AppendBytes(dst []byte) []byte
	DelBytes(name []byte)
	AddBytesKV(name, value []byte)
}

var (
	_ Head = (*fasthttp.RequestHeader)(nil)
	_ Head = (*fasthttp.ResponseHeader)(nil)
)

var heads = sync.Pool{New: func() any { return new([]byte) }} //nolint:gochecknoglobals // a pool is shared by nature

// written calls f with the written head, which is gone afterwards.
func written(h Head, f func(head []byte)) {
	b := heads.Get().(*[]byte) //nolint:forcetypeassert // the pool holds nothing else
	*b = h.AppendBytes((*b)[:0])
	f(*b)
	heads.Put(b)
}

// FieldValues are the values of a field, in order.
func FieldValues(h Head, name string) (values []string) {
	written(h, func(head []byte) {
		for k, v := range Fields(head) {
			if len(k) == len(name) && strings.EqualFold(string(k), name) {
				values = append(values, string(v))
			}
		}
	})
	return values
}

// FieldValue is a field's value, several lines joined by "," (RFC 9110 section 5.3).
func FieldValue(h Head, name string) (value string, ok bool) {
	values := FieldValues(h, name)
	return strings.Join(values, ","), len(values) > 0
}

// AddField adds a line. Of fields that are there once by nature (Host, Content-Type,
// User-Agent) it takes the place of the value.
func AddField(h Head, name, value string) { h.AddBytesKV([]byte(name), []byte(value)) }

// SetField leaves one line of that name.
func SetField(h Head, name, value string) {
	RemoveFields(h, func(k []byte) bool { return len(k) == len(name) && strings.EqualFold(string(k), name) })
	AddField(h, name, value)
}

// RemoveField removes all lines of that name.
func RemoveField(h Head, name string) {
	RemoveFields(h, func(k []byte) bool { return len(k) == len(name) && strings.EqualFold(string(k), name) })
}

// RemoveFields removes the fields whose names are doomed; the values of the others keep
// their order.
func RemoveFields(h Head, doomed func(name []byte) bool) {
	var gone, stay [][2][]byte
	written(h, func(head []byte) {
		for k, v := range Fields(head) {
			pair := [2][]byte{bytes.Clone(k), bytes.Clone(v)}
			if doomed(k) {
				gone = append(gone, pair)
			} else {
				stay = append(stay, pair)
			}
		}
	})
	if len(gone) == 0 {
		return
	}
	for _, f := range gone {
		h.DelBytes(f[0])
	}
	// DelBytes swaps lines about. That matters for the values of one name only.
	var i int
	scrambled := map[string]bool{}
	written(h, func(head []byte) {
		for k, v := range Fields(head) {
			if i < len(stay) && (!bytes.Equal(k, stay[i][0]) || !bytes.Equal(v, stay[i][1])) {
				scrambled[string(k)] = true
			}
			i++
		}
	})
	for name := range scrambled {
		repair(h, name, stay)
	}
}

// repair writes the lines of one name anew, in their order, where there are several.
func repair(h Head, name string, fields [][2][]byte) {
	var values [][]byte
	for _, f := range fields {
		if string(f[0]) == name {
			values = append(values, f[1])
		}
	}
	if len(values) < 2 || strings.EqualFold(name, "cookie") { // whose lines fasthttp would join
		return
	}
	h.DelBytes([]byte(name))
	for _, v := range values {
		h.AddBytesKV([]byte(name), v)
	}
}
