package upstream

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// acked is how many bytes the peer's kernel has acknowledged (tcp_info's
// tcpi_bytes_acked, RFC 4898 tcpEStatsAppHCThruOctetsAcked).
//
// It settles the one race of connection reuse that looking first cannot: the
// server closes an idle connection while a request is on its way to it. The
// request then meets a socket that nobody holds, is answered by a reset and
// never acknowledged; one that reached the server is acknowledged before
// anything can act on it. So nothing acknowledged means nothing acted on.
func acked(raw syscall.RawConn) (uint64, bool) {
	var (
		info *unix.TCPInfo
		err  error
	)
	cerr := raw.Control(func(fd uintptr) {
		info, err = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
	})
	if cerr != nil || err != nil {
		return 0, false
	}
	return info.Bytes_acked, true
}
