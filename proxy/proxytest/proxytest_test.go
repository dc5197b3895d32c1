package proxytest_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/fridaymesh/friday/proxy/proxytest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// net/http agrees that what the server says is HTTP.
func TestServerSpeaksHTTP(t *testing.T) {
	proxytest.Leaks(t)
	s := proxytest.NewServer(t, proxytest.Sequence(
		proxytest.Reply{Status: 201, Headers: []string{"x-a: 1"}, Body: "hello"},
		proxytest.Reply{Chunks: []string{"one", "two"}, Trailers: []string{"x-sum: 7"}, Headers: []string{"trailer: x-sum"}},
		proxytest.Reply{},
	))
	client := &http.Client{Transport: &http.Transport{}}
	t.Cleanup(client.CloseIdleConnections)
	post := func(body io.Reader) (*http.Response, string) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+s.Address()+"/v1", body)
		require.NoError(t, err)
		resp, err := client.Do(req)
		require.NoError(t, err)
		b, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		return resp, string(b)
	}
	resp, body := post(strings.NewReader("ping"))
	require.Equal(t, 201, resp.StatusCode)
	require.Equal(t, "1", resp.Header.Get("X-A"))
	require.Equal(t, "hello", body)
	resp, body = post(io.MultiReader(strings.NewReader("a"), strings.NewReader("b"))) // chunked
	require.Equal(t, "onetwo", body)
	require.Equal(t, "7", resp.Trailer.Get("X-Sum"))
	resp, body = post(http.NoBody)
	require.Equal(t, 200, resp.StatusCode)
	require.Empty(t, body)

	require.Equal(t, 1, s.Connections())
	requests := s.WaitRequests(3)
	require.True(t, strings.HasPrefix(requests[0].Raw(), "POST /v1 HTTP/1.1\r\nHost: "+s.Address()+"\r\n"))
	require.True(t, strings.HasSuffix(requests[0].Raw(), "\r\n\r\nping"))
	content, ended := requests[1].Body()
	require.Equal(t, "ab", content)
	require.True(t, ended)
	require.True(t, strings.HasSuffix(requests[1].Raw(), "\r\n\r\n1\r\na\r\n1\r\nb\r\n0\r\n\r\n"), "%q", requests[1].Raw())
	require.Equal(t, []int{1, 2, 3}, []int{requests[0].Number, requests[1].Number, requests[2].Number})
}

func TestClientReadsWhatComes(t *testing.T) {
	proxytest.Leaks(t)
	gate, head := make(chan struct{}), make(chan struct{})
	s := proxytest.NewServer(t, proxytest.Sequence(
		proxytest.Reply{Gate: head, ChunkGate: gate, Chunks: []string{"a", "b"}, Trailers: []string{"T: 1"}},
		proxytest.Reply{Status: 204},
		proxytest.Reply{Proto: "HTTP/1.0", Body: "to the end"},
	))
	c := proxytest.Dial(t, s.Address())
	c.Get("/1")
	close(head)
	r := c.Response()
	require.Equal(t, "HTTP/1.1 200 Status\r\ntransfer-encoding: chunked\r\n\r\n", r.Raw)
	for _, want := range []string{"a", "b"} {
		gate <- struct{}{}
		data, ok := c.Chunk(r)
		require.True(t, ok)
		require.Equal(t, want, data)
	}
	_, ok := c.Chunk(r)
	require.False(t, ok)
	require.Equal(t, "1", r.Trailer("t"))

	c.Post("/2", "x", "X-Y: z")
	require.Equal(t, 204, c.Response().Status)
	require.Equal(t, "z", s.Requests()[1].Header("x-y"))
	c.Get("/3")
	r = c.Response()
	require.Equal(t, "HTTP/1.0", r.Proto)
	require.Equal(t, "to the end", c.Body(r))
	_, err := c.TryResponse()
	require.ErrorIs(t, err, io.EOF)
	s.WaitOpen(0)
}

func TestHeadAndPipelining(t *testing.T) {
	proxytest.Leaks(t)
	s := proxytest.NewServer(t, proxytest.Reply{Body: "hello"}.Play)
	c := proxytest.Dial(t, s.Address())
	c.Send("HEAD / HTTP/1.1\r\nhost: a\r\n\r\n")
	c.Send("GET / HTTP/1.1\r\nhost: a\r\n\r\n")
	r := c.Response()
	require.Equal(t, "5", r.Header("Content-Length"))
	require.Empty(t, c.Body(r))
	require.Equal(t, "hello", c.Body(c.Response()))
}

func TestBadManners(t *testing.T) {
	const whole = "HTTP/1.1 200 Status\r\ncontent-length: 5\r\n\r\nhello"
	for name, c := range map[string]struct {
		reply proxytest.Reply
		body  string
		err   error
	}{
		"reset after a part":          {proxytest.Reply{Body: "hello", ResetAfter: len(whole) - 3}, "he", syscall.ECONNRESET},
		"closed after a part":         {proxytest.Reply{Body: "hello", CloseAfter: len(whole) - 3}, "he", io.ErrUnexpectedEOF},
		"a length too long, closed":   {proxytest.Reply{Body: "hello", ContentLength: 9, Close: true}, "hello", io.ErrUnexpectedEOF},
		"a length too short":          {proxytest.Reply{Body: "hello", ContentLength: 3}, "hel", nil},
		"no length, to the end":       {proxytest.Reply{Body: "hello", ContentLength: proxytest.NoLength, Close: true}, "hello", nil},
		"closed within the chunks":    {proxytest.Reply{Chunks: []string{"a", "b"}, CloseAfter: 60}, "a", io.ErrUnexpectedEOF},
		"HTTP/1.0 that tells lengths": {proxytest.Reply{Proto: "HTTP/1.0", Body: "hello", ContentLength: 5}, "hello", nil},
		"late":                        {proxytest.Reply{Body: "hello", Delay: time.Millisecond}, "hello", nil},
	} {
		t.Run(name, func(t *testing.T) {
			proxytest.Leaks(t)
			s := proxytest.NewServer(t, c.reply.Play)
			client := proxytest.Dial(t, s.Address())
			client.Get("/")
			r := client.Response()
			body, err := client.TryBody(r)
			// A reset may overtake what was sent before it.
			if errors.Is(c.err, syscall.ECONNRESET) {
				require.True(t, strings.HasPrefix(c.body, body))
			} else {
				require.Equal(t, c.body, body)
			}
			require.ErrorIs(t, err, c.err)
		})
	}
}

func TestNoAnswer(t *testing.T) {
	for name, c := range map[string]struct {
		reply proxytest.Reply
		want  error
	}{
		"closed": {proxytest.Reply{CloseAfter: proxytest.AtOnce}, io.EOF},
		"reset":  {proxytest.Reply{ResetAfter: proxytest.AtOnce}, syscall.ECONNRESET},
		"half":   {proxytest.Reply{CloseAfter: 10}, io.ErrUnexpectedEOF},
	} {
		t.Run(name, func(t *testing.T) {
			proxytest.Leaks(t)
			s := proxytest.NewServer(t, c.reply.Play)
			client := proxytest.Dial(t, s.Address())
			client.Get("/")
			_, err := client.TryResponse()
			require.ErrorIs(t, err, c.want)
			client.WaitClosed()
		})
	}
}

func TestIdleConnectionsEnd(t *testing.T) {
	for name, end := range map[string]func(*proxytest.Server){"closed": (*proxytest.Server).CloseIdle, "reset": (*proxytest.Server).ResetIdle} {
		t.Run(name, func(t *testing.T) {
			proxytest.Leaks(t)
			s := proxytest.NewServer(t, proxytest.Reply{Delay: time.Microsecond}.Play)
			c := proxytest.Dial(t, s.Address())
			c.Get("/")
			require.Equal(t, 200, c.Response().Status)
			end(s)
			c.WaitClosed()
			s.WaitOpen(0)
			require.Equal(t, 1, s.Connections())
		})
	}
}

func TestEarlyAnswer(t *testing.T) {
	proxytest.Leaks(t)
	s := proxytest.NewServer(t, proxytest.Reply{Status: 413, Early: true, Close: true}.Play)
	c := proxytest.Dial(t, s.Address())
	c.Send("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n")
	require.Equal(t, 413, c.Response().Status)
	c.WaitClosed()
}

// The content is seen as it comes, and may be refused in the middle.
func TestContentPieceByPiece(t *testing.T) {
	proxytest.Leaks(t)
	parts := make(chan string)
	s := proxytest.NewServer(t, func(x *proxytest.Exchange) {
		for {
			part, more := x.ReadPart()
			if part != "" {
				parts <- part
			}
			if !more {
				break
			}
		}
		x.WriteHead(200, "content-length: 0")
	})
	c := proxytest.Dial(t, s.Address())
	c.Send("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n")
	for _, part := range []string{"one", "two"} {
		c.SendChunk(part)
		require.Equal(t, part, <-parts)
	}
	c.EndChunks("sum: 1")
	require.Equal(t, 200, c.Response().Status)
	require.Equal(t, "1", s.Requests()[0].Trailer("Sum"))

	c = proxytest.Dial(t, s.Address())
	c.Send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nhalf")
	require.Equal(t, "half", <-parts)
	c.CloseWrite()
	require.Equal(t, 200, c.Response().Status)
	content, ended := s.Requests()[1].Body()
	require.Equal(t, "half", content)
	require.False(t, ended)
}

func TestGone(t *testing.T) {
	for name, leave := range map[string]func(*proxytest.Client){"closed": (*proxytest.Client).Close, "reset": (*proxytest.Client).Reset} {
		t.Run(name, func(t *testing.T) {
			proxytest.Leaks(t)
			gone := make(chan bool, 1)
			s := proxytest.NewServer(t, func(x *proxytest.Exchange) {
				select {
				case <-x.Gone():
					gone <- true
				case <-time.NewTimer(proxytest.Patience).C:
					gone <- false
				}
			})
			c := proxytest.Dial(t, s.Address())
			c.Post("/", "body")
			s.WaitRequests(1)
			leave(c)
			require.True(t, <-gone)
			s.WaitOpen(0)
		})
	}
}

// Closing the server ends scripts that wait.
func TestCloseEndsScripts(t *testing.T) {
	proxytest.Leaks(t)
	for _, early := range []bool{false, true} {
		s := proxytest.NewServer(t, proxytest.Reply{Early: early, Gate: make(chan struct{})}.Play)
		c := proxytest.Dial(t, s.Address())
		c.Send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nx")
		s.WaitRequests(1)
		s.Close()
		s.Close()
		c.WaitClosed()
	}
}

func TestRefuse(t *testing.T) {
	proxytest.Leaks(t)
	s := proxytest.NewServer(t, proxytest.Echo)
	c := proxytest.Dial(t, s.Address())
	c.Post("/", "x")
	require.Equal(t, "x", c.Body(c.Response()))
	s.Refuse()
	_, err := http.Get("http://" + s.Address()) // refused
	require.ErrorIs(t, err, syscall.ECONNREFUSED)
	c.Post("/", "y")
	require.Equal(t, "y", c.Body(c.Response()), "connections go on")
}

// failing takes failures instead of a test.
type failing struct {
	testing.TB

	errors   []string
	cleanups []func()
}

func (f *failing) Helper() {}
func (f *failing) Errorf(format string, args ...any) {
	f.errors = append(f.errors, fmt.Sprintf(format, args...))
}
func (f *failing) Cleanup(c func()) { f.cleanups = append(f.cleanups, c) }

func TestLeaksAreSeen(t *testing.T) {
	f := &failing{TB: t}
	proxytest.Leaks(f)
	s := proxytest.NewServer(t, proxytest.Echo)
	f.cleanups[0]()
	require.Len(t, f.errors, 2)
	require.Contains(t, f.errors[0], "goroutines left behind")
	require.Contains(t, f.errors[1], "descriptors left behind: ")
	s.Close()
	f.errors = nil
	f.cleanups[0]()
	require.Empty(t, f.errors)
}

// Whatever a caller sends, the server's reader ends and does not panic.
func FuzzServerReads(f *testing.F) {
	for _, seed := range []string{
		"POST / HTTP/1.1\r\ncontent-length: 3\r\n\r\nabc",
		"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\na: b\r\n\r\n",
		"GET / HTTP/1.1\r\n\r\nGET / HTTP/1.0\r\n\r\n",
		"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n-1\r\n", "x", "\r\n\r\n",
		"POST / HTTP/1.1\r\ncontent-length: -3\r\n\r\n",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, sent string) {
		s := proxytest.NewServer(t, proxytest.Echo)
		c := proxytest.Dial(t, s.Address())
		_ = c.TrySend(sent)
		c.CloseWrite()
		for {
			r, err := c.TryResponse()
			if err != nil {
				break
			}
			if _, err := c.TryBody(r); err != nil {
				break
			}
		}
		s.Close()
		received := 0
		for _, r := range s.Requests() {
			received += len(r.Raw())
		}
		require.LessOrEqual(t, received, len(sent), "no byte is seen twice")
	})
}
