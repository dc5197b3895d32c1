//go:build !linux

package upstream

import "syscall"

// acked is not known here, so no request on a reused connection is ever said to
// be unsent.
func acked(syscall.RawConn) (uint64, bool) { return 0, false }

// peerClosed is nothing that poll would tell here by itself.
const peerClosed = 0
