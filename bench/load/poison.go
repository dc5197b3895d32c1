package load

import (
	"bytes"
	"strconv"
)

// Poisoned is a workload a share of whose requests, 0 to 1, holds an item that the
// stand-in fails their call for: they have to be refused, each with an error that
// names its own item, and nobody else may be. It knows [Embeddings], [Predict] and
// [Infer]; of others it poisons nothing.
type Poisoned struct {
	Workload
	Share float64
}

var _ Refusing = Poisoned{}

// guilty is the same for the same n.
func (p Poisoned) guilty(n uint64) bool {
	// The golden ratio spreads neighbours evenly over the numbers of 32 bits.
	return float64(uint32(n*0x9e3779b97f4a7c15>>32)) < p.Share*(1<<32) // #nosec G115 -- cut on purpose
}

// poisonOf is what the first item of request n begins with, and what takes its
// place.
func (p Poisoned) poisonOf(n uint64) (was, is string) {
	number := strconv.FormatUint(n, 10)
	switch p.Workload.(type) {
	case Embeddings:
		return "text 0 of request " + number, "poison 0 of request " + number
	case Predict:
		return "[" + number + ",", "[-666." + number + ","
	case Infer:
		return `"data":[` + number + ",", `"data":[-666.` + number + ","
	}
	return "", ""
}

// AppendBody appends the workload's body, poisoned where it is to be.
func (p Poisoned) AppendBody(dst []byte, n uint64) []byte {
	start := len(dst)
	dst = p.Workload.AppendBody(dst, n)
	if was, is := p.poisonOf(n); was != "" && p.guilty(n) {
		dst = append(dst[:start], bytes.Replace(dst[start:], []byte(was), []byte(is), 1)...)
	}
	return dst
}

// Refusal is 400 with the poison in the message.
func (p Poisoned) Refusal(n uint64) (status, holds string) {
	was, is := p.poisonOf(n)
	if was == "" || !p.guilty(n) {
		return "", ""
	}
	switch p.Workload.(type) {
	case Embeddings:
		return "400", "input 0 is poisoned: " + is + ","
	case Predict:
		return "400", "instance 0 is poisoned: " + is[1:len(is)-1] + `"`
	}
	return "400", "row 0 is poisoned: " + is[len(`"data":[`):len(is)-1] + `"`
}
