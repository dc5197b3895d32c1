package batch

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"sync"

	"github.com/fridaymesh/friday/filters/inference"
	"github.com/fridaymesh/friday/proxy"
)

// groupKey is equal for requests that may share an upstream call. It is a digest:
// of fixed size whatever a caller sends, and no credential stays in memory.
type groupKey [sha256.Size]byte

// head is what the batcher wants to know of a request's head.
type head struct {
	key groupKey
	// bound: a header speaks of this very body (a digest, a signature) or of this
	// very request (an idempotency key), so that it cannot stand for others.
	bound bool
	// debug: the caller asked for the debug headers.
	debug bool
}

// meaning is what a header is to the batcher.
type meaning uint8

const (
	nothing meaning = iota
	grouped         // differing values never share a call
	binding         // see head.bound
	debugging
)

// headerSet finds what a header means by its name, whatever its case.
type headerSet struct {
	byLength [][]field
}

// field is a header of meaning.
type field struct {
	name []byte // lower case
	id   byte
	meaning
}

// newHeaderSet is for the headers that the configuration groups by. Beside them,
// always: what the answer depends on (the host that was called, the types and
// encodings that are welcome) and cookies, which say who somebody is.
func newHeaderSet(groupBy []string) headerSet {
	var s headerSet
	count := byte(0)
	add := func(m meaning, names ...string) {
		for _, n := range names {
			if s.of([]byte(n)).meaning != nothing {
				continue
			}
			if missing := len(n) + 1 - len(s.byLength); missing > 0 {
				s.byLength = append(s.byLength, make([][]field, missing)...)
			}
			count++
			s.byLength[len(n)] = append(s.byLength[len(n)], field{[]byte(n), count, m})
		}
	}
	add(grouped, "host", "content-type", "accept", "accept-encoding", "cookie")
	add(grouped, groupBy...)
	add(binding, "content-md5", "digest", "content-digest", "repr-digest", "signature", "signature-input",
		"x-amz-content-sha256", "idempotency-key")
	add(debugging, debugHeader)
	return s
}

const debugHeader = "x-friday-debug"

func (s headerSet) of(name []byte) field {
	if len(name) >= len(s.byLength) {
		return field{}
	}
	for _, f := range s.byLength[len(name)] {
		if bytes.EqualFold(f.name, name) {
			return f
		}
	}
	return field{}
}

var keyBuffers = sync.Pool{New: func() any { return new([]byte) }} //nolint:gochecknoglobals // a pool is shared by nature

// read makes the key of req's group. It reads the head's lines as they are
// written: asking fasthttp for all headers would rewrite Cookie.
func (f *filter) read(req *proxy.Request, call *inference.Call) head {
	pooled := keyBuffers.Get().(*[]byte) //nolint:forcetypeassert // the pool holds nothing else
	defer keyBuffers.Put(pooled)
	lines := req.Header.AppendBytes((*pooled)[:0])
	written := len(lines)
	k := lines

	pinned := ""
	if req.Endpoint != nil {
		pinned = req.Endpoint.Address
	}
	for _, part := range [...]string{
		f.config.id, req.Cluster, req.Route, pinned, call.Protocol, call.Operation, call.Model, call.Key,
	} {
		k = binary.AppendUvarint(k, uint64(len(part)))
		k = append(k, part...)
	}
	k = appendBytes(k, req.Header.Method())
	k = appendBytes(k, req.Header.RequestURI())

	var h head
	for name, value := range proxy.Fields(lines[:written]) {
		switch field := f.names.of(name); field.meaning {
		case nothing:
		case grouped:
			k = append(k, field.id)
			k = appendBytes(k, value)
		case binding:
			h.bound = true
		case debugging:
			h.debug = string(value) == "1"
		}
	}
	h.key = sha256.Sum256(k[written:])
	*pooled = k
	return h
}

func appendBytes(k, part []byte) []byte {
	k = binary.AppendUvarint(k, uint64(len(part)))
	return append(k, part...)
}
