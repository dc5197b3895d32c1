package http2

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// pair are the two ends of a TCP connection.
func pair(t testing.TB) (a, b net.Conn) {
	t.Helper()
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	a, err = (&net.Dialer{}).DialContext(t.Context(), "tcp", ln.Addr().String())
	require.NoError(t, err)
	b, err = ln.Accept()
	require.NoError(t, err)
	t.Cleanup(func() {
		a.Close()
		b.Close()
	})
	return a, b
}

// peer writes and reads frames by hand.
type peer struct {
	*http2.Framer

	t     *testing.T
	nc    net.Conn
	enc   *hpack.Encoder
	block bytes.Buffer
}

func newPeer(t *testing.T, nc net.Conn, client bool) *peer {
	t.Helper()
	require.NoError(t, nc.SetDeadline(time.Now().Add(20*time.Second)))
	p := &peer{Framer: http2.NewFramer(nc, nc), t: t, nc: nc}
	p.AllowIllegalWrites = true
	p.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	p.enc = hpack.NewEncoder(&p.block)
	if client {
		_, err := io.WriteString(nc, Preface)
		require.NoError(t, err)
	}
	require.NoError(t, p.WriteSettings())
	return p
}

func (p *peer) head(id uint32, end bool, pairs ...string) {
	p.t.Helper()
	p.block.Reset()
	for i := 0; i < len(pairs); i += 2 {
		require.NoError(p.t, p.enc.WriteField(hpack.HeaderField{Name: pairs[i], Value: pairs[i+1]}))
	}
	// An error is the end of the connection, which somebody waits for.
	_ = p.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: p.block.Bytes(), EndHeaders: true, EndStream: end})
}

func (p *peer) post(id uint32, end bool, more ...string) {
	p.t.Helper()
	p.head(id, end, append([]string{":method", "POST", ":scheme", "http", ":path", "/", ":authority", "h"}, more...)...)
}

// next is the next frame that says something.
func (p *peer) next() http2.Frame {
	p.t.Helper()
	for {
		f, err := p.ReadFrame()
		if err != nil {
			return nil
		}
		switch f := f.(type) {
		case *http2.SettingsFrame, *http2.WindowUpdateFrame:
		case *http2.PingFrame:
			if !f.IsAck() {
				require.NoError(p.t, p.WritePing(true, f.Data))
			}
		default:
			return f
		}
	}
}

// want is a word for a frame.
func word(f http2.Frame) string {
	switch f := f.(type) {
	case nil:
		return "end"
	case *http2.RSTStreamFrame:
		return "reset " + f.ErrCode.String()
	case *http2.GoAwayFrame:
		return "goodbye " + f.ErrCode.String()
	case *http2.MetaHeadersFrame:
		return "head " + f.PseudoValue("status")
	case *http2.DataFrame:
		return "data " + string(f.Data())
	}
	return f.Header().Type.String()
}

// serve runs a server's end of nc until the test's end.
func serve(t *testing.T, nc net.Conn, config Config, handle func(*Stream)) *Conn {
	t.Helper()
	var wg sync.WaitGroup
	config.Accept = func(s *Stream) {
		wg.Go(func() {
			defer s.Finish()
			handle(s)
		})
	}
	if config.MaxStreams == 0 {
		config.MaxStreams = 10
	}
	if config.StreamWindow == 0 {
		config.StreamWindow, config.ConnWindow = firstWindow, 2*firstWindow
	}
	config.MaxHeaderBytes = 4 << 10
	c := NewConn(nc, config)
	wg.Go(func() { _ = c.Serve() })
	t.Cleanup(func() {
		c.Close()
		wg.Wait()
	})
	return c
}

// echo answers with what it gets.
func echo(s *Stream) {
	b, err := io.ReadAll(s)
	if err != nil {
		return
	}
	_ = s.Answer([]hpack.HeaderField{{Name: ":status", Value: "200"}}, false, false)
	_ = s.Write(b, false, false)
	_ = s.Trail(s.Trailer())
}

// What a client may do wrong ends its stream or, where both ends might no longer agree
// on what is what, the connection.
func TestServerRefuses(t *testing.T) {
	t.Parallel()
	big := make([]byte, maxFrame)
	for name, tc := range map[string]struct {
		send func(p *peer)
		want string
	}{
		"nothing wrong":               {func(p *peer) { p.post(1, false); p.WriteData(1, true, []byte("x")) }, "head 200"},
		"no settings first":           {func(p *peer) {}, ""},
		"more than declared":          {func(p *peer) { p.post(1, false, "content-length", "1"); p.WriteData(1, true, []byte("xy")) }, "reset PROTOCOL_ERROR"},
		"less than declared":          {func(p *peer) { p.post(1, false, "content-length", "3"); p.WriteData(1, true, []byte("xy")) }, "reset PROTOCOL_ERROR"},
		"less, with trailers":         {func(p *peer) { p.post(1, false, "content-length", "3"); p.head(1, true, "x", "y") }, "reset PROTOCOL_ERROR"},
		"declared and none":           {func(p *peer) { p.post(1, true, "content-length", "3") }, "reset PROTOCOL_ERROR"},
		"two lengths":                 {func(p *peer) { p.post(1, true, "content-length", "0", "content-length", "1") }, "reset PROTOCOL_ERROR"},
		"a length that is none":       {func(p *peer) { p.post(1, true, "content-length", "+1") }, "reset PROTOCOL_ERROR"},
		"upper case":                  {func(p *peer) { p.post(1, true, "X", "y") }, "reset PROTOCOL_ERROR"},
		"a line in a value":           {func(p *peer) { p.post(1, true, "x", "y\r\nz: 1") }, "reset PROTOCOL_ERROR"},
		"trailers that go on":         {func(p *peer) { p.post(1, false); p.head(1, false, "x", "y") }, "reset PROTOCOL_ERROR"},
		"pseudo-fields in trailers":   {func(p *peer) { p.post(1, false); p.head(1, true, ":path", "/") }, "reset PROTOCOL_ERROR"},
		"data after the end":          {func(p *peer) { p.post(1, true); p.WriteData(1, true, []byte("x")) }, ""},
		"data of no stream":           {func(p *peer) { p.WriteData(1, true, []byte("x")) }, "goodbye PROTOCOL_ERROR"},
		"an even stream":              {func(p *peer) { p.post(2, true) }, "goodbye PROTOCOL_ERROR"},
		"a reset of no stream":        {func(p *peer) { p.WriteRSTStream(1, http2.ErrCodeCancel) }, "goodbye PROTOCOL_ERROR"},
		"a window of no stream":       {func(p *peer) { p.WriteWindowUpdate(1, 1) }, "goodbye PROTOCOL_ERROR"},
		"too large a window":          {func(p *peer) { p.WriteWindowUpdate(0, maxWindow) }, "goodbye FLOW_CONTROL_ERROR"},
		"too large a stream's window": {func(p *peer) { p.post(1, false); p.WriteWindowUpdate(1, maxWindow) }, "reset FLOW_CONTROL_ERROR"},
		"more than the window": {func(p *peer) {
			p.post(1, false)
			for range 5 {
				p.WriteData(1, false, big)
			}
		}, ""},
		"a push": {func(p *peer) { p.WritePushPromise(http2.PushPromiseParam{StreamID: 1, PromiseID: 2, EndHeaders: true}) }, "goodbye PROTOCOL_ERROR"},
		"broken compression": {func(p *peer) {
			p.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, EndHeaders: true})
		}, "goodbye COMPRESSION_ERROR"},
		"a frame too long":    {func(p *peer) { p.post(1, false); p.WriteData(1, false, make([]byte, maxFrame+1)) }, ""},
		"a setting not valid": {func(p *peer) { p.WriteSettings(http2.Setting{ID: http2.SettingEnablePush, Val: 7}) }, "goodbye PROTOCOL_ERROR"},
		"another frame amid a head": {func(p *peer) {
			p.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: []byte{0x82}})
			p.WritePing(false, [8]byte{})
		}, "goodbye PROTOCOL_ERROR"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, b := pair(t)
			serve(t, a, Config{}, func(s *Stream) {
				if s.Truncated() {
					return
				}
				echo(s)
			})
			p := newPeer(t, b, true)
			tc.send(p)
			if tc.want == "" {
				return // it only has to end
			}
			require.Equal(t, tc.want, word(p.next()))
		})
	}
}

// A client that has more made for it than it takes part in is cut off.
func TestServerIsNotKeptBusy(t *testing.T) {
	t.Parallel()
	for name, send := range map[string]func(p *peer, i int){
		"pings":    func(p *peer, _ int) { p.WritePing(false, [8]byte{}) },
		"settings": func(p *peer, _ int) { p.WriteSettings() },
		"settings by the hundred": func(p *peer, _ int) {
			p.WriteSettings(slices.Repeat([]http2.Setting{{ID: http2.SettingInitialWindowSize, Val: 1}}, 300)...)
		},
		"data of nothing": func(p *peer, i int) {
			if i == 0 {
				p.post(1, false)
			}
			p.WriteData(1, false, nil)
		},
		"frames of no kind": func(p *peer, _ int) { p.WriteRawFrame(99, 0, 0, nil) },
		"requests that it gives up": func(p *peer, i int) {
			p.post(uint32(2*i+1), false)
			p.WriteRSTStream(uint32(2*i+1), http2.ErrCodeCancel)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, b := pair(t)
			c := serve(t, a, Config{}, echo)
			p := newPeer(t, b, true)
			go io.Copy(io.Discard, b)
			for i := 0; c.Err() == nil && i < 1_000_000; i++ {
				send(p, i)
			}
			require.ErrorIs(t, c.Err(), errAbusive)
		})
	}
}

// What a caller has sent and given up before anybody saw it is given back: else the
// connection would take less and less, and then no body at all.
func TestGivenUpBodiesAreGivenBack(t *testing.T) {
	t.Parallel()
	a, b := pair(t)
	serve(t, a, Config{MaxStreams: 1000}, echo)
	p := newPeer(t, b, true)
	piece := make([]byte, 1<<10)
	var all bytes.Buffer
	p.Framer = http2.NewFramer(&all, b) // sent at once, so that it is read at once
	p.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	const last = 1001
	for id := uint32(1); id < last; id += 2 { // four times what the connection takes
		p.post(id, false)
		require.NoError(t, p.WriteData(id, false, piece))
		require.NoError(t, p.WriteDataPadded(id, false, piece[:10], piece[:20]))
		require.NoError(t, p.WriteRSTStream(id, http2.ErrCodeCancel))
		require.NoError(t, p.WriteData(id, false, piece[:10])) // to a stream that has gone
		_, err := all.WriteTo(b)
		require.NoError(t, err)
	}
	p.post(last, false)
	require.NoError(t, p.WriteData(last, true, []byte("x")))
	_, err := all.WriteTo(b)
	require.NoError(t, err)
	f := p.next()
	for ; f != nil && f.Header().StreamID != last; f = p.next() {
		require.NotContains(t, word(f), "goodbye")
	}
	require.Equal(t, "head 200", word(f))
}

// As many as may be in flight may be given up at once: their callers' proxy has lost
// them all, and others go on.
func TestAllMayLeaveAtOnce(t *testing.T) {
	t.Parallel()
	a, b := pair(t)
	c := serve(t, a, Config{MaxStreams: 1000}, echo)
	p := newPeer(t, b, true)
	for id := uint32(1); id < 2000; id += 2 {
		p.post(id, false)
	}
	require.Eventually(t, func() bool { return c.InFlight() == 1000 }, 10*time.Second, time.Millisecond)
	for id := uint32(1); id < 2000; id += 2 {
		require.NoError(t, p.WriteRSTStream(id, http2.ErrCodeCancel))
	}
	require.Eventually(t, func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.running == 0
	}, 10*time.Second, time.Millisecond)
	p.post(2001, true)
	require.Equal(t, "head 200", word(p.next()))
}

// What belongs to a request that came too late ends no other.
func TestLateRequestAtGoodbye(t *testing.T) {
	t.Parallel()
	a, b := pair(t)
	c := serve(t, a, Config{}, echo)
	p := newPeer(t, b, true)
	p.post(1, false)
	require.Eventually(t, func() bool { return c.InFlight() == 1 }, 10*time.Second, time.Millisecond)
	c.Shutdown()
	require.Equal(t, "goodbye NO_ERROR", word(p.next()))
	require.Equal(t, "goodbye NO_ERROR", word(p.next()))
	p.post(3, false)
	require.NoError(t, p.WriteData(3, false, []byte("late")))
	require.NoError(t, p.WriteWindowUpdate(3, 10))
	require.NoError(t, p.WriteRSTStream(3, http2.ErrCodeCancel))
	require.NoError(t, p.WriteData(1, true, []byte("x")))
	require.Equal(t, "head 200", word(p.next()))
	require.Equal(t, "data x", word(p.next()))
	b.Close()
	<-c.Done()
}

// Nothing is said before the settings, not even goodbye.
func TestGoodbyeBeforeHello(t *testing.T) {
	t.Parallel()
	a, b := pair(t)
	c := NewConn(a, Config{MaxStreams: 1, StreamWindow: firstWindow, ConnWindow: firstWindow, MaxHeaderBytes: 1 << 10, Accept: func(*Stream) {}})
	c.Shutdown()
	done := make(chan error, 1)
	go func() { done <- c.Serve() }()
	p := newPeer(t, b, true)
	f, err := p.ReadFrame()
	require.NoError(t, err)
	require.Equal(t, http2.FrameSettings, f.Header().Type)
	b.Close()
	require.Error(t, <-done)
}

// A head that does not go on, or goes on with nothing, ends in time; and so does a
// connection that does not begin.
func TestSlowHeads(t *testing.T) {
	t.Parallel()
	for name, send := range map[string]func(p *peer){
		"half a head":  func(p *peer) { _ = p.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: []byte{0x82}}) },
		"half a frame": func(p *peer) { _, _ = p.nc.Write([]byte{0, 0, 9, byte(http2.FrameHeaders), 5, 0, 0, 0, 1, 0x82}) },
		"continuations": func(p *peer) {
			_ = p.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: []byte{0x82}})
			for p.WriteContinuation(1, false, nil) == nil { //nolint:revive // that is all
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, b := pair(t)
			c := serve(t, a, Config{HeadTimeout: 50 * time.Millisecond}, echo)
			send(newPeer(t, b, true))
			<-c.Done()
			require.ErrorIs(t, c.Err(), os.ErrDeadlineExceeded)
		})
	}
	t.Run("no preface", func(t *testing.T) {
		t.Parallel()
		a, _ := pair(t)
		c := serve(t, a, Config{HeadTimeout: 50 * time.Millisecond}, echo)
		<-c.Done()
		require.ErrorIs(t, c.Err(), os.ErrDeadlineExceeded)
	})
	t.Run("between them there is time", func(t *testing.T) {
		t.Parallel()
		a, b := pair(t)
		serve(t, a, Config{HeadTimeout: 50 * time.Millisecond}, echo)
		p := newPeer(t, b, true)
		p.post(1, true)
		require.Equal(t, "head 200", word(p.next()))
		time.Sleep(100 * time.Millisecond) // longer than a head may take
		p.post(3, true)
		for f := p.next(); word(f) != "head 200"; f = p.next() {
			require.NotNil(t, f)
		}
	})
}

// Beyond what is allowed a stream is refused, and nothing else happens.
func TestServerRefusesTooManyStreams(t *testing.T) {
	t.Parallel()
	a, b := pair(t)
	serve(t, a, Config{MaxStreams: 2}, echo)
	p := newPeer(t, b, true)
	p.post(1, false)
	p.post(3, false)
	p.post(5, false)
	require.Equal(t, "reset REFUSED_STREAM", word(p.next()))
	require.NoError(t, p.WriteData(1, true, []byte("x")))
	require.Equal(t, "head 200", word(p.next()))
	require.Equal(t, "data x", word(p.next()))
}

// A goodbye leaves alone what runs and what is on its way; then the connection ends.
func TestServerSaysGoodbye(t *testing.T) {
	t.Parallel()
	a, b := pair(t)
	c := serve(t, a, Config{}, echo)
	p := newPeer(t, b, true)
	p.post(1, false)
	require.NoError(t, p.WriteData(1, false, []byte("x")))
	require.Eventually(t, func() bool { return c.InFlight() == 1 }, 10*time.Second, time.Millisecond)
	c.Shutdown()
	p.post(3, true)
	require.Equal(t, "goodbye NO_ERROR", word(p.next()))
	for answered, said := false, false; !answered || !said; {
		f := p.next()
		require.NotNil(t, f)
		answered = answered || word(f) == "head 200" && f.Header().StreamID == 3 // it was on its way
		said = said || word(f) == "goodbye NO_ERROR"
	}
	require.NoError(t, p.WriteData(1, true, nil))
	f := p.next()
	for f.Header().StreamID == 3 {
		f = p.next()
	}
	require.Equal(t, "head 200", word(f))
	require.Equal(t, "data x", word(p.next()))
	for f := p.next(); f != nil; f = p.next() {
		require.Contains(t, word(f), "data")
	}
	b.Close()
	<-c.Done()
}

func TestIdleTimeout(t *testing.T) {
	t.Parallel()
	a, b := pair(t)
	c := serve(t, a, Config{IdleTimeout: 20 * time.Millisecond}, echo)
	p := newPeer(t, b, true)
	require.Equal(t, "goodbye NO_ERROR", word(p.next()))
	p.post(1, true) // it was on its way
	for f := p.next(); ; f = p.next() {
		require.NotNil(t, f)
		if word(f) == "head 200" {
			break
		}
	}
	b.Close()
	<-c.Done()
	c = ends(t, Config{IdleTimeout: 20 * time.Millisecond}, Config{}, echo)
	<-c.Done() // of itself, or because the server has heard the goodbye first
	require.Error(t, c.Err())
}

// ends are a client and a server of this package.
func ends(t *testing.T, client, server Config, handle func(*Stream)) *Conn {
	t.Helper()
	a, b := pair(t)
	serve(t, a, server, handle)
	if client.StreamWindow == 0 {
		client.StreamWindow, client.ConnWindow = firstWindow, 2*firstWindow
	}
	client.MaxHeaderBytes = 4 << 10
	c := NewConn(b, client)
	done := make(chan error, 1)
	go func() { done <- c.Serve() }()
	t.Cleanup(func() {
		c.Close()
		require.Error(t, <-done)
	})
	<-c.Ready()
	return c
}

func open(t *testing.T, c *Conn, end bool) *Stream {
	t.Helper()
	require.True(t, c.Reserve())
	s, err := c.Open([]hpack.HeaderField{
		{Name: ":method", Value: "POST"}, {Name: ":scheme", Value: "http"}, {Name: ":path", Value: "/"}, {Name: ":authority", Value: "h"},
	}, end, true, false)
	require.NoError(t, err)
	return s
}

// Bodies larger than every window and buffer, both ways at once, many at a time.
func TestLargeBodies(t *testing.T) {
	t.Parallel()
	c := ends(t, Config{}, Config{}, func(s *Stream) {
		_ = s.Answer([]hpack.HeaderField{{Name: ":status", Value: "200"}}, false, true)
		buf := make([]byte, 10_000)
		for {
			n, err := s.Read(buf)
			if s.Write(buf[:n], false, err == nil) != nil {
				return
			}
			if err != nil {
				break
			}
		}
		_ = s.Trail(s.Trailer())
	})
	body := strings.Repeat("0123456789abcdef", 100_000)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			s := open(t, c, false)
			wg.Go(func() {
				for rest := body; len(rest) > 0; {
					n := min(len(rest), 50_000)
					if s.Write([]byte(rest[:n]), false, true) != nil {
						t.Error("write")
						return
					}
					rest = rest[n:]
				}
				if s.Trail([]hpack.HeaderField{{Name: "x-sum", Value: "7"}}) != nil {
					t.Error("trail")
				}
			})
			b, err := io.ReadAll(s)
			if err != nil || string(b) != body || Value(s.Trailer(), "x-sum") != "7" {
				t.Errorf("%d bytes, %v", len(b), err)
			}
		})
	}
	wg.Wait()
	require.Zero(t, c.InFlight())
}

// A reader that stalls holds up its own stream, up to the connection's window, and a
// stream that is given up gives its part of that back.
func TestStalledReader(t *testing.T) {
	t.Parallel()
	c := ends(t, Config{}, Config{}, func(s *Stream) {
		_, _ = io.ReadAll(s)
		_ = s.Answer([]hpack.HeaderField{{Name: ":status", Value: "200"}}, false, true)
		_ = s.Write(make([]byte, 1<<20), true, true)
	})
	stalled := open(t, c, true)
	require.Eventually(t, func() bool { return stalled.Ready() == firstWindow }, 10*time.Second, time.Millisecond)
	other := open(t, c, true)
	b, err := io.ReadAll(other)
	require.NoError(t, err)
	require.Len(t, b, 1<<20)
	again := open(t, c, true)
	// Up to a quarter of the connection's window may not have been given back yet.
	require.Eventually(t, func() bool { return again.Ready() >= firstWindow/2 }, 10*time.Second, time.Millisecond)
	stalled.Reset(http2.ErrCodeCancel)
	b, err = io.ReadAll(again)
	require.NoError(t, err)
	require.Len(t, b, 1<<20)
	_, err = stalled.Read(make([]byte, 1))
	require.Error(t, err)
}

// Who waits to write is woken by the stream's end.
func TestResetWakesWriters(t *testing.T) {
	t.Parallel()
	got := make(chan struct{})
	c := ends(t, Config{}, Config{}, func(*Stream) { <-got })
	s := open(t, c, false)
	wrote := make(chan error, 1)
	go func() { wrote <- s.Write(make([]byte, 1<<20), true, true) }()
	s.Reset(http2.ErrCodeCancel)
	require.Error(t, <-wrote)
	s = open(t, c, false)
	go func() { wrote <- s.Write(make([]byte, 1<<20), true, true) }()
	c.Close()
	require.Error(t, <-wrote)
	_, err := s.Head(nil)
	e, ok := errors.AsType[*Error](err)
	require.True(t, ok)
	require.False(t, e.Unprocessed)
	close(got)
}

// A silent peer is asked, and given up.
func TestKeepalive(t *testing.T) {
	t.Parallel()
	a, b := pair(t)
	c := NewConn(a, Config{
		StreamWindow: firstWindow, ConnWindow: firstWindow, MaxHeaderBytes: 1 << 10,
		Keepalive: Keepalive{Interval: 10 * time.Millisecond, Timeout: 300 * time.Millisecond},
	})
	done := make(chan error, 1)
	go func() { done <- c.Serve() }()
	p := newPeer(t, b, false)
	_, err := io.ReadFull(b, make([]byte, len(Preface)))
	require.NoError(t, err)
	pings := 0
	for pings < 3 {
		f, err := p.ReadFrame()
		require.NoError(t, err)
		if ping, ok := f.(*http2.PingFrame); ok {
			pings++
			require.NoError(t, p.WritePing(true, ping.Data))
		}
	}
	require.ErrorIs(t, <-done, ErrSilent, "it was not answered any more")
}

// Continue reaches a client that waits, and informational answers come before the head.
func TestContinue(t *testing.T) {
	t.Parallel()
	a, b := pair(t)
	serve(t, a, Config{}, func(s *Stream) {
		s.Continue()
		echo(s)
	})
	p := newPeer(t, b, true)
	p.post(1, false, "expect", "100-continue")
	require.Equal(t, "head 100", word(p.next()))
	require.NoError(t, p.WriteData(1, true, []byte("x")))
	require.Equal(t, "head 200", word(p.next()))
	c := ends(t, Config{}, Config{}, func(s *Stream) {
		s.Inform([]hpack.HeaderField{{Name: ":status", Value: "103"}})
		echo(s)
		s.Inform([]hpack.HeaderField{{Name: ":status", Value: "103"}}) // too late
	})
	s := open(t, c, false)
	require.NoError(t, s.Write([]byte("x"), true, true))
	var hints []string
	head, err := s.Head(func(f []hpack.HeaderField) { hints = append(hints, Value(f, ":status")) })
	require.NoError(t, err)
	require.Equal(t, "200", Value(head, ":status"))
	require.Equal(t, []string{"103"}, hints)
}
