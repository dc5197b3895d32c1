package listener

import (
	"encoding/binary"
	"net"
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"
)

// soOriginalDst is SO_ORIGINAL_DST of netfilter, and its twin of IPv6.
const soOriginalDst = 80

// original asks netfilter where a redirected connection was meant to go; nil where it
// was not redirected.
func original(nc net.Conn) *net.TCPAddr {
	sc, ok := nc.(syscall.Conn)
	local, tcp := nc.LocalAddr().(*net.TCPAddr)
	if !ok || !tcp {
		return nil
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return nil
	}
	var (
		found netip.AddrPort
		gerr  error
	)
	err = raw.Control(func(fd uintptr) {
		if local.IP.To4() != nil {
			// A sockaddr_in, for which this has the room.
			var m *unix.IPv6Mreq
			if m, gerr = unix.GetsockoptIPv6Mreq(int(fd), unix.IPPROTO_IP, soOriginalDst); gerr == nil {
				found = netip.AddrPortFrom(netip.AddrFrom4([4]byte(m.Multiaddr[4:8])), binary.BigEndian.Uint16(m.Multiaddr[2:]))
			}
			return
		}
		// A sockaddr_in6, which is what this begins with. Its port stands in the network's
		// order.
		var m *unix.IPv6MTUInfo
		if m, gerr = unix.GetsockoptIPv6MTUInfo(int(fd), unix.IPPROTO_IPV6, soOriginalDst); gerr == nil {
			port := binary.BigEndian.Uint16(binary.NativeEndian.AppendUint16(nil, m.Addr.Port))
			found = netip.AddrPortFrom(netip.AddrFrom16(m.Addr.Addr).Unmap(), port)
		}
	})
	if err != nil || gerr != nil || !found.IsValid() || found == unmapped(local.AddrPort()) {
		return nil
	}
	return net.TCPAddrFromAddrPort(found)
}
