package listener

import (
	"encoding/binary"
	"slices"
	"strings"
)

// maxHello bounds the bytes that are looked at for a ClientHello.
const maxHello = 64 << 10

// verdict is what the first bytes of a connection say about one question.
type verdict int

const (
	undecided verdict = iota
	no
	yes
)

// hello is what a ClientHello asks for.
type hello struct {
	serverName string
	protocols  []string
}

// The numbers of TLS (RFC 8446 sections 4 and 5.1, RFC 6066, RFC 7301).
const (
	recordHandshake    = 22
	handshakeHello     = 1
	extensionName      = 0
	extensionProtocols = 16
	recordHead         = 5
	maxRecord          = 16<<10 + 2048
)

// readHello looks for a ClientHello, which may be cut into records.
func readHello(b []byte) (h hello, v verdict) {
	var message []byte
	for range maxRecords {
		if len(b) > 0 && b[0] != recordHandshake || len(b) > 1 && b[1] != 3 {
			return h, no
		}
		if len(b) < recordHead {
			return h, undecided
		}
		size := int(binary.BigEndian.Uint16(b[3:]))
		if size == 0 || size > maxRecord {
			return h, no
		}
		fragment := b[recordHead:min(len(b), recordHead+size)]
		if message == nil {
			message = fragment
		} else {
			message = append(slices.Clip(message), fragment...)
		}
		if len(message) > 0 && message[0] != handshakeHello {
			return h, no
		}
		if len(message) >= 4 {
			need := int(message[1])<<16 | int(message[2])<<8 | int(message[3])
			if need > maxHello {
				return h, no
			}
			if len(message) >= 4+need {
				if !h.parse(message[4 : 4+need]) {
					return hello{}, no
				}
				return h, yes
			}
		}
		if len(b) < recordHead+size {
			return h, undecided
		}
		b = b[recordHead+size:]
	}
	return h, no
}

// maxRecords bounds the records that a ClientHello may be cut into: it is put together
// anew each time that more of it has come.
const maxRecords = 16

// cursor reads what is there; ok turns false at the first thing that is not.
type cursor struct {
	b  []byte
	ok bool
}

func (c *cursor) take(n int) []byte {
	if !c.ok || n > len(c.b) {
		c.ok = false
		return nil
	}
	out := c.b[:n]
	c.b = c.b[n:]
	return out
}

// number reads one of n bytes, at most 2.
func (c *cursor) number(n int) (out int) {
	for _, b := range c.take(n) {
		out = out<<8 | int(b)
	}
	return out
}

// vector reads what is led by its length, of n bytes.
func (c *cursor) vector(n int) *cursor { return &cursor{b: c.take(c.number(n)), ok: c.ok} }

// parse reads the message behind its head (RFC 8446 section 4.1.2).
func (h *hello) parse(b []byte) bool {
	c := &cursor{b: b, ok: true}
	c.take(2 + 32) // version, random
	c.vector(1)    // session
	c.vector(2)    // ciphers
	c.vector(1)    // compression
	if c.ok && len(c.b) == 0 {
		return true // no extensions, as of old
	}
	extensions := c.vector(2)
	for extensions.ok && len(extensions.b) > 0 {
		kind := extensions.number(2)
		x := extensions.vector(2)
		switch kind {
		case extensionName:
			h.readName(x)
		case extensionProtocols:
			h.readProtocols(x)
		}
		if !x.ok {
			return false
		}
	}
	return c.ok && extensions.ok
}

func (h *hello) readName(x *cursor) {
	names := x.vector(2)
	for names.ok && len(names.b) > 0 {
		kind := names.number(1)
		name := names.vector(2)
		if kind == 0 && h.serverName == "" {
			h.serverName = strings.ToLower(string(name.b))
		}
	}
	x.ok = x.ok && names.ok
}

func (h *hello) readProtocols(x *cursor) {
	all := x.vector(2)
	for all.ok && len(all.b) > 0 {
		if p := all.vector(1); p.ok {
			h.protocols = append(h.protocols, string(p.b))
		}
	}
	x.ok = x.ok && all.ok
}
