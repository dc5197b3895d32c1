package cli

import (
	"flag"
	"fmt"
	"strconv"
	"strings"
)

// Bytes is a flag's number of bytes, written as 1048576, 512KiB, 64MiB or 1GiB.
type Bytes int64

var _ flag.Value = (*Bytes)(nil)

// Set reads text. A size is positive.
func (b *Bytes) Set(text string) error {
	digits, unit := text, int64(1)
	for i, suffix := range []string{"KiB", "MiB", "GiB"} {
		if d, ok := strings.CutSuffix(text, suffix); ok {
			digits, unit = d, 1<<(10*(i+1))
		}
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n <= 0 || n > (1<<62)/unit {
		return fmt.Errorf("not a size such as 512KiB or 64MiB")
	}
	*b = Bytes(n * unit)
	return nil
}

// String writes the size in the largest unit that divides it.
func (b *Bytes) String() string {
	n := int64(*b)
	for i, suffix := range []string{"GiB", "MiB", "KiB"} {
		if unit := int64(1) << (10 * (3 - i)); n > 0 && n%unit == 0 {
			return strconv.FormatInt(n/unit, 10) + suffix
		}
	}
	return strconv.FormatInt(n, 10)
}
