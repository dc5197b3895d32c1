package h1

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestFrame(t *testing.T) {
	for _, n := range []int{1, 9, 15, 16, 255, 256, small, large} {
		buf := *newBuffer(large)
		piece := strings.Repeat("x", n)
		copy(buf[before:], piece)
		require.Equal(t, fmt.Sprintf("%x\r\n%s\r\n", n, piece), string(frame(buf, n)))
	}
}
