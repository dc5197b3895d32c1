package listener

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"strconv"
)

// proxied is what a PROXY protocol's header says
// (https://www.haproxy.org/download/2.9/doc/proxy-protocol.txt).
type proxied struct {
	version int
	// remote and local are nil where it says that the connection is the proxy's own.
	remote, local *net.TCPAddr
}

const (
	sign1 = "PROXY "
	sign2 = "\r\n\r\n\x00\r\nQUIT\n"
	// most1 is the longest header of version 1, head2 the fixed part of version 2, and
	// most2 the longest of those that are taken.
	most1 = 107
	head2 = 16
	most2 = head2 + 4<<10
)

var errProxyHeader = errors.New("PROXY protocol: malformed header")

// readProxied looks for a header and says how long it is. No means that there is
// none; an error, that there is a bad one.
func readProxied(b []byte) (p proxied, n int, v verdict, err error) {
	begins := func(sign string) bool { k := min(len(b), len(sign)); return string(b[:k]) == sign[:k] }
	switch {
	case len(b) == 0:
		return p, 0, undecided, nil
	case begins(sign1):
		return readProxied1(b)
	case begins(sign2):
		return readProxied2(b)
	}
	return p, 0, no, nil
}

func readProxied1(b []byte) (p proxied, n int, v verdict, err error) {
	p.version = 1
	line, _, whole := bytes.Cut(b, []byte("\r\n"))
	switch n = len(line) + 2; {
	case !whole && len(b) < most1:
		return p, 0, undecided, nil
	case !whole || n > most1:
		return p, 0, yes, errProxyHeader
	}
	words := bytes.Split(line[len(sign1):], []byte{' '})
	switch kind := string(words[0]); {
	case kind == "UNKNOWN":
		return p, n, yes, nil
	case kind != "TCP4" && kind != "TCP6" || len(words) != 5:
		return p, 0, yes, errProxyHeader
	default:
		v4 := kind == "TCP4"
		p.remote = address1(words[1], words[3], v4)
		p.local = address1(words[2], words[4], v4)
	}
	if p.remote == nil || p.local == nil {
		return proxied{}, 0, yes, errProxyHeader
	}
	return p, n, yes, nil
}

func address1(host, port []byte, v4 bool) *net.TCPAddr {
	ip, err := netip.ParseAddr(string(host))
	n, perr := strconv.ParseUint(string(port), 10, 16)
	if err != nil || perr != nil || ip.Is4() != v4 || ip.Zone() != "" || len(port) > 1 && port[0] == '0' || port[0] == '+' {
		return nil
	}
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(ip, uint16(n)))
}

func readProxied2(b []byte) (p proxied, n int, v verdict, err error) {
	p.version = 2
	if len(b) < head2 {
		return p, 0, undecided, nil
	}
	command, family := b[12], b[13]
	size := int(binary.BigEndian.Uint16(b[14:]))
	switch n = head2 + size; {
	case command != 0x20 && command != 0x21 || n > most2:
		return p, 0, yes, errProxyHeader
	case len(b) < n:
		return p, 0, undecided, nil
	case command == 0x20: // LOCAL: the proxy's own, a health check
		return p, n, yes, nil
	}
	body := b[head2:n]
	var width int
	switch family {
	case 0x11: // TCP over IPv4
		width = 4
	case 0x21: // TCP over IPv6
		width = 16
	case 0x00: // unspecified: the addresses are to be left aside
		return p, n, yes, nil
	default:
		return p, 0, yes, errProxyHeader
	}
	if len(body) < 2*width+4 {
		return p, 0, yes, errProxyHeader
	}
	from, _ := netip.AddrFromSlice(body[:width])
	to, _ := netip.AddrFromSlice(body[width : 2*width])
	p.remote = net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, binary.BigEndian.Uint16(body[2*width:])))
	p.local = net.TCPAddrFromAddrPort(netip.AddrPortFrom(to, binary.BigEndian.Uint16(body[2*width+2:])))
	return p, n, yes, nil
}
