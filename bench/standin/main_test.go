package standin_test

import (
	"bufio"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/fridaymesh/friday/bench/standin"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve runs a stand-in for one test and returns its address.
func serve(t testing.TB, c standin.Config) (string, *standin.Server) {
	t.Helper()
	s, err := standin.New(c)
	require.NoError(t, err)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	served := make(chan error, 1)
	go func() { served <- s.Serve(ln) }()
	t.Cleanup(func() {
		require.NoError(t, s.Close())
		require.NoError(t, <-served)
	})
	return ln.Addr().String(), s
}

// caller is one raw connection.
type caller struct {
	t  testing.TB
	nc net.Conn
	br *bufio.Reader
}

func dial(t testing.TB, address string) *caller {
	t.Helper()
	nc, err := net.Dial("tcp", address)
	require.NoError(t, err)
	t.Cleanup(func() { _ = nc.Close() })
	require.NoError(t, nc.SetDeadline(time.Now().Add(20*time.Second)))
	return &caller{t: t, nc: nc, br: bufio.NewReader(nc)}
}

// send writes a POST; header lines end in \r\n.
func (c *caller) send(path, header, body string) {
	c.t.Helper()
	req, err := http.NewRequest(http.MethodPost, "http://standin"+path, strings.NewReader(body))
	require.NoError(c.t, err)
	req.Header.Set("Content-Type", "application/json")
	for line := range strings.SplitSeq(header, "\r\n") {
		if name, value, ok := strings.Cut(line, ": "); ok {
			req.Header.Set(name, value)
		}
	}
	require.NoError(c.t, req.Write(c.nc))
}

// receive reads an answer whole.
func (c *caller) receive() (int, string) {
	c.t.Helper()
	resp, err := http.ReadResponse(c.br, nil)
	require.NoError(c.t, err)
	defer func() { _ = resp.Body.Close() }()
	var b strings.Builder
	_, err = bufio.NewReader(resp.Body).WriteTo(&b)
	require.NoError(c.t, err)
	return resp.StatusCode, b.String()
}

func (c *caller) post(path, body string) (int, string) {
	c.t.Helper()
	c.send(path, "", body)
	return c.receive()
}

// eventually waits for what another goroutine is about to bring about.
func eventually(t testing.TB, s *standin.Server, what string, ok func(standin.Stats) bool) {
	t.Helper()
	require.Eventually(t, func() bool { return ok(s.Stats()) }, 10*time.Second, time.Millisecond, "%s: %+v", what, s.Stats())
}
