package standin

import (
	"bytes"
	"compress/gzip"
	"strconv"
	"strings"
)

// Odd is how a model misbehaves. A model does whose name is that of an oddity, or
// begins with it and a dash, "miscount-2".
type Odd string

// The oddities.
const (
	// Miscount answers calls of several items with one result too few.
	Miscount Odd = "miscount"
	// Shapeless answers calls of several items with one result for all of them.
	Shapeless Odd = "shapeless"
	// NoCount reports no usage.
	NoCount Odd = "nocount"
	// Reversed writes results that bear an index in the opposite order.
	Reversed Odd = "reversed"
	// Cookie sets a cookie that is another one for every call.
	Cookie Odd = "cookie"
	// Gzip compresses its answers, whether that is welcome or not.
	Gzip Odd = "gzip"
	// Single refuses calls of several items with 400.
	Single Odd = "single"
	// Limited answers 429 with Retry-After.
	Limited Odd = "limited"
	// Unavailable answers 503 with Retry-After.
	Unavailable Odd = "unavailable"
)

// oddity is the one that a model's name asks for; most are none.
func oddity(model string) Odd {
	name, _, _ := strings.Cut(model, "-")
	return Odd(name)
}

// refuses says what the model has against a call of n items.
func (o Odd) refuses(n int) *fault {
	switch {
	case o == Limited:
		return &fault{status: 429, message: "the model is over its limit"}
	case o == Unavailable:
		return &fault{status: 503, message: "the model is not there just now"}
	case o == Single && n > 1:
		return bad("the model takes one item at a time, not " + strconv.Itoa(n))
	}
	return nil
}

// answer appends what the model answers to j, and leaves on c the headers that go
// with it.
func (o Odd) answer(c *conn, j *job, dst []byte) []byte {
	switch {
	case o == Shapeless && j.items > 1 && j.kind == "":
		return append(strconv.AppendUint(append(dst, `{"result":`...), hash(c.body), 10), '}')
	case o == Miscount && j.items > 1:
		return j.answer(dst, j.items-1)
	case o == Cookie:
		c.extra = append(c.extra, "set-cookie: call="...)
		c.extra = strconv.AppendUint(c.extra, mix(hash(c.body)), 36)
		c.extra = append(c.extra, "; Path=/\r\n"...)
	case o == Gzip:
		c.extra = append(c.extra, "content-encoding: gzip\r\n"...)
		return append(dst, zipped(j.answer(nil, j.items))...)
	}
	return j.answer(dst, j.items)
}

func zipped(text []byte) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write(text) // a buffer takes everything
	_ = w.Close()
	return b.Bytes()
}
