package standin

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"math"
	"strconv"
)

// Created is the time that every OpenAI answer bears: answers are a function of
// the question, so the moment has no place in them.
const Created = 1767225600

// hash is FNV-1a of the parts, each ended by a zero byte, so that it is the same
// in every process and for ever.
func hash(parts ...[]byte) uint64 {
	h := uint64(14695981039346656037)
	for _, p := range parts {
		for _, b := range p {
			h = (h ^ uint64(b)) * 1099511628211
		}
		h *= 1099511628211
	}
	return h
}

// mix is the output of splitmix64 for the state h.
func mix(h uint64) uint64 {
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>27) * 0x94d049bb133111eb
	return h ^ h>>31
}

// Embedding is the answer to one item of /v1/embeddings: dims numbers in
// [-1, 1), made of the model's name and the item: a text as the caller meant it,
// without JSON's quotes and escapes, or a list of token ids as it stands on the
// wire without white space.
func Embedding(model string, item []byte, dims int) []float32 {
	return appendEmbedding(make([]float32, 0, dims), hash([]byte(model), item), dims)
}

func appendEmbedding(dst []float32, seed uint64, dims int) []float32 {
	for i := range dims {
		r := mix(seed + uint64(i+1)*0x9e3779b97f4a7c15) // #nosec G115 -- i is small
		dst = append(dst, float32(int32(r>>40)-1<<23)/(1<<23))
	}
	return dst
}

// AppendEmbedding appends Embedding as it stands on the wire: an array of
// numbers, or a string in base64 of 32 bit little endian floats.
func AppendEmbedding(dst []byte, model string, item []byte, dims int, inBase64 bool) []byte {
	var room [64]float32
	v := appendEmbedding(room[:0], hash([]byte(model), item), dims)
	if inBase64 {
		raw := make([]byte, 0, 4*len(v))
		for _, f := range v {
			raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(f))
		}
		dst = append(dst, '"')
		dst = base64.StdEncoding.AppendEncode(dst, raw)
		return append(dst, '"')
	}
	dst = append(dst, '[')
	for i, f := range v {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = strconv.AppendFloat(dst, float64(f), 'g', -1, 32)
	}
	return append(dst, ']')
}

// Tokens is how many tokens a text costs: its words, at least one.
func Tokens(text []byte) int { return max(1, len(bytes.Fields(text))) }

// Prediction is the answer to one instance of KServe V1, given as its JSON text:
// a checksum over the text without white space, so that 1 and 1.0 differ. Most of
// them are beyond 2^53, where a decoder into floats spoils them.
func Prediction(model string, instance []byte) int64 {
	return int64(mix(hash([]byte(model), compact(instance))) >> 1) // #nosec G115 -- 63 bits
}

// RowSum is the answer to one row of an Open Inference call: a checksum over the
// names of its inputs and the text of its values, each ended by a comma, input by
// input in the order of the call. It starts with the model's name.
type RowSum struct{ h uint64 }

// NewRowSum begins the checksum of a row.
func NewRowSum(model string) RowSum { return RowSum{hash([]byte(model))} }

// Input begins the values of the named input.
func (r *RowSum) Input(name string) { r.h = (r.h ^ hash([]byte(name))) * 1099511628211 }

// Value adds a value as it stands on the wire.
func (r *RowSum) Value(text []byte) {
	for _, b := range text {
		r.h = (r.h ^ uint64(b)) * 1099511628211
	}
	r.h = (r.h ^ ',') * 1099511628211
}

// Sum is the checksum, of 63 bits.
func (r *RowSum) Sum() int64 { return int64(mix(r.h) >> 1) } // #nosec G115 -- 63 bits

// ChatSeed names a conversation by its model and its messages (the JSON text of
// the array). Its tokens and its id come from it.
func ChatSeed(model string, messages []byte) uint64 {
	return mix(hash([]byte(model), compact(messages)))
}

// ChatToken is token i, from 0, of the completion: a short word with the space
// before it.
func ChatToken(seed uint64, i int) string {
	return " " + strconv.FormatUint(mix(seed+uint64(i))>>44, 36) // #nosec G115 -- i is small
}

// ChatID is the completion's id.
func ChatID(seed uint64) string { return "chatcmpl-" + strconv.FormatUint(seed, 16) }

// poison says with which status an item fails its call; 0: it does not. Digits
// after the word name a status, "poison429".
func poison(item []byte) int {
	_, rest, found := bytes.Cut(item, []byte("poison"))
	if !found {
		return 0
	}
	if len(rest) >= 3 {
		if status, err := strconv.Atoi(string(rest[:3])); err == nil && status >= 400 && status < 600 {
			return status
		}
	}
	return 400
}

// hangs says whether an item's call is never answered: it holds the word
// "hangforever".
func hangs(item []byte) bool { return bytes.Contains(item, []byte("hangforever")) }

// poisonValue is poison for one value of a row.
func poisonValue(v []byte) int {
	switch {
	case len(v) > 0 && v[0] == '"':
		return poison(v)
	case bytes.HasPrefix(v, []byte("-666")):
		return 400
	case bytes.HasPrefix(v, []byte("-667")):
		return 500
	}
	return 0
}

// hangsValue is hangs for one value of a row.
func hangsValue(v []byte) bool {
	if len(v) > 0 && v[0] == '"' {
		return hangs(v)
	}
	return bytes.HasPrefix(v, []byte("-668"))
}
