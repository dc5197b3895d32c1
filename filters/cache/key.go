package cache

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"net"
	"strconv"
	"strings"
	"sync"

	"github.com/fridaymesh/friday/filters/inference"
	"github.com/fridaymesh/friday/proxy"
)

// key is equal for what has equal answers. It is a digest: of fixed size whatever a
// caller sends, and no credential stays in memory.
type key [sha256.Size]byte

// head is what the cache wants to know of a request's head.
type head struct {
	// base is the digest of everything but the body.
	base key
	// passes: a header speaks of this very request or body, or asks for a part.
	passes bool
	// json: the body is JSON, and not encoded.
	json bool
	// debug: the caller asked for the debug headers.
	debug   bool
	control control
}

const debugHeader = "x-friday-debug"

// meaning is what a header is to the cache.
type meaning uint8

const (
	nothing meaning = iota
	keyed           // differing values never share an answer
	binding         // see head.passes
	debugging
	controlling
	pragma
	typed
	encoded
)

// headerSet finds what a header means by its name, whatever its case.
type headerSet struct {
	byLength [][]field
	// tenants is the list of the tenant's headers, so that what was kept under another
	// list is not found.
	tenants string
}

type field struct {
	name []byte // lower case
	meaning
	keyed bool
}

func newHeaderSet(tenants []string) headerSet {
	s := headerSet{tenants: strings.Join(tenants, ",")}
	add := func(m meaning, names ...string) {
		for _, n := range names {
			if missing := len(n) + 1 - len(s.byLength); missing > 0 {
				s.byLength = append(s.byLength, make([][]field, missing)...)
			}
			if f := s.of([]byte(n)); f != nil {
				f.keyed = f.keyed || m == keyed
				continue
			}
			s.byLength[len(n)] = append(s.byLength[len(n)], field{[]byte(n), m, m == keyed})
		}
	}
	add(typed, "content-type")
	add(encoded, "content-encoding")
	add(binding, "content-md5", "digest", "content-digest", "repr-digest", "signature", "signature-input",
		"x-amz-content-sha256", "idempotency-key", "range", "upgrade")
	add(debugging, debugHeader)
	add(controlling, "cache-control")
	add(pragma, "pragma")
	add(keyed, always()...)
	add(keyed, tenants...)
	return s
}

// always are the headers that answers depend on (the host that was called, the types
// and encodings that are welcome), and cookies, which say who somebody is.
func always() []string {
	return []string{"host", "content-type", "accept", "accept-encoding", "cookie"}
}

func (s *headerSet) of(name []byte) *field {
	if len(name) >= len(s.byLength) {
		return nil
	}
	for i := range s.byLength[len(name)] {
		if f := &s.byLength[len(name)][i]; bytes.EqualFold(f.name, name) {
			return f
		}
	}
	return nil
}

var keyBuffers = sync.Pool{New: func() any { return new([]byte) }} //nolint:gochecknoglobals // a pool is shared by nature

// maxPooled is how long a buffer may be and go back into the pool.
const maxPooled = 64 << 10

func buffer() *[]byte { return keyBuffers.Get().(*[]byte) } //nolint:forcetypeassert // the pool holds nothing else

func free(pooled *[]byte, used []byte) {
	if cap(used) <= maxPooled {
		*pooled = used[:0]
		keyBuffers.Put(pooled)
	}
}

// read reads a request's head, by its lines as they are written: asking fasthttp for
// all headers would rewrite Cookie.
func (s *headerSet) read(req *proxy.Request) head {
	pooled := buffer()
	lines := req.Header.AppendBytes((*pooled)[:0])
	size := len(lines)
	k := lines
	pinned, port := "", ""
	if req.Endpoint != nil {
		pinned = req.Endpoint.Address
	}
	if local, ok := req.Local.(*net.TCPAddr); ok {
		port = strconv.Itoa(local.Port)
	}
	for _, part := range [...]string{"friday cache 1", s.tenants, port, req.Cluster, req.VirtualHost, req.Route, pinned} {
		k = appendString(k, part)
	}
	k = appendBytes(k, req.Header.Method())
	k = appendBytes(k, req.Header.RequestURI())

	h := head{control: noControl()}
	plain := true
	for name, value := range proxy.Fields(lines[:size]) {
		f := s.of(name)
		if f == nil {
			continue
		}
		switch f.meaning {
		case nothing, keyed:
		case binding:
			h.passes = true
		case debugging:
			h.debug = string(value) == "1"
		case controlling:
			h.control.add(value)
		case pragma:
			h.control.noCache = h.control.noCache || bytes.Contains(bytes.ToLower(value), []byte("no-cache"))
		case typed:
			media, _, _ := bytes.Cut(value, []byte{';'})
			h.json = bytes.EqualFold(bytes.TrimSpace(media), []byte("application/json"))
		case encoded:
			plain = plain && (len(value) == 0 || bytes.EqualFold(value, []byte("identity")))
		}
		if f.keyed {
			// The name, not a number for it: the state outlives configurations.
			k = appendBytes(k, f.name)
			k = appendBytes(k, value)
		}
	}
	h.json = h.json && plain
	h.base = sha256.Sum256(k[size:])
	free(pooled, k)
	return h
}

// varies says whether an answer with such a Vary is the same for all requests of a key.
func (s *headerSet) varies(value []byte) bool {
	for name := range bytes.SplitSeq(value, []byte{','}) {
		if name = bytes.TrimSpace(name); len(name) == 0 {
			continue
		}
		if f := s.of(name); f == nil || !f.keyed {
			return true
		}
	}
	return false
}

// itemKeys are the keys of a call's items.
func itemKeys(base *key, call *inference.Call) []key {
	pooled := buffer()
	k := append((*pooled)[:0], "item"...)
	k = append(k, base[:]...)
	for _, part := range [...]string{call.Protocol, call.Operation, call.Model, call.Key} {
		k = appendString(k, part)
	}
	before := sha256.Sum256(k)
	keys := make([]key, call.Items)
	for i := range keys {
		k = call.AppendItem(append(k[:0], before[:]...), i)
		keys[i] = sha256.Sum256(k)
	}
	free(pooled, k)
	return keys
}

// wholeKey is the key of a whole answer.
func wholeKey(base *key, a *asked) key {
	pooled := buffer()
	k := append((*pooled)[:0], "whole"...)
	k = append(k, base[:]...)
	k = appendString(k, a.protocol)
	k = appendBytes(k, a.form)
	sum := sha256.Sum256(k)
	free(pooled, k)
	return sum
}

func appendString(k []byte, part string) []byte {
	k = binary.AppendUvarint(k, uint64(len(part)))
	return append(k, part...)
}

func appendBytes(k, part []byte) []byte {
	k = binary.AppendUvarint(k, uint64(len(part)))
	return append(k, part...)
}
