//go:build !linux

package listener

import "net"

// original knows nothing here: redirection is Linux's.
func original(net.Conn) *net.TCPAddr { return nil }
