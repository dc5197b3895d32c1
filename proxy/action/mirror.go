package action

import (
	"context"
	"math/rand/v2"
	"runtime/debug"
	"strings"
	"time"

	"github.com/valyala/fasthttp"
	"go.uber.org/zap"

	"github.com/fridaymesh/friday/proxy"
	"github.com/fridaymesh/friday/proxy/format"
)

// Mirror sends copies of requests to another cluster.
type Mirror struct {
	// Cluster is its name, ClusterHeader a header that has it; one of them is set.
	Cluster, ClusterHeader string
	// PerMillion of the requests are mirrored.
	PerMillion uint32
	// KeepHost leaves the host as it is; else "-shadow" is added to it.
	KeepHost bool
	// Host takes the host's place.
	Host string
	// Mutations change the copy's headers, one after the other.
	Mutations []*format.Mutation
	// Untraced has no span be recorded of the copies.
	Untraced bool
	// Timeout bounds the copy's round trip; 0: 15 s.
	Timeout time.Duration
	Log     *zap.Logger
}

type mirror struct {
	Mirror

	clusters func(name string) (proxy.Handler, bool)
}

func newMirror(m Mirror, clusters func(name string) (proxy.Handler, bool)) mirror {
	if m.Timeout <= 0 {
		m.Timeout = 15 * time.Second
	}
	if m.Log == nil {
		m.Log = zap.NewNop()
	}
	return mirror{m, clusters}
}

// mirror sends req's copies, when its body has been read and kept: a body that was too
// long for that, or that nobody read to its end, is not mirrored.
func (f *forward) mirror(req *proxy.Request, body *replay) {
	if body != nil {
		defer body.close()
	}
	for i := range f.mirrors {
		m := &f.mirrors[i]
		if m.PerMillion < 1_000_000 && rand.Uint32N(1_000_000) >= m.PerMillion { // #nosec G404 -- a share of traffic needs no secrecy
			continue
		}
		content := proxy.NoBody
		switch b := req.Body.(type) {
		case *proxy.BytesBody:
			content = proxy.NewBytesBody(append([]byte(nil), b.Bytes()...))
		default:
			if body == nil {
				break
			}
			whole, ok := body.whole()
			if !ok {
				m.Log.Debug("not mirrored: the request's body was not kept whole")
				continue
			}
			content = proxy.NewBytesBody(append([]byte(nil), whole...))
		}
		m.send(req, content)
	}
}

// send sends one copy, in a goroutine of its own.
func (m *mirror) send(req *proxy.Request, content proxy.Body) {
	name := m.Cluster
	if m.ClusterHeader != "" {
		name, _ = format.RequestField(req, m.ClusterHeader)
	}
	cluster, ok := m.clusters(name)
	if !ok {
		return
	}
	h := new(fasthttp.RequestHeader)
	req.Header.CopyTo(h)
	h.SetNoDefaultContentType(true)
	switch {
	case m.Host != "":
		h.SetHost(m.Host)
	case !m.KeepHost:
		h.SetHost(shadow(string(h.Host())))
	}
	for _, one := range m.Mutations {
		one.Apply(h, &format.Facts{Request: req})
	}
	if n := content.Len(); n > 0 && h.ContentLength() < 0 { // it was chunked and is whole now
		h.SetContentLength(int(n))
	}
	copied := &proxy.Request{
		Header: h, Body: content, Remote: req.Remote, Local: req.Local, Protocol: req.Protocol,
		Start: req.Start, Route: req.Route, VirtualHost: req.VirtualHost, Cluster: name,
		Hash: req.Hash, Hashed: req.Hashed, OriginalDestination: req.OriginalDestination, Span: req.Span,
	}
	if m.Untraced {
		copied.Span = req.Span.Dropped()
	}
	go m.roundTrip(cluster, copied)
}

func (m *mirror) roundTrip(cluster proxy.Handler, req *proxy.Request) {
	defer func() {
		if v := recover(); v != nil {
			m.Log.Error("mirroring panicked", zap.Error(proxy.PanicError(v, debug.Stack())))
		}
	}()
	ctx, cancel := context.WithTimeoutCause(context.Background(), m.Timeout, proxy.ErrTimeout)
	defer cancel()
	resp, err := cluster.Handle(ctx, req)
	if err != nil {
		m.Log.Debug("mirrored request failed", zap.Error(err))
		return
	}
	p := make([]byte, 4<<10)
	for err == nil {
		_, err = resp.Body.Read(p)
	}
	_ = resp.Close() // nobody reads it
}

// shadow adds "-shadow" to the host, before its port.
func shadow(host string) string {
	end := strings.LastIndexByte(host, ':')
	if end < 0 || strings.LastIndexByte(host, ']') > end {
		return host + "-shadow"
	}
	return host[:end] + "-shadow" + host[end:]
}
