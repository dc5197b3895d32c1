package edge

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"net"
	"net/http"
	"net/netip"
	"strings"

	"github.com/fridaymesh/friday/proxy"
)

// Config is what to do. The zero Config is Envoy's default, but that nothing is added.
type Config struct {
	Paths Paths
	Hosts Hosts
	// Origin is where a request comes from.
	Origin Origin
	// RequestID makes an x-request-id where there is none; KeepRequestID keeps the one
	// that came from outside, and TellRequestID tells it to the caller.
	RequestID, KeepRequestID, TellRequestID bool
	// ClientCert is what becomes of x-forwarded-client-cert.
	ClientCert ClientCert
	// CertDetails are what is told of a client's certificate.
	CertDetails CertDetails
	// Server is the server's name for the header of that name, by Naming.
	Server string
	Naming Naming
	// Via is added to the header of that name, both ways.
	Via string
	// Local, where not nil, changes the listener's own answers.
	Local *Local
}

// Naming is how the header server gets its value.
type Naming int

// The ways, by Envoy's names.
const (
	Overwrite Naming = iota
	AppendIfAbsent
	PassThrough
)

// Origin is whose address a request's Remote is.
type Origin struct {
	// Connection has the connection's peer be the caller, whose address is added to
	// x-forwarded-for; else x-forwarded-for tells who the caller is, where it is there.
	Connection bool
	// Hops are how many addresses at the end of x-forwarded-for are of trusted proxies.
	Hops int
	// KeepForwarded does not add to x-forwarded-for.
	KeepForwarded bool
}

// The fields that are looked for in every head.
const (
	forwardedFor  = "x-forwarded-for"
	forwardedCert = "x-forwarded-client-cert"
	requestID     = "x-request-id"
	via           = "via"
)

// Edge is a Config, compiled. A nil Edge does nothing.
type Edge struct {
	Config
}

// New compiles c.
func New(c Config) *Edge { return &Edge{c} }

// Arrive prepares a request. What it returns, where either is not nil, is the answer: the
// request is not to be handled.
func (e *Edge) Arrive(req *proxy.Request) (*proxy.Response, error) {
	if e == nil {
		return nil, nil
	}
	if redirect, err := e.Paths.apply(req.Header); err != nil || redirect != "" {
		return moved(redirect), err
	}
	e.Hosts.apply(req)
	there := look(req.Header.RawHeaders())
	e.origin(req, there.forwardedFor)
	e.clientCert(req, there.forwardedCert)
	if e.RequestID && (!there.requestID || e.Origin.Connection && !e.KeepRequestID && !internal(req)) {
		proxy.SetField(req.Header, requestID, newID())
	}
	if e.Via != "" {
		old, _ := proxy.FieldValue(req.Header, via)
		proxy.SetField(req.Header, via, joined(old, e.Via, ", "))
	}
	return nil, nil
}

func moved(to string) *proxy.Response {
	if to == "" {
		return nil
	}
	r := proxy.NewResponse()
	r.Header.SetStatusCode(http.StatusTemporaryRedirect)
	proxy.AddField(&r.Header, "location", to)
	return r
}

// Leave finishes an answer's head.
func (e *Edge) Leave(req *proxy.Request, resp *proxy.Response) {
	if e == nil {
		return
	}
	if e.Server != "" && e.Naming != PassThrough {
		if e.Naming == Overwrite || len(resp.Header.Server()) == 0 {
			proxy.SetField(&resp.Header, "server", e.Server)
		}
	}
	if e.TellRequestID {
		if id, ok := proxy.FieldValue(req.Header, requestID); ok {
			proxy.SetField(&resp.Header, requestID, id)
		}
	}
	if e.Via != "" {
		old, _ := proxy.FieldValue(&resp.Header, via)
		proxy.SetField(&resp.Header, via, joined(old, e.Via, ", "))
	}
}

func joined(old, more, by string) string {
	if old == "" {
		return more
	}
	return old + by + more
}

// fields are which of the fields that matter a head has.
type fields struct{ forwardedFor, forwardedCert, requestID bool }

// look goes over the names once.
func look(raw []byte) (f fields) {
	for len(raw) > 0 {
		line := raw
		if i := bytes.IndexByte(raw, '\n'); i >= 0 {
			line, raw = raw[:i], raw[i+1:]
		} else {
			raw = nil
		}
		if len(line) < 2 || line[0]|0x20 != 'x' || line[1] != '-' {
			continue
		}
		name, _, _ := bytes.Cut(line, []byte{':'})
		switch len(name) {
		case len(forwardedFor):
			f.forwardedFor = f.forwardedFor || bytes.EqualFold(name, []byte(forwardedFor))
		case len(forwardedCert):
			f.forwardedCert = f.forwardedCert || bytes.EqualFold(name, []byte(forwardedCert))
		case len(requestID):
			f.requestID = f.requestID || bytes.EqualFold(name, []byte(requestID))
		}
	}
	return f
}

// origin finds the caller's address, and adds the peer's to x-forwarded-for.
func (e *Edge) origin(req *proxy.Request, there bool) {
	req.Peer = req.Remote
	skip := e.Origin.Hops
	if e.Origin.Connection {
		skip--
	}
	forwarded := ""
	if there {
		forwarded, _ = proxy.FieldValue(req.Header, forwardedFor)
	}
	if skip >= 0 && forwarded != "" {
		if addr, ok := last(forwarded, skip); ok {
			req.Remote = &net.TCPAddr{IP: net.IP(addr.AsSlice())}
		}
	}
	if e.Origin.Connection && !e.Origin.KeepForwarded && req.Peer != nil {
		if host, _, err := net.SplitHostPort(req.Peer.String()); err == nil {
			proxy.SetField(req.Header, forwardedFor, joined(forwarded, host, ","))
		}
	}
}

// last is an address from the end of a list.
func last(list string, skip int) (netip.Addr, bool) {
	for ; skip > 0; skip-- {
		i := strings.LastIndexByte(list, ',')
		if i < 0 {
			return netip.Addr{}, false
		}
		list = list[:i]
	}
	addr, err := netip.ParseAddr(strings.TrimSpace(list[strings.LastIndexByte(list, ',')+1:]))
	return addr.Unmap(), err == nil
}

// internal says whether the caller is of one's own network.
func internal(req *proxy.Request) bool {
	if req.Remote == nil {
		return true
	}
	ap, err := netip.ParseAddrPort(req.Remote.String())
	return err == nil && (ap.Addr().Unmap().IsPrivate() || ap.Addr().IsLoopback())
}

// newID is a random UUID (RFC 9562 section 5.4).
func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	s := hex.EncodeToString(b[:])
	return s[:8] + "-" + s[8:12] + "-" + s[12:16] + "-" + s[16:20] + "-" + s[20:]
}
