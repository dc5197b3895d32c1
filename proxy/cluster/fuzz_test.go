package cluster

import (
	"testing"

	"github.com/fridaymesh/friday/proxy"
)

func FuzzIsServing(f *testing.F) {
	for _, frame := range []string{"", "\x00\x00\x00\x00\x02\x08\x01", "\x00\x00\x00\x00\x04\x12\x00\x08\x02", "\x00\x00\x00\x00\x01\xff", "\x01\x00\x00\x00\x00"} {
		f.Add([]byte(frame))
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		if serving, err := isServing(frame); serving && (err != nil || len(frame) < 7) {
			t.Errorf("%q: serving", frame)
		}
	})
}

// A destination that is taken can be dialled.
func FuzzDestination(f *testing.F) {
	for _, address := range []string{"10.0.0.1:80", "[::1]:80", "[::ffff:1.2.3.4]:8", "x:1", ":1", "1.2.3.4:0", "[fe80::1%eth0]:1"} {
		f.Add(address)
	}
	f.Fuzz(func(t *testing.T, address string) {
		o := &Original{}
		got := o.destination(&proxy.Request{OriginalDestination: address})
		if got == "" {
			return
		}
		if again := o.destination(&proxy.Request{OriginalDestination: got}); again != got {
			t.Errorf("%q: %q, then %q", address, got, again)
		}
	})
}
