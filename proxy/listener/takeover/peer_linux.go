package takeover

import (
	"errors"
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// trust says whether the process at the other end is of this one's user, or root.
func trust(c *net.UnixConn) (pid int, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, err
	}
	var (
		cred *unix.Ucred
		cerr error
	)
	err = raw.Control(func(fd uintptr) {
		cred, cerr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) // #nosec G115 -- a descriptor is small
	})
	if err = errors.Join(err, cerr); err != nil {
		return 0, fmt.Errorf("who is there: %w", err)
	}
	if uid := int(cred.Uid); uid != 0 && uid != os.Geteuid() {
		return 0, fmt.Errorf("process %d is of user %d, not %d", cred.Pid, uid, os.Geteuid())
	}
	return int(cred.Pid), nil
}
