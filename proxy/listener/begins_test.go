package listener

import (
	"io"
	"net"
	"os"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/require"
)

const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

// reads is a connection on which what r gives has arrived.
type reads struct {
	net.Conn

	r io.Reader
}

func (c reads) Read(p []byte) (int, error)      { return c.r.Read(p) }
func (c reads) SetReadDeadline(time.Time) error { return nil }

// FuzzBegins: however the bytes come, the answer is whether they begin so, and all of
// them are read again.
func FuzzBegins(f *testing.F) {
	for _, s := range []string{
		preface, preface + "more", preface[:23], preface[:23] + "x", "P", "PRI", "PRI * HTTP/1.1\r\n", "POST / HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\r\n\r\n", "\x16\x03\x01", "",
	} {
		f.Add([]byte(s), true)
		f.Add([]byte(s), false)
	}
	f.Fuzz(func(t *testing.T, in []byte, slowly bool) {
		var r io.Reader = &sliceReader{in}
		if slowly {
			r = iotest.OneByteReader(r)
		}
		c := &Conn{Conn: reads{r: r}}
		begins, err := c.Begins(preface, time.Hour, time.Hour)
		if len(in) == 0 {
			require.ErrorIs(t, err, io.EOF)
			return
		}
		require.NoError(t, err)
		require.Equal(t, len(in) >= len(preface) && string(in[:len(preface)]) == preface, begins)
		all, err := io.ReadAll(c)
		require.NoError(t, err)
		require.Equal(t, string(in), string(all))
	})
}

type sliceReader struct{ b []byte }

func (r *sliceReader) Read(p []byte) (int, error) {
	if len(r.b) == 0 {
		return 0, io.EOF
	}
	n := copy(p, r.b)
	r.b = r.b[n:]
	return n, nil
}

func TestBeginsDoesNotWaitForMoreThanItNeeds(t *testing.T) {
	l := open(t)
	conns := accepted(t, l)
	caller := dial(t, l)
	c := <-conns
	_, err := caller.Write([]byte("G"))
	require.NoError(t, err)
	begins, err := c.Begins(preface, patience, patience)
	require.NoError(t, err)
	require.False(t, begins)
}

func TestBeginsGivesUp(t *testing.T) {
	l := open(t)
	conns := accepted(t, l)
	caller := dial(t, l)
	c := <-conns
	_, err := c.Begins(preface, time.Millisecond, patience)
	require.ErrorIs(t, err, os.ErrDeadlineExceeded, "nothing has come")
	_, err = caller.Write([]byte("PRI"))
	require.NoError(t, err)
	begins, err := c.Begins(preface, patience, time.Millisecond)
	require.NoError(t, err)
	require.False(t, begins, "what has come is for whoever reads on")
	require.NoError(t, c.SetReadDeadline(time.Time{}))
	b := make([]byte, 3)
	_, err = io.ReadFull(c, b)
	require.NoError(t, err)
	require.Equal(t, "PRI", string(b))
}
