package upstream

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/valyala/fasthttp"

	"github.com/fridaymesh/friday/proxy"
	"github.com/fridaymesh/friday/proxy/http2"
	"github.com/fridaymesh/friday/proxy/telemetry"
	"github.com/fridaymesh/friday/proxy/tlscontext"
)

// Config is what a Transport needs to know.
type Config struct {
	// Cluster is the metrics' label.
	Cluster string
	// ConnectTimeout bounds a dial; 0: 5 s.
	ConnectTimeout time.Duration
	// IdleTimeout is how long a connection is kept without a request; 0: in HTTP/1.1
	// 4 s, or what the server says, in HTTP/2 a minute.
	IdleTimeout time.Duration
	// MaxRequests closes a connection after so many requests; 0: no limit.
	MaxRequests uint32
	// MaxDuration lets a connection serve no new request after so long; 0: no limit.
	MaxDuration time.Duration
	// Source is the address to connect from; the zero one is the system's choice.
	Source netip.AddrPort
	// Own, where not nil, is told of the connections.
	Own *Own
	// Preconnect is how many connections of HTTP/1.1 there should be for each request
	// that runs; up to 1: no more than that.
	Preconnect float64
	// Keepalive, where its interval is above 0, pings the server of an HTTP/2 connection
	// that is silent.
	Keepalive http2.Keepalive
	// Limits, where not nil, bound the cluster's connections.
	Limits *Limits
	// TLS, where not nil, is spoken with the endpoint; AutoSNI makes the caller's Host
	// the server's name in it, which AutoSAN demands of the certificate.
	TLS              *tlscontext.Client
	AutoSNI, AutoSAN bool
}

func (c *Config) connectTimeout() time.Duration {
	if c.ConnectTimeout == 0 {
		return 5 * time.Second
	}
	return c.ConnectTimeout
}

func (c *Config) dialer() net.Dialer {
	d := net.Dialer{Timeout: c.connectTimeout()}
	if c.Source.IsValid() {
		d.LocalAddr = net.TCPAddrFromAddrPort(c.Source)
	}
	return d
}

// Transport makes round trips to one address. It is safe for concurrent use.
type Transport struct {
	// Set once.
	address string
	config  Config
	door    *door
	choice  *choice // nil where the protocol is not the endpoint's choice
	opened  prometheus.Counter
	open    prometheus.Gauge
	fresh   prometheus.Counter
	reused  prometheus.Counter
	waiting prometheus.Gauge

	warming atomic.Int32 // connections made ahead of need just now
	pool    pool
}

var (
	_ proxy.Handler = (*Transport)(nil)
	_ io.Closer     = (*Transport)(nil)
)

// New makes a Transport to address (host:port). It dials nothing yet.
func New(address string, config Config, m *telemetry.Metrics) *Transport {
	config.ConnectTimeout = config.connectTimeout()
	return &Transport{
		address: address,
		config:  config,
		door:    newDoor(address, &config, m),
		opened:  m.UpstreamConnections.WithLabelValues(config.Cluster),
		open:    m.UpstreamOpen.WithLabelValues(config.Cluster),
		fresh:   m.UpstreamRequests.WithLabelValues(config.Cluster, "false"),
		reused:  m.UpstreamRequests.WithLabelValues(config.Cluster, "true"),
		waiting: m.UpstreamPending.WithLabelValues(config.Cluster),
		pool:    pool{limits: config.Limits, life: life{configured: config.IdleTimeout}},
	}
}

// Close closes the idle connections and keeps none from now on. Round trips that
// run, or begin later, end as ever.
func (t *Transport) Close() error {
	t.pool.close()
	return nil
}

// Handle makes one round trip. Its errors are [*proxy.Error]s: 503 UF where no
// connection was made, 503 UO where the limits allow none, 503 UC where it was closed or reset before an answer, 502
// UPE where the answer is no HTTP, and what the request's body or ctx says where
// those failed.
func (t *Transport) Handle(ctx context.Context, req *proxy.Request) (*proxy.Response, error) {
	if ctx.Err() != nil {
		return nil, proxy.AsError(ctx, context.Cause(ctx))
	}
	req.Trace.Attempts++
	c, err := t.conn(ctx)
	if err != nil {
		if ctx.Err() != nil {
			return nil, proxy.AsError(ctx, context.Cause(ctx))
		}
		return nil, err
	}
	x := &exchange{t: t, c: c, req: req}
	x.stop = context.AfterFunc(ctx, c.ends)
	resp, err := x.run()
	if err == nil {
		return resp, nil
	}
	x.fail()
	if ctx.Err() != nil {
		return nil, proxy.AsError(ctx, context.Cause(ctx))
	}
	pe := x.explain(errors.Join(err, x.writeErr))
	if c.unsent {
		t.pool.ended(c)
		// The server closed one idle connection; the others may be as dead, and
		// whoever tries again should not meet them.
		t.pool.flush()
	}
	return nil, pe
}

// exchange is one request and its answer on one connection.
type exchange struct {
	t    *Transport
	c    *conn
	req  *proxy.Request
	stop func() bool // takes the abort at the context's end back

	// writing is nil where the request was sent before reading began; else the
	// outcome of the goroutine that sends.
	writing chan error
	// writeErr is what it delivered, once the exchange has failed.
	writeErr error
	// bodyErr is why the request's body could not be read to its end. It is
	// written before writing delivers.
	bodyErr error
}

func (x *exchange) run() (*proxy.Response, error) {
	c := x.c
	c.attach()
	c.sentBefore = c.sent
	c.requests++
	if err := x.send(); err != nil {
		// The server may have answered before it closed: listen first.
		if x.bodyErr != nil {
			return nil, err
		}
		if resp, readErr := x.receive(); readErr == nil {
			c.unfit = true
			return resp, nil
		}
		c.unsent = c.unacknowledged(err)
		return nil, err
	}
	resp, err := x.receive()
	if err != nil && x.writing == nil {
		c.unsent = c.unacknowledged(err)
	}
	return resp, err
}

// send writes the request's head, and its body where that needs no waiting; a
// body that is still arriving is sent by a goroutine while the answer is read.
func (x *exchange) send() error {
	h, body := x.req.Header, x.req.Body
	n := body.Len()
	if x.req.Upgrade != "" {
		n = 0 // what comes before the server agrees may be another request
	}
	switch {
	case n > 0 && int64(h.ContentLength()) != n:
		h.SetContentLength(int(n))
	case n < 0 && h.ContentLength() != -1:
		h.SetContentLength(-1)
	case n == 0 && (h.ContentLength() > 0 || h.ContentLength() == -1):
		h.SetContentLength(0) // a filter took the body: the head must not promise one
	}
	head := headBuffers.Get().(*[]byte) //nolint:forcetypeassert // the pool holds nothing else
	*head = appendHead((*head)[:0], h, x.t.address, x.req.Span)
	if x.req.Upgrade != "" {
		*head = appendUpgrade(*head, x.req.Upgrade)
	}
	_, err := x.c.bw.Write(*head)
	headBuffers.Put(head)
	if err != nil {
		return err
	}
	if n == 0 {
		return x.c.bw.Flush()
	}
	if bb, ok := body.(*proxy.BytesBody); ok && n <= sendAtOnce {
		if _, err := bb.WriteTo(x.c.bw); err != nil {
			return err
		}
		return x.c.bw.Flush()
	}
	x.writing = make(chan error, 1)
	go func() { x.writing <- x.sendBody() }()
	return nil
}

// sendAtOnce is the longest body that is written before the answer is listened
// for. It fits into the socket's buffer, so writing it does not wait for a server
// that answers without reading.
const sendAtOnce = 64 << 10

func (x *exchange) sendBody() (err error) {
	defer func() {
		if v := recover(); v != nil { // the body's: it may be a filter's
			err = proxy.PanicError(v, debug.Stack())
			x.bodyErr = err
			x.c.abort()
		}
	}()
	if err := x.c.bw.Flush(); err != nil {
		return err
	}
	err = x.copyBody()
	if x.bodyErr != nil {
		// Without the rest of the request there will be no answer worth having.
		x.c.abort()
	}
	return err
}

// copyBody relays the request's body, one write for each read.
func (x *exchange) copyBody() error {
	buf := copyBuffers.Get().(*[]byte) //nolint:forcetypeassert // the pool holds nothing else
	defer copyBuffers.Put(buf)
	chunked := x.req.Body.Len() < 0
	bw := x.c.bw
	for {
		n, err := x.req.Body.Read(*buf)
		if n > 0 {
			if chunked {
				fmt.Fprintf(bw, "%x\r\n", n) //nolint:errcheck // a bufio.Writer keeps its error
			}
			_, _ = bw.Write((*buf)[:n]) // as above
			if chunked {
				_, _ = bw.WriteString("\r\n") // as above
			}
			if werr := bw.Flush(); werr != nil {
				return werr
			}
		}
		switch {
		case err == nil:
		case !errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
			x.bodyErr = err
			return err
		case chunked:
			return x.sendTrailer()
		default:
			return nil
		}
	}
}

func (x *exchange) sendTrailer() error {
	bw := x.c.bw
	_, _ = bw.WriteString("0\r\n") // a bufio.Writer keeps its error
	if t := x.req.Body.Trailer(); t != nil {
		_, _ = bw.Write(t.TrailerHeader()) // as above; it ends with the empty line
	} else {
		_, _ = bw.WriteString("\r\n") // as above
	}
	return bw.Flush()
}

// maxInformational bounds the informational answers before one that is none.
const maxInformational = 64

var errStatus = errors.New("a status that is none, or informational answers without end")

// inform passes an informational answer on (RFC 9110 section 15.2), but for 100
// (Continue): the codec has sent its own by then.
func inform(req *proxy.Request, h *fasthttp.ResponseHeader) {
	if req.Caller != nil && h.StatusCode() != fasthttp.StatusContinue {
		req.Caller.Inform(h)
	}
}

// receive reads the answer's head, and passes on informational ones before it.
func (x *exchange) receive() (*proxy.Response, error) {
	resp := proxy.NewResponse()
	for n := 0; ; n++ {
		if err := x.c.readHead(&resp.Header); err != nil {
			return nil, errors.Join(err, resp.Close())
		}
		s := resp.Header.StatusCode()
		if s >= 200 {
			break
		}
		if s == fasthttp.StatusSwitchingProtocols {
			return x.upgraded(resp)
		}
		if s < 100 || n == maxInformational {
			return nil, errors.Join(errStatus, resp.Close())
		}
		inform(x.req, &resp.Header)
		resp.Reset()
	}
	// A 500 is often the last that comes: uvicorn, for one, answers an exception
	// that Starlette lets through and then closes without having said so, too late
	// for the next request to see it and too early to be served.
	if x.c.requests == 1 {
		if seconds, ok := keepAlive(&resp.Header); ok { // a server says the same each time
			x.t.pool.tell(seconds)
		}
	}
	x.c.unfit = x.c.unfit || x.req.Header.IsConnect() || resp.Header.ConnectionClose() || !resp.Header.IsHTTP11() ||
		resp.Header.StatusCode() == fasthttp.StatusInternalServerError
	b := &body{x: x}
	b.frame(&resp.Header, x.req.Header.IsHead())
	if b.remaining == 0 {
		b.finish()
		return resp, nil
	}
	resp.Body = b
	return resp, nil
}

// finish ends an exchange whose answer has been read whole, and keeps the
// connection where it is fit for another.
func (x *exchange) finish() {
	if x.writing != nil {
		select {
		case err := <-x.writing:
			x.c.unfit = x.c.unfit || err != nil
		default:
			// The answer came before the request was over. Who sends must end
			// before the connection or the request's body can be let go.
			x.fail()
			return
		}
	}
	if !x.stop() || x.c.unfit || x.c.br.Buffered() > 0 ||
		(x.t.config.MaxRequests > 0 && x.c.requests >= x.t.config.MaxRequests) ||
		(x.t.config.MaxDuration > 0 && time.Since(x.c.born) >= x.t.config.MaxDuration) {
		x.c.close()
		return
	}
	x.c.detach()
	x.t.pool.put(x.c)
}

// fail ends an exchange for good.
func (x *exchange) fail() {
	x.stop()
	x.c.abort()
	if x.writing != nil {
		_ = x.req.Body.Close() // it only has to end a Read in flight
		x.writeErr = <-x.writing
	}
	x.c.close()
}

// explain makes the error that the caller sees of why there was no answer. It is
// called after fail.
func (x *exchange) explain(err error) *proxy.Error {
	if pe := cutShortRequest(x.bodyErr); pe != nil {
		return pe
	}
	if isReset(err) {
		return &proxy.Error{
			Status: fasthttp.StatusServiceUnavailable, Flag: proxy.FlagUpstreamReset,
			Message: resetText + "connection termination", Unsent: x.c.unsent, Err: err,
		}
	}
	return protocolError(err)
}

func isReset(err error) bool {
	if _, ok := errors.AsType[*net.OpError](err); ok {
		return true
	}
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed)
}

// headBuffers serve the heads that are written.
var headBuffers = sync.Pool{New: func() any { b := make([]byte, 0, 2<<10); return &b }} //nolint:gochecknoglobals // a pool is shared by nature

// copyBuffers serve request bodies that are relayed.
var copyBuffers = sync.Pool{New: func() any { b := make([]byte, 32<<10); return &b }} //nolint:gochecknoglobals // a pool is shared by nature

var (
	readers = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, headBuffer) }} //nolint:gochecknoglobals // a pool is shared by nature
	writers = sync.Pool{New: func() any { return bufio.NewWriterSize(nil, headBuffer) }} //nolint:gochecknoglobals // a pool is shared by nature
)
