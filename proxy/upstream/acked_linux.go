package upstream

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// peerClosed is poll's word for the end of the peer's side.
const peerClosed = unix.POLLRDHUP

// acked is how many bytes the peer's kernel has acknowledged (tcp_info's
// tcpi_bytes_acked, RFC 4898 tcpEStatsAppHCThruOctetsAcked).
//
// It settles the one race of connection reuse that looking first cannot: the
// server closes an idle connection while a request is on its way to it. The FIN
// that says so carries the acknowledgement of all that had reached the server by
// then. So a FIN with nothing of the request acknowledged means that the server had
// closed before: nothing was acted on.
//
// A reset proves nothing: Linux does not take its acknowledgement, so a request may
// have been read and acted on although none of it counts as acknowledged. It is told
// apart by the error: after a FIN a reset is EPIPE (tcp_reset), without one
// ECONNRESET.
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
