//go:build !linux

package takeover

import "net"

// trust relies on the socket's mode: the system does not tell who is there.
func trust(*net.UnixConn) (pid int, err error) { return 0, nil }
