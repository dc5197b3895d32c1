package upstream

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/valyala/fasthttp"

	"github.com/fridaymesh/friday/proxy"
	"github.com/fridaymesh/friday/proxy/telemetry"
)

const (
	// streamWindow and connWindow bound what a server may send before it is read (RFC
	// 9113 section 5.2).
	streamWindow = 256 << 10
	connWindow   = 4<<20 - 1 // net/http's limit
	// idleHTTP2 is how long an HTTP/2 connection is kept where the configuration does
	// not say: a server that has enough of it says so (GOAWAY) before it closes, so
	// that keeping it does not risk a request.
	idleHTTP2 = time.Minute
)

// Multiplexer makes round trips to one address over HTTP/2, in cleartext with
// prior knowledge: all of them over one connection, and over another only where the server
// allows no more on the first. It is safe for concurrent use.
type Multiplexer struct {
	// Set once.
	address string
	scheme  string
	choice  *choice         // nil where the protocol is not the endpoint's choice
	http    *http.Transport // makes connections; they are kept in links
	links   links
	fresh   prometheus.Counter
	reused  prometheus.Counter
}

var (
	_ proxy.Handler = (*Multiplexer)(nil)
	_ io.Closer     = (*Multiplexer)(nil)
)

// NewMultiplexer makes a Multiplexer to address (host:port). It dials nothing yet.
func NewMultiplexer(address string, config Config, m *telemetry.Metrics) *Multiplexer {
	config.ConnectTimeout = config.connectTimeout()
	if config.IdleTimeout == 0 {
		config.IdleTimeout = idleHTTP2
	}
	t := &Multiplexer{
		address: address,
		scheme:  "http",
		fresh:   m.UpstreamRequests.WithLabelValues(config.Cluster, "false"),
		reused:  m.UpstreamRequests.WithLabelValues(config.Cluster, "true"),
	}
	if config.TLS != nil {
		t.scheme = "https"
	}
	open := m.UpstreamOpen.WithLabelValues(config.Cluster)
	t.http = &http.Transport{
		Protocols:              new(http.Protocols),
		DialContext:            t.dial(newDoor(address, &config, m), open),
		DisableCompression:     true, // nothing is asked for that the caller did not ask for
		IdleConnTimeout:        config.IdleTimeout,
		MaxResponseHeaderBytes: maxHead,
		HTTP2: &http.HTTP2Config{
			MaxReceiveBufferPerConnection: connWindow,
			MaxReceiveBufferPerStream:     streamWindow,
		},
	}
	t.http.Protocols.SetUnencryptedHTTP2(true)
	t.links = links{
		opened:  m.UpstreamConnections.WithLabelValues(config.Cluster),
		most:    config.MaxRequests,
		timeout: config.ConnectTimeout,
		dial:    func(ctx context.Context) (*http.ClientConn, error) { return t.http.NewClientConn(ctx, "http", address) },
	}
	return t
}

// Close closes the idle connections and keeps none from now on. Round trips that
// run, or begin later, end as ever.
func (t *Multiplexer) Close() error {
	t.links.close()
	return nil
}

// Handle makes one round trip. Its errors are [*proxy.Error]s, as those of
// [Transport.Handle]. Unsent are those where no connection was made, where the
// server refused the stream, and where it said goodbye before it (RFC 9113 section
// 8.7).
func (t *Multiplexer) Handle(ctx context.Context, req *proxy.Request) (*proxy.Response, error) {
	if ctx.Err() != nil {
		return nil, proxy.AsError(ctx, context.Cause(ctx))
	}
	req.Trace.Attempts++
	out, body := t.request(ctx, req)
	l, used, err := t.links.take(ctx)
	if err != nil {
		if ctx.Err() != nil {
			return nil, proxy.AsError(ctx, context.Cause(ctx))
		}
		return nil, connectError(err)
	}
	if used {
		t.reused.Inc()
	} else {
		t.fresh.Inc()
	}
	resp, err := l.conn.RoundTrip(out) //nolint:bodyclose // the answer's body closes it
	if err != nil {
		body.release()
		if ctx.Err() != nil {
			return nil, proxy.AsError(ctx, context.Cause(ctx))
		}
		return nil, t.explain(err, body)
	}
	answer, err := t.answer(resp, body, req.Header.IsHead())
	if err != nil {
		if ctx.Err() != nil {
			return nil, proxy.AsError(ctx, context.Cause(ctx))
		}
		return nil, t.explain(err, body)
	}
	return answer, nil
}

// explain makes the error that the caller sees of why there was no answer.
func (t *Multiplexer) explain(err error, body *sentBody) *proxy.Error {
	if cut := body.failure(); cut != nil {
		if pe, ok := errors.AsType[*proxy.Error](cut); ok {
			return pe
		}
		return &proxy.Error{Status: fasthttp.StatusBadRequest, Flag: proxy.FlagDownstreamProtocol, Message: "request body cut short", Err: cut}
	}
	pe := &proxy.Error{Status: fasthttp.StatusServiceUnavailable, Flag: proxy.FlagUpstreamReset, Err: err}
	reset, isStream := errors.AsType[streamError](err)
	switch {
	case isStream && reset.Code == refusedStream:
		pe.Message, pe.Unsent = resetText+"remote refused stream reset", true
	case isStream:
		pe.Message = resetText + "remote reset"
	case unprocessed(err):
		pe.Message, pe.Unsent = resetText+"connection termination", true
	case isReset(err) || strings.Contains(err.Error(), "GOAWAY"):
		pe.Message = resetText + "connection termination"
	default:
		pe.Status, pe.Flag, pe.Message = fasthttp.StatusBadGateway, proxy.FlagUpstreamProtocol, resetText+"protocol error"
	}
	return pe
}

// streamError is what net/http's error of a reset stream lets itself be made of: any
// struct of these fields.
type streamError struct {
	StreamID uint32
	Code     uint32
	Cause    error
}

func (e streamError) Error() string { return "stream reset" }

// refusedStream is RFC 9113's REFUSED_STREAM (section 7): nothing has been processed.
const refusedStream = 7

// unprocessed says whether net/http knows that the server has not processed the
// request: it never went out, or the server's GOAWAY names an earlier one as the
// last (RFC 9113 section 6.8). The errors have no names outside of net/http, only
// their texts; TestUnprocessed meets them.
func unprocessed(err error) bool {
	switch err.Error() {
	case "http2: client conn not usable", "http2: client conn is closed", "http2: client conn could not be established",
		"http2: Transport received Server's graceful shutdown GOAWAY":
		return true
	}
	return false
}
