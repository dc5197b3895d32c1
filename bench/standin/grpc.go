package standin

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"

	"google.golang.org/protobuf/encoding/protowire"
)

// gRPC is spoken on the same port: a connection that begins with HTTP/2's preface
// (RFC 9113 section 3.4) is net/http's. Of the Open Inference Protocol's service
// (https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/open_inference_grpc.proto)
// there are ModelInfer, the three health calls and ServerMetadata.
const service = "/inference.GRPCInferenceService/"

// Status codes of gRPC (https://grpc.io/docs/guides/status-codes/).
const (
	grpcOK                = 0
	grpcUnknown           = 2
	grpcInvalidArgument   = 3
	grpcPermissionDenied  = 7
	grpcResourceExhausted = 8
	grpcUnimplemented     = 12
	grpcInternal          = 13
	grpcUnavailable       = 14
	grpcUnauthenticated   = 16
)

// grpcCode is the code for what is an HTTP status elsewhere.
func grpcCode(status int) int {
	switch status {
	case 401:
		return grpcUnauthenticated
	case 403:
		return grpcPermissionDenied
	case 429:
		return grpcResourceExhausted
	case 503:
		return grpcUnavailable
	}
	switch {
	case status < 400:
		return grpcUnknown
	case status < 500:
		return grpcInvalidArgument
	}
	return grpcInternal
}

// serveHTTP2 serves one connection until it ends.
func (c *conn) serveHTTP2() {
	var calls sync.WaitGroup
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	server := http.Server{ // #nosec G112 -- a stand-in for tests: its callers are its own
		Protocols: protocols,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			calls.Add(1)
			defer calls.Done()
			c.counters.active.Add(1)
			defer c.counters.active.Add(-1)
			c.Server.serveGRPC(w, r)
		}),
	}
	ln := &oneConn{conn: make(chan net.Conn, 1), closed: make(chan struct{}), address: c.nc.LocalAddr()}
	ln.conn <- &replayed{Conn: c.nc, r: c.br, ended: sync.OnceFunc(func() { close(ln.closed) })}
	_ = server.Serve(ln) // ends with the connection
	calls.Wait()
}

// oneConn is a listener of one connection, which is over when that is.
type oneConn struct {
	conn    chan net.Conn
	closed  chan struct{}
	address net.Addr
}

func (l *oneConn) Accept() (net.Conn, error) {
	select {
	case nc := <-l.conn:
		return nc, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (*oneConn) Close() error     { return nil }
func (l *oneConn) Addr() net.Addr { return l.address }

// replayed is a connection of which something has been read ahead.
type replayed struct {
	net.Conn
	r     io.Reader
	ended func()
}

func (c *replayed) Read(p []byte) (int, error) { return c.r.Read(p) }

func (c *replayed) Close() error {
	defer c.ended()
	return c.Conn.Close()
}

// serveGRPC answers one call.
func (s *Server) serveGRPC(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost || !strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc") {
		http.Error(w, "this is a gRPC port", http.StatusUnsupportedMediaType)
		return
	}
	w.Header().Set("Content-Type", "application/grpc")
	body, err := io.ReadAll(io.LimitReader(r.Body, int64(s.config.MaxBody)))
	if err != nil {
		s.counters.cancelled.Add(1)
		return
	}
	if s.config.Observe != nil {
		var header strings.Builder
		_ = r.Header.Write(&header) // a builder takes everything
		s.config.Observe(Request{Method: r.Method, URI: r.URL.RequestURI(), Header: header.String(), Body: body})
	}
	message, err := unframe(body)
	if err != nil {
		s.grpcError(w, grpcInternal, err.Error())
		return
	}
	switch strings.TrimPrefix(r.URL.Path, service) {
	case "ServerLive", "ServerReady", "ModelReady":
		grpcAnswer(w, protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), 1))
	case "ServerMetadata":
		out := protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), "standin")
		grpcAnswer(w, protowire.AppendString(protowire.AppendTag(out, 2, protowire.BytesType), "1"))
	case "ModelInfer":
		s.modelInfer(w, r, message)
	default:
		s.grpcError(w, grpcUnimplemented, "no such method: "+r.URL.Path)
	}
}

// unframe takes the one message out of a unary call's body.
func unframe(body []byte) ([]byte, error) {
	switch {
	case len(body) < 5, uint64(len(body)-5) != uint64(binary.BigEndian.Uint32(body[1:])): // #nosec G115 -- not negative
		return nil, errors.New("the body is not one message")
	case body[0] != 0:
		return nil, errors.New("the message is compressed")
	}
	return body[5:], nil
}

func grpcAnswer(w http.ResponseWriter, message []byte) {
	frame := binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message))) // #nosec G115 -- far below 4 GiB
	w.Header().Set("Trailer", "Grpc-Status")
	_, _ = w.Write(append(frame, message...)) // a caller that has gone is not told
	w.Header().Set("Grpc-Status", strconv.Itoa(grpcOK))
}

// grpcError answers with a status and nothing else, in the head (Trailers-Only,
// https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md).
func (s *Server) grpcError(w http.ResponseWriter, code int, message string) {
	s.counters.failed.Add(1)
	w.Header().Set("Grpc-Status", strconv.Itoa(code))
	w.Header().Set("Grpc-Message", strings.ReplaceAll(url.QueryEscape(message), "+", "%20"))
}

// modelInfer is [conn.do] for a call of gRPC.
func (s *Server) modelInfer(w http.ResponseWriter, r *http.Request, message []byte) {
	switch r.Header.Get("Authorization") {
	case Expired:
		s.grpcError(w, grpcUnauthenticated, "the token has expired")
		return
	case Forbidden:
		s.grpcError(w, grpcPermissionDenied, "not yours")
		return
	}
	call, err := parseModelInfer(message)
	if err != nil {
		s.grpcError(w, grpcInvalidArgument, err.Error())
		return
	}
	n := call.items
	odd := oddity(call.model)
	f := odd.refuses(n)
	if s.config.MaxItems > 0 && n > s.config.MaxItems {
		f = tooMany(n, s.config.MaxItems)
	}
	if f == nil && call.hangs {
		s.counters.hung.Add(1)
		<-r.Context().Done()
		s.counters.hung.Add(-1)
		s.counters.cancelled.Add(1)
		return
	}
	if f == nil {
		if s.accelerator.run(r.Context(), n) != nil {
			s.counters.cancelled.Add(1)
			return
		}
		s.counters.call(n)
		f = call.fault
	}
	if f != nil {
		if f.status == 429 || f.status == 503 {
			w.Header().Set("Retry-After", "7")
		}
		s.grpcError(w, grpcCode(f.status), f.message)
		return
	}
	if odd == Miscount && n > 1 {
		n--
	}
	w.Header().Set("X-Standin-Model", headerText(call.model))
	grpcAnswer(w, call.appendMessage(nil, n))
}
