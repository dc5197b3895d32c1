package proxytest

import (
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// Leaks fails t where goroutines or file descriptors that were not there when it
// was called are there after t's cleanups. Call it first in the test, and not in
// one that runs beside others.
func Leaks(t testing.TB) {
	t.Helper()
	// The first socket of a process brings descriptors of the runtime's with it.
	if l, err := net.Listen("tcp", "127.0.0.1:0"); err == nil { // closed at once
		_ = l.Close()
	}
	before := descriptors()
	goroutines := goleak.IgnoreCurrent()
	t.Cleanup(func() {
		if err := goleak.Find(goroutines); err != nil {
			t.Errorf("goroutines left behind: %v", err)
		}
		if more := newDescriptors(before); len(more) > 0 {
			t.Errorf("descriptors left behind: %s", strings.Join(more, ", "))
		}
	})
}

// descriptors returns what this process has open, by what each is: sockets have
// an inode, so that one closed and one opened are not taken for the same. Empty
// where the system has no /proc.
func descriptors() []string {
	const dir = "/proc/self/fd/"
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	var open []string
	for _, e := range entries {
		// The directory's own descriptor is closed by now.
		if what, err := os.Readlink(dir + e.Name()); err == nil {
			open = append(open, what)
		}
	}
	return open
}

// newDescriptors waits a little for descriptors to go, for the runtime closes a
// socket when the last goroutine has let go of it.
func newDescriptors(before []string) []string {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	var more []string
	for range 400 {
		counts := map[string]int{}
		for _, what := range before {
			counts[what]++
		}
		more = slices.DeleteFunc(descriptors(), func(what string) bool {
			counts[what]--
			return counts[what] >= 0
		})
		if len(more) == 0 {
			return nil
		}
		<-tick.C
	}
	return more
}
