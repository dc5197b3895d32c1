package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/fridaymesh/friday/proxy"
)

// maxCheckAnswer bounds what is read of a health check's answer.
const maxCheckAnswer = 64 << 10

// ask makes one check, within ctx.
func (k *checker) ask(ctx context.Context) (verdict, error) {
	switch {
	case k.cfg.HTTP != nil:
		return k.askHTTP(ctx, k.cfg.HTTP)
	case k.cfg.GRPC != nil:
		return k.askGRPC(ctx, k.cfg.GRPC)
	default:
		return k.askTCP(ctx, k.cfg.TCP)
	}
}

// connections are the check's own, of the cluster's kind, so that a check neither
// waits for a request nor takes a place from one.
func (k *checker) connections(http2 bool) EndpointHandler {
	if k.via == nil {
		cfg := *k.base
		cfg.Limits = [2]Limits{}
		cfg.ConnectTimeout = k.cfg.Timeout
		cfg.IdleTimeout = 2*k.cfg.Interval + time.Minute
		cfg.Protocol = proxy.UpstreamHTTP1
		if http2 {
			cfg.Protocol = proxy.UpstreamHTTP2
		}
		k.via = k.c.dial(&cfg, &k.target)
	}
	return k.via
}

// called is the Host header: what the check says, the endpoint's name, the cluster's.
func (k *checker) called(host string) string {
	switch {
	case k.target.Check != nil && k.target.Check.Hostname != "":
		return k.target.Check.Hostname
	case host != "":
		return host
	case k.target.Hostname != "":
		return k.target.Hostname
	}
	return k.c.name
}

func newCheckHead(method, host, path string) *fasthttp.RequestHeader {
	h := new(fasthttp.RequestHeader)
	h.DisableNormalizing()
	h.SetNoDefaultContentType(true)
	h.SetMethod(method)
	h.SetRequestURI(path)
	h.SetHost(host)
	h.SetUserAgent("Friday/HC")
	return h
}

// send makes the round trip and reads the answer, which must be closed.
func (k *checker) send(ctx context.Context, req *proxy.Request, http2 bool) (*proxy.Response, []byte, error) {
	resp, err := k.connections(http2).Handle(ctx, req)
	if err != nil {
		return nil, nil, err
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxCheckAnswer))
	if err != nil {
		return nil, nil, errors.Join(err, resp.Close())
	}
	return resp, text, nil
}

func (k *checker) askHTTP(ctx context.Context, cfg *HTTPCheck) (verdict, error) {
	method := cfg.Method
	if method == "" {
		method = fasthttp.MethodGet
	}
	h := newCheckHead(method, k.called(cfg.Host), cfg.Path)
	for _, f := range cfg.Set {
		h.Set(f[0], f[1])
	}
	for _, f := range cfg.Add {
		h.Add(f[0], f[1])
	}
	for _, name := range cfg.Remove {
		h.Del(name)
	}
	req := &proxy.Request{Header: h, Body: proxy.NoBody, Protocol: "http1", Start: time.Now()}
	if len(cfg.Send) > 0 {
		req.Body = proxy.NewBytesBody(cfg.Send)
	}
	resp, text, err := k.send(ctx, req, cfg.HTTP2)
	if err != nil {
		return fails, err
	}
	defer resp.Close() //nolint:errcheck // it has been read
	status := resp.Header.StatusCode()
	in := func(r StatusRange) bool { return status >= r.Start && status < r.End }
	good := slices.ContainsFunc(cfg.Expected, in) || len(cfg.Expected) == 0 && status == fasthttp.StatusOK
	switch {
	case has(resp, immediateFail):
		k.m.mark(excludedImmediate, excludedImmediate)
		return failsNow, errors.New("the answer asks for it")
	case !good && slices.ContainsFunc(cfg.Retriable, in):
		return fails, fmt.Errorf("status %d", status)
	case !good:
		return failsNow, fmt.Errorf("status %d", status)
	case !follow(text, cfg.Receive):
		return failsNow, errors.New("the answer is not what was expected")
	case has(resp, degradedBy):
		return passesDegraded, nil
	}
	return passes, nil
}

// follow says whether the parts stand in text, one after the other.
func follow(text []byte, parts [][]byte) bool {
	for _, p := range parts {
		i := bytes.Index(text, p)
		if i < 0 {
			return false
		}
		text = text[i+len(p):]
	}
	return true
}

// connect connects, over TLS where the endpoint has it.
func (k *checker) connect(ctx context.Context) (net.Conn, error) {
	if h, ok := k.connections(false).(Connector); ok {
		return h.Connect(ctx)
	}
	d := net.Dialer{}
	if source := k.base.Source; source.IsValid() {
		d.LocalAddr = net.TCPAddrFromAddrPort(source)
	}
	return d.DialContext(ctx, "tcp", k.target.Address)
}

// askTCP connects, sends and waits for what must come.
func (k *checker) askTCP(ctx context.Context, cfg *TCPCheck) (verdict, error) {
	conn, err := k.connect(ctx)
	if err != nil {
		return fails, err
	}
	defer conn.Close()                                          //nolint:errcheck // nothing is expected of it any more
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() }) // so that a read ends
	defer stop()
	if len(cfg.Send) > 0 {
		if _, err := conn.Write(cfg.Send); err != nil {
			return fails, err
		}
	}
	if len(cfg.Receive) == 0 {
		return passes, nil
	}
	var got []byte
	buf := make([]byte, 4<<10)
	for !follow(got, cfg.Receive) {
		if len(got) > maxCheckAnswer {
			return fails, errors.New("the answer is not what was expected")
		}
		n, err := conn.Read(buf)
		got = append(got, buf[:n]...)
		if err != nil && !follow(got, cfg.Receive) {
			return fails, fmt.Errorf("after %d bytes: %w", len(got), err)
		}
	}
	return passes, nil
}
