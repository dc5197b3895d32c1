package listener

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/proxy/config"
)

// recorded is a connection that keeps what is written and has nothing to read.
type recorded struct {
	net.Conn

	b []byte
}

func (r *recorded) Write(p []byte) (int, error)      { r.b = append(r.b, p...); return len(p), nil }
func (r *recorded) Read([]byte) (int, error)         { return 0, io.EOF }
func (r *recorded) SetDeadline(time.Time) error      { return nil }
func (r *recorded) SetReadDeadline(time.Time) error  { return nil }
func (r *recorded) SetWriteDeadline(time.Time) error { return nil }
func (r *recorded) Close() error                     { return nil }
func (r *recorded) RemoteAddr() net.Addr             { return nil }

// clientHello is what crypto/tls sends first.
func clientHello(name string, protocols ...string) []byte {
	r := new(recorded)
	_ = tls.Client(r, &tls.Config{ServerName: name, NextProtos: protocols, InsecureSkipVerify: true}).Handshake()
	return r.b
}

// cutRecords puts the message of one record into records of n bytes.
func cutRecords(b []byte, n int) (out []byte) {
	for body := b[recordHead:]; len(body) > 0; {
		k := min(n, len(body))
		out = append(out, b[0], b[1], b[2], byte(k>>8), byte(k))
		out = append(out, body[:k]...)
		body = body[k:]
	}
	return out
}

func TestReadHello(t *testing.T) {
	t.Parallel()
	whole := clientHello("Model.Test", "h2", "http/1.1")
	for name, tt := range map[string]struct {
		in   []byte
		v    verdict
		want hello
	}{
		"whole":            {whole, yes, hello{"model.test", []string{"h2", "http/1.1"}}},
		"more behind it":   {append(append([]byte(nil), whole...), "more"...), yes, hello{"model.test", []string{"h2", "http/1.1"}}},
		"in three records": {cutRecords(whole, len(whole)/3), yes, hello{"model.test", []string{"h2", "http/1.1"}}},
		"in too many":      {cutRecords(whole, 3), no, hello{}},
		"without either":   {clientHello(""), yes, hello{}},
		"a byte short":     {whole[:len(whole)-1], undecided, hello{}},
		"one byte":         {whole[:1], undecided, hello{}},
		"nothing":          {nil, undecided, hello{}},
		"HTTP":             {[]byte("GET / HTTP/1.1\r\n"), no, hello{}},
		"another message":  {[]byte{22, 3, 1, 0, 4, 2, 0, 0, 0}, no, hello{}},
		"another record":   {[]byte{23, 3, 1, 0, 4}, no, hello{}},
		"an empty record":  {[]byte{22, 3, 1, 0, 0}, no, hello{}},
		"a long message":   {[]byte{22, 3, 1, 0, 4, 1, 255, 0, 0}, no, hello{}},
		"a broken message": {[]byte{22, 3, 1, 0, 6, 1, 0, 0, 2, 3, 3}, no, hello{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, v := readHello(tt.in)
			require.Equal(t, tt.v, v)
			require.Equal(t, tt.want, got)
		})
	}
}

// FuzzHello: whatever comes, what crypto/tls takes for a ClientHello is found, with the
// same name and protocols, and more bytes never take an answer back.
func FuzzHello(f *testing.F) {
	f.Add(clientHello("a.test", "h2"))
	f.Add(cutRecords(clientHello("a.test"), 100))
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"))
	f.Add([]byte{22, 3, 1, 0, 5, 1, 0, 0, 1, 0})
	f.Fuzz(func(t *testing.T, in []byte) {
		got, v := readHello(in)
		before := undecided
		for i := range min(len(in), 64) {
			_, at := readHello(in[:i])
			require.True(t, before == undecided || before == at, "%d", i)
			before = at
		}
		var theirs *tls.ClientHelloInfo
		stop := errors.New("stop")
		_ = tls.Server(&readOnly{r: &sliceReader{in}}, &tls.Config{GetConfigForClient: func(h *tls.ClientHelloInfo) (*tls.Config, error) {
			theirs = h
			return nil, stop
		}}).Handshake()
		if theirs == nil || v == no && len(in) > maxRecords*recordHead {
			return
		}
		require.Equal(t, yes, v)
		require.Equal(t, theirs.SupportedProtos, got.protocols)
	})
}

// readOnly is a connection that swallows what is written.
type readOnly struct {
	recorded

	r io.Reader
}

func (r *readOnly) Read(p []byte) (int, error) { return r.r.Read(p) }

func TestReadProtocol(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]struct {
		protocol string
		v        verdict
	}{
		"":                                  {"", undecided},
		"G":                                 {"", undecided},
		"GET / HTTP/1.1\r":                  {"", undecided},
		"GET / HTTP/1.1\r\n":                {"http/1.1", yes},
		"GET / HTTP/1.1\nHost: a\n":         {"http/1.1", yes},
		"M-SEARCH * HTTP/1.0\r\n":           {"http/1.0", yes},
		"GET / HTTP/2.0\r\n":                {"", no},
		"GET /\r\n":                         {"", no},
		" GET / HTTP/1.1\r\n":               {"", no},
		"\r\nGET / HTTP/1.1\r\n":            {"", no},
		"\x16\x03\x01":                      {"", no},
		"PRI":                               {"", undecided},
		preface:                             {"h2c", yes},
		preface + "more":                    {"h2c", yes},
		"PRI * HTTP/2.0\r\n\r\nXX":          {"", no},
		"EHLO a.test\r\n":                   {"", no},
		"AVERYLONGWORDTHATISNOMETHODOFANY":  {"", undecided},
		"AVERYLONGWORDTHATISNOMETHODOFANYX": {"", no},
	} {
		protocol, v := readProtocol([]byte(in))
		require.Equal(t, want.v, v, "%q", in)
		require.Equal(t, want.protocol, protocol, "%q", in)
	}
}

// FuzzProtocol: more bytes never take an answer back.
func FuzzProtocol(f *testing.F) {
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"))
	f.Add([]byte(preface))
	f.Add([]byte("PRI * HTTP/2.0\r\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		before, what := undecided, ""
		for i := range min(len(in), 200) + 1 {
			p, v := readProtocol(in[:i])
			require.True(t, before == undecided || before == v && what == p, "%q", in[:i])
			before, what = v, p
			require.Equal(t, v == yes, p != "")
		}
	})
}

func TestReadProxied(t *testing.T) {
	t.Parallel()
	v2 := func(rest string) string { return sign2 + rest }
	for in, want := range map[string]struct {
		from, to string
		n        int
		v        verdict
		bad      bool
	}{
		"":                                       {v: undecided},
		"P":                                      {v: undecided},
		"PROXY TCP4 1.2.3.4 5.6.7.8 1 2":         {v: undecided},
		"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\nGET":  {"1.2.3.4:1", "5.6.7.8:2", 32, yes, false},
		"PROXY TCP6 ::1 ::2 1 65535\r\n":         {"[::1]:1", "[::2]:65535", 28, yes, false},
		"PROXY UNKNOWN what ever\r\n":            {"", "", 25, yes, false},
		"PROXY TCP4 ::1 ::2 1 2\r\n":             {v: yes, bad: true},
		"PROXY TCP4 1.2.3.4 5.6.7.8 1 65536\r\n": {v: yes, bad: true},
		"PROXY TCP4 1.2.3.4 5.6.7.8 01 2\r\n":    {v: yes, bad: true},
		"PROXY TCP4 1.2.3.4 5.6.7.8 1\r\n":       {v: yes, bad: true},
		"PROXY TCP4  1.2.3.4 5.6.7.8 1 2\r\n":    {v: yes, bad: true},
		"PROXY \r\n":                             {v: yes, bad: true},
		"GET / HTTP/1.1\r\n":                     {v: no},
		"PROXIES":                                {v: no},
		v2("\x21\x11\x00\x0c\x01\x02\x03\x04\x05\x06\x07\x08\x00\x01\x00\x02GET"): {"1.2.3.4:1", "5.6.7.8:2", 28, yes, false},
		v2("\x21\x11\x00\x0c\x01\x02"):                                            {v: undecided},
		v2("\x21\x11\x00\x0b" + "12345678901"):                                    {v: yes, bad: true},
		v2("\x20\x00\x00\x02ab"):                                                  {"", "", 18, yes, false},
		v2("\x21\x00\x00\x00"):                                                    {"", "", 16, yes, false},
		v2("\x31\x11\x00\x00"):                                                    {v: yes, bad: true},
		v2("\x21\x12\x00\x0c123456789012"):                                        {v: yes, bad: true},
		v2("\x21\x11\xff\xff"):                                                    {v: yes, bad: true},
	} {
		p, n, v, err := readProxied([]byte(in))
		require.Equal(t, want.bad, err != nil, "%q", in)
		require.Equal(t, want.v, v, "%q", in)
		require.Equal(t, want.n, n, "%q", in)
		if want.from == "" {
			require.Nil(t, p.remote, "%q", in)
			continue
		}
		require.Equal(t, want.from, p.remote.String())
		require.Equal(t, want.to, p.local.String())
	}
}

// FuzzProxied: a header that is taken is as long as it says, and more bytes never take
// an answer back.
func FuzzProxied(f *testing.F) {
	f.Add([]byte("PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\nGET"))
	f.Add([]byte(sign2 + "\x21\x11\x00\x0c\x01\x02\x03\x04\x05\x06\x07\x08\x00\x01\x00\x02GET"))
	f.Add([]byte(sign2 + "\x21\x21\x00\x24012345678901234567890123456789012345"))
	f.Fuzz(func(t *testing.T, in []byte) {
		p, n, v, err := readProxied(in)
		require.LessOrEqual(t, n, len(in))
		require.Equal(t, p.remote == nil || err != nil, p.local == nil || err != nil)
		if v == yes && err == nil {
			require.NotZero(t, n)
			q, m, w, err := readProxied(in[:n])
			require.NoError(t, err)
			require.Equal(t, yes, w)
			require.Equal(t, n, m)
			require.Equal(t, p, q)
			_, _, w, _ = readProxied(in[:n-1])
			require.Equal(t, undecided, w)
		}
	})
}

// TestLook: what is looked at is read again, however it came.
func TestLook(t *testing.T) {
	t.Parallel()
	all := &config.Inspection{}
	tlsOnly := clientHello("a.test", "istio")
	for name, tt := range map[string]struct {
		in   string
		i    config.Inspect
		want Seen
		err  bool
	}{
		"TLS":                 {string(tlsOnly), config.Inspect{TLS: all, HTTP: all}, Seen{Transport: "tls", ServerName: "a.test", Protocols: []string{"istio"}}, false},
		"HTTP":                {"GET / HTTP/1.1\r\n\r\n", config.Inspect{TLS: all, HTTP: all}, Seen{Transport: "raw_buffer", Protocols: []string{"http/1.1"}}, false},
		"neither":             {"\x00\x01\x02", config.Inspect{TLS: all, HTTP: all}, Seen{Transport: "raw_buffer"}, false},
		"TLS, not looked for": {string(tlsOnly), config.Inspect{HTTP: all}, Seen{Transport: "raw_buffer"}, false},
		"nothing looked for":  {"", config.Inspect{}, Seen{Transport: "raw_buffer"}, false},
		"left out for a port": {string(tlsOnly), config.Inspect{TLS: &config.Inspection{Skip: func(p uint16) bool { return p == 80 }}}, Seen{Transport: "raw_buffer"}, false},
		"over too early":      {"GE", config.Inspect{HTTP: all}, Seen{}, true},
	} {
		for _, slowly := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				var r io.Reader = &sliceReader{[]byte(tt.in)}
				if slowly {
					r = iotest.OneByteReader(r)
				}
				c := &Conn{Conn: &readOnly{r: r}, remote: &net.TCPAddr{IP: net.IPv4(1, 2, 3, 4), Port: 5}, local: &net.TCPAddr{IP: net.IPv4(5, 6, 7, 8), Port: 80}}
				got, err := c.Look(&tt.i, time.Time{})
				require.Equal(t, tt.err, err != nil)
				rest, err := io.ReadAll(c)
				require.NoError(t, err)
				require.Equal(t, tt.in, string(rest))
				if tt.err {
					return
				}
				want := tt.want
				want.Remote, want.Local = netip.MustParseAddrPort("1.2.3.4:5"), netip.MustParseAddrPort("5.6.7.8:80")
				require.Equal(t, want, got)
			})
		}
	}
}

// TestLookGivesUp: a caller who says nothing is let go on where the configuration says
// so, and else is not.
func TestLookGivesUp(t *testing.T) {
	l := open(t)
	conns := accepted(t, l)
	dial(t, l)
	c := <-conns
	i := &config.Inspect{TLS: &config.Inspection{}}
	_, err := c.Look(i, time.Now().Add(10*time.Millisecond))
	require.Error(t, err)
	i.GoOn = true
	s, err := c.Look(i, time.Now().Add(10*time.Millisecond))
	require.NoError(t, err)
	require.Equal(t, "raw_buffer", s.Transport)
}
