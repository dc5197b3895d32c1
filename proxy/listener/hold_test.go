package listener

import (
	"errors"
	"net"
	"testing"

	"github.com/stretchr/testify/require"
)

// writes notes each Write.
type writes struct {
	net.Conn

	seen []string
	err  error
}

func (w *writes) Write(p []byte) (int, error) {
	w.seen = append(w.seen, string(p))
	return len(p), w.err
}

func TestHold(t *testing.T) {
	w := &writes{}
	c := &Conn{Conn: w}
	write := func(text string) {
		n, err := c.Write([]byte(text))
		require.NoError(t, err)
		require.Equal(t, len(text), n)
	}
	write("a")
	c.Hold()
	write("b")
	require.Equal(t, []string{"a"}, w.seen)
	write("c")
	c.Hold()
	write("d")
	c.Hold()
	write("e")
	write("f")
	write("g")
	require.Equal(t, []string{"a", "bc", "def", "g"}, w.seen)

	c.Hold()
	write("h")
	w.err = errors.New("gone")
	_, err := c.Write([]byte("i"))
	require.ErrorIs(t, err, w.err)
}
