package cache

import (
	"encoding/binary"
	"errors"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/klauspost/compress/zstd"
	"github.com/valyala/fasthttp"

	"github.com/fridaymesh/friday/proxy"
)

// An entry that leaves the process, for the shared store or the disk, is written as
//
//	1 byte    the form: recordForm, or recordForm+1 where the rest is compressed (zstd)
//	8 bytes   XXH64 of what follows
//	          stored (ms since 1970), age (ms), fresh (ms), took (µs): varints
//	          model, version: each its length and its bytes
//	          the head's lines: how many, and name and value of each likewise
//	          the body: the rest
//
// Whoever does not know the form, or finds the sum wrong, has found nothing.
const recordForm = 1

// compressFrom is from how many bytes on compressing is tried.
const compressFrom = 256

// maxRecord is how long the rest may be, unpacked.
const maxRecord = maxAnswerBytes + 1<<20

// Both are for use by many at once.
//
//nolint:gochecknoglobals // they hold nothing but memory to work in
var (
	packer, _   = zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(false))
	unpacker, _ = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxRecord))
)

// appendRecord writes an entry.
func appendRecord(dst []byte, e *entry) []byte {
	rest := make([]byte, 0, len(e.body)+e.headBytes+256)
	for _, n := range [...]int64{e.stored.UnixMilli(), e.age.Milliseconds(), e.fresh.Milliseconds(), e.took.Microseconds()} {
		rest = binary.AppendVarint(rest, n)
	}
	rest = appendString(rest, e.model)
	rest = appendString(rest, e.version)
	lines := 0
	for range e.head.All() {
		lines++
	}
	rest = binary.AppendUvarint(rest, uint64(lines)) // #nosec G115 -- positive
	for name, value := range e.head.All() {
		rest = appendBytes(appendBytes(rest, name), value)
	}
	rest = append(rest, e.body...)

	form := byte(recordForm)
	if len(rest) >= compressFrom {
		if packed := packer.EncodeAll(rest, make([]byte, 0, len(rest)/2)); len(packed) < len(rest) {
			rest, form = packed, recordForm+1
		}
	}
	return seal(dst, form, rest)
}

func seal(dst []byte, form byte, rest []byte) []byte {
	dst = binary.BigEndian.AppendUint64(append(dst, form), sum(form, rest))
	return append(dst, rest...)
}

// sum is over the form, too.
func sum(form byte, rest []byte) uint64 { return xxhash.Sum64(rest) ^ uint64(form)<<56 }

var errRecord = errors.New("not a record of the cache")

// parseRecord reads an entry. What it returns does not refer to text.
func parseRecord(text []byte) (*entry, error) {
	if len(text) < 9 || text[0] != recordForm && text[0] != recordForm+1 {
		return nil, errRecord
	}
	rest := text[9:]
	if binary.BigEndian.Uint64(text[1:9]) != sum(text[0], rest) {
		return nil, errRecord
	}
	var err error
	if text[0] == recordForm+1 {
		rest, err = unpacker.DecodeAll(rest, nil)
	} else {
		rest = append([]byte(nil), rest...)
	}
	if err != nil {
		return nil, errors.Join(errRecord, err)
	}
	r := reader{rest: rest}
	e := &entry{stored: time.UnixMilli(r.number())}
	e.age, e.fresh, e.took = r.duration(time.Millisecond), r.duration(time.Millisecond), r.duration(time.Microsecond)
	e.model, e.version = string(r.text()), string(r.text())
	resp := proxy.NewResponse()
	for range r.count() {
		name, value := r.text(), r.text()
		if r.bad {
			break
		}
		resp.Header.AddBytesKV(name, value)
	}
	e.head = copyHead(&resp.Header)
	_ = resp.Close() // of the pool
	if r.bad {
		return nil, errRecord
	}
	e.head.SetStatusCode(fasthttp.StatusOK)
	e.body = clip(r.rest)
	return e, nil
}

// reader reads a record's parts. Once bad, it stays so.
type reader struct {
	rest []byte
	bad  bool
}

func (r *reader) number() int64 {
	v, n := binary.Varint(r.rest)
	if n <= 0 {
		r.bad, r.rest = true, nil
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

// maxDuration bounds what a record may say of a time.
const maxDuration = 10 * 365 * 24 * time.Hour

func (r *reader) duration(unit time.Duration) time.Duration {
	n := r.number()
	if n < 0 || n > int64(maxDuration/unit) {
		r.bad = true
		return 0
	}
	return time.Duration(n) * unit
}

// count is how many lines follow.
func (r *reader) count() uint64 {
	v, n := binary.Uvarint(r.rest)
	if n <= 0 || v > uint64(len(r.rest)) {
		r.bad, r.rest = true, nil
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

func (r *reader) text() []byte {
	n := r.count()
	if n > uint64(len(r.rest)) {
		r.bad, r.rest = true, nil
		return nil
	}
	text := r.rest[:n]
	r.rest = r.rest[n:]
	return text
}
