package jsonspan_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/fridaymesh/friday/filters/inference/jsonspan"
)

func BenchmarkValid(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 2))
	var floats strings.Builder
	for i := range 384 {
		if i > 0 {
			floats.WriteByte(',')
		}
		fmt.Fprintf(&floats, "%.17g", r.Float64()-0.5)
	}
	for name, text := range map[string]string{
		"floats": "[" + floats.String() + "]",
		"text":   `["` + strings.Repeat("The quick brown fox jumps over the lazy dog. ", 100) + `"]`,
		"object": `{"model":"m","input":"a short text","encoding_format":"float","user":"u-1","n":[1,2,3,{"a":true}]}`,
	} {
		b.Run(name, func(b *testing.B) {
			data := []byte(text)
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				if !jsonspan.Valid(data) {
					b.Fatal("not valid")
				}
			}
		})
	}
}
