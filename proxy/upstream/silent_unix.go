//go:build unix

package upstream

import (
	"errors"
	"syscall"

	"golang.org/x/sys/unix"
)

// silent asks the kernel whether the peer has neither closed nor sent anything
// on an idle connection. Either makes it unfit: after a FIN the next request
// would be lost, and bytes nobody asked for belong to no request.
func silent(raw syscall.RawConn) bool {
	var (
		b   [1]byte
		err error
	)
	cerr := raw.Control(func(fd uintptr) {
		_, _, err = unix.Recvfrom(int(fd), b[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
	})
	return cerr == nil && (errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR))
}
