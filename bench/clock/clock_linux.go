package clock

import (
	"time"

	"golang.org/x/sys/unix"
)

// Now is CLOCK_MONOTONIC in nanoseconds: it never jumps, and it is the same in
// every process of the machine, so stamps of one may be subtracted in another.
func Now() int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return time.Now().UnixNano()
	}
	return ts.Nano()
}

// precise blocks the thread in the kernel's high resolution timer. Spinning would
// be as exact and take the processor from what is being measured.
func precise(d time.Duration) {
	ts := unix.NsecToTimespec(int64(d))
	// An interrupted sleep (EINTR) returns what is left of it in ts.
	for unix.Nanosleep(&ts, &ts) != nil {
		if ts.Sec <= 0 && ts.Nsec <= 0 {
			return
		}
	}
}
