package bootstrap

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
)

// DefaultListen is where a sidecar started by flags listens.
const DefaultListen = "0.0.0.0:19080"

// Flags are a sidecar's settings where there is no bootstrap file: either an
// upstream or a control plane.
type Flags struct {
	// Upstream is the model server, or several with commas between them: host:port, http://host[:port] or
	// https://host[:port]. A name is resolved once, here. With https the server must
	// have a certificate for host that the system trusts, HTTP/2 is spoken where it
	// likes, and it is called by its own name, where it has one.
	Upstream string
	// Listen is host:port, the host an IP address or empty, for each server. Default
	// [DefaultListen]. Only beside Upstream.
	Listen string
	// Timeout is the longest time from a request's head to the end of its
	// response; 0: none. Only beside Upstream.
	Timeout time.Duration
	// Hold is how long, about, a request waits for a server that accepts no connection,
	// as one that is just starting; 0: it is answered 503 at once. Only beside Upstream
	// or ModeRedirect.
	Hold time.Duration
	// Cert and Key are files (PEM) of the certificate, with what leads to its root, and its
	// private key, with which callers are spoken to in TLS, HTTP/2 where they like;
	// empty: in plain text. ClientCA is a file of the roots to which a certificate of theirs must
	// lead; empty: they are asked for none. Files are read again when they change. Only
	// beside Upstream, and not with ModeRedirect.
	Cert, Key, ClientCA string
	// Mode is how connections come here. With ModeRedirect each goes where it was meant
	// to go, Upstream may be empty, and Listen has the port that friday redirect names;
	// default all addresses.
	Mode Mode
	// XDS is the control plane: host:port.
	XDS string
	// XDSCA is a file of the roots that the control plane's certificate must lead to;
	// empty: it is spoken to in plain text. XDSToken is a file with a token by which
	// the sidecar proves who it is, until it has a certificate of the control plane's;
	// empty: none. Both beside XDS, and the token beside the roots.
	XDSCA, XDSToken string
	// NodeID is what the control plane knows the sidecar by. Default: the host's
	// name. NodeCluster is what it is one of.
	NodeID, NodeCluster string
	// Admin is where the admin door listens, host:port; empty: not set.
	Admin string

	nth int // of several upstreams
}

// Bootstrap makes the resources that f means. Its errors name the flag.
func (f Flags) Bootstrap(ctx context.Context) (*bootstrapv3.Bootstrap, error) {
	b := &bootstrapv3.Bootstrap{Node: &corev3.Node{Id: f.NodeID, Cluster: f.NodeCluster}}
	if f.NodeID == "" {
		host, err := os.Hostname()
		if err != nil {
			return nil, fmt.Errorf("--node-id: not given, and the host's name cannot be read: %w", err)
		}
		b.Node.Id = host
	}
	if f.Admin != "" {
		address, err := listenAddress(f.Admin)
		if err != nil {
			return nil, fmt.Errorf("--admin %q: %w", f.Admin, err)
		}
		b.Admin = &bootstrapv3.Admin{Address: address}
	}
	if err := f.check(); err != nil {
		return nil, err
	}
	switch {
	case f.Mode == ModeRedirect:
		return b, f.redirected(b)
	case f.Upstream != "":
		return b, f.upstreams(ctx, b)
	case f.XDS != "":
		return b, f.controlPlane(b)
	}
	return nil, errors.New("one of --upstream, --xds, --config and --mode redirect is needed")
}

// MaxHold bounds Hold.
const MaxHold = 24 * time.Hour

// check refuses what does not go together.
func (f Flags) check() error {
	switch {
	case f.Mode != "" && f.Mode != ModePort && f.Mode != ModeRedirect:
		return fmt.Errorf("--mode %q: neither port nor redirect", f.Mode)
	case f.Upstream != "" && f.XDS != "":
		return errors.New("--upstream and --xds exclude each other")
	case f.Mode == ModeRedirect && f.XDS != "":
		return errors.New("--mode redirect and --xds exclude each other: the control plane says what is done with connections")
	case (f.Cert == "") != (f.Key == ""):
		return errors.New("--tls-cert and --tls-key need each other")
	case f.ClientCA != "" && f.Cert == "":
		return errors.New("--tls-client-ca goes with --tls-cert: callers show a certificate in TLS only")
	case f.Cert != "" && f.Mode == ModeRedirect:
		return errors.New("--tls-cert and --mode redirect exclude each other: what is encrypted passes as it is")
	case f.Timeout < 0:
		return fmt.Errorf("--timeout %s: must not be negative", f.Timeout)
	case f.Hold < 0 || f.Hold > MaxHold:
		return fmt.Errorf("--hold-timeout %s: must be 0 to %s", f.Hold, MaxHold)
	}
	return nil
}

// listenAddress reads host:port where host is an IP address or empty.
func listenAddress(s string) (*corev3.Address, error) {
	host, port, err := splitHostPort(s)
	if err != nil {
		return nil, err
	}
	if host == "" {
		host = anyHost()
	}
	if host == "localhost" {
		host = "127.0.0.1"
	}
	if _, err := netip.ParseAddr(host); err != nil {
		return nil, errors.New("the host is not an IP address")
	}
	return socketAddress(host, port), nil
}

func splitHostPort(s string) (host string, port uint32, err error) {
	host, text, err := net.SplitHostPort(s)
	if err != nil {
		return "", 0, errors.New("not host:port")
	}
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return "", 0, fmt.Errorf("port %q: not a number of 0 to 65535", text)
	}
	return host, uint32(n), nil
}

// server reads the upstream: host:port, or a URL of a scheme and nothing after
// the host. secure says that its scheme is https.
func server(s string) (host string, port uint32, secure bool, err error) {
	scheme, rest, isURL := strings.Cut(s, "://")
	standard := "80"
	switch scheme = strings.ToLower(scheme); {
	case !isURL:
		rest = s
	case scheme == "https":
		secure, standard = true, "443"
	case scheme != "http":
		return "", 0, false, fmt.Errorf("scheme %q: neither http nor https", scheme)
	}
	if strings.ContainsRune(rest, '@') {
		return "", 0, false, errors.New("credentials are not supported: callers send their own")
	}
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		if rest[i:] != "/" {
			return "", 0, false, fmt.Errorf("path %q: not supported: callers send their own", rest[i:])
		}
		rest = rest[:i]
	}
	if isURL && !hasPort(rest) {
		rest = net.JoinHostPort(strings.Trim(rest, "[]"), standard)
	}
	host, port, err = splitHostPort(rest)
	switch {
	case err != nil:
		return "", 0, false, err
	case host == "":
		return "", 0, false, errors.New("the host is missing")
	case port == 0:
		return "", 0, false, errors.New("port 0: not a port to connect to")
	}
	return host, port, secure, nil
}

func hasPort(s string) bool {
	_, _, err := net.SplitHostPort(s)
	return err == nil
}

// resolve finds the IP addresses of host. Of a name that has addresses of both
// families only those of IPv4 are taken: they are mostly one server, and the
// batcher should not think that there are two.
func resolve(ctx context.Context, host string) ([]string, error) {
	if ip, err := netip.ParseAddr(host); err == nil {
		return []string{ip.String()}, nil
	}
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, fmt.Errorf("cannot be resolved: %w", err)
	}
	var four, six []string
	for _, ip := range ips {
		if ip = ip.Unmap(); ip.Is4() {
			four = append(four, ip.String())
		} else {
			six = append(six, ip.String())
		}
	}
	if len(four) > 0 {
		return four, nil
	}
	return six, nil
}
