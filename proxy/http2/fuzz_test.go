package http2

import (
	"bytes"
	"io"
	"net"
	"sync"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// FuzzServer and FuzzClient: whatever a peer sends, the connection ends with it, and so
// does everything that was begun.
func FuzzServer(f *testing.F) {
	var b bytes.Buffer
	fr := http2.NewFramer(&b, nil)
	b.WriteString(Preface)
	_ = fr.WriteSettings()
	_ = fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block(":method", "POST", ":scheme", "http", ":path", "/"), EndHeaders: true})
	_ = fr.WriteData(1, false, []byte("abc"))
	_ = fr.WriteWindowUpdate(1, 10)
	_ = fr.WritePing(false, [8]byte{})
	_ = fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block("x", "y"), EndHeaders: true, EndStream: true})
	_ = fr.WriteRSTStream(3, http2.ErrCodeCancel)
	_ = fr.WriteGoAway(0, http2.ErrCodeNo, nil)
	f.Add(b.Bytes())
	f.Add([]byte(Preface))
	f.Fuzz(func(t *testing.T, in []byte) {
		var wg sync.WaitGroup
		c := NewConn(&canned{in: bytes.NewReader(in), out: io.Discard}, Config{
			MaxStreams: 3, StreamWindow: 100_000, ConnWindow: 100_000, MaxHeaderBytes: 1 << 10,
			Accept: func(s *Stream) {
				wg.Go(func() {
					defer s.Finish()
					echo(s)
				})
			},
		})
		if c.Serve() == nil {
			t.Fatal("ended without a reason")
		}
		wg.Wait()
		if c.InFlight() != 0 || c.running != 0 && len(c.woken) == 0 {
			t.Fatal("something is left")
		}
	})
}

func FuzzClient(f *testing.F) {
	var b bytes.Buffer
	fr := http2.NewFramer(&b, nil)
	_ = fr.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 20})
	_ = fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block(":status", "200"), EndHeaders: true})
	_ = fr.WriteData(1, false, []byte("abc"))
	_ = fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block("grpc-status", "0"), EndHeaders: true, EndStream: true})
	_ = fr.WriteRSTStream(3, http2.ErrCodeRefusedStream)
	f.Add(b.Bytes())
	f.Fuzz(func(t *testing.T, in []byte) {
		start := make(chan struct{})
		c := NewConn(&canned{in: bytes.NewReader(in), out: io.Discard, start: start}, Config{StreamWindow: 100_000, ConnWindow: 100_000, MaxHeaderBytes: 1 << 10})
		var wg sync.WaitGroup
		for range 2 {
			if !c.Reserve() {
				t.Fatal("no place")
			}
			s, err := c.Open([]hpack.HeaderField{{Name: ":method", Value: "POST"}}, false, false, false)
			if err != nil {
				t.Fatal(err)
			}
			wg.Go(func() {
				_ = s.Write(make([]byte, 1000), true, true)
				if _, err := s.Head(nil); err == nil {
					_, _ = io.ReadAll(s)
				}
			})
		}
		close(start)
		if c.Serve() == nil {
			t.Fatal("ended without a reason")
		}
		wg.Wait()
		if c.InFlight() != 0 {
			t.Fatal("something is left")
		}
	})
}

func block(pairs ...string) []byte {
	var b bytes.Buffer
	enc := hpack.NewEncoder(&b)
	for i := 0; i < len(pairs); i += 2 {
		_ = enc.WriteField(hpack.HeaderField{Name: pairs[i], Value: pairs[i+1]})
	}
	return b.Bytes()
}

// canned is a connection on which all has arrived.
type canned struct {
	net.Conn

	in    io.Reader
	out   io.Writer
	start chan struct{} // nil, or closed when reading may begin
}

func (c *canned) Read(p []byte) (int, error) {
	if c.start != nil {
		<-c.start
	}
	return c.in.Read(p)
}
func (c *canned) Write(p []byte) (int, error) { return c.out.Write(p) }
func (c *canned) Close() error                { return nil }
