package listener

import (
	"net"
	"os"
	"os/exec"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// TestOriginal: the kernel says where a redirected connection was meant to go. It needs
// root and iptables, and a network of its own, which it makes.
func TestOriginal(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	for _, program := range []string{"ip", "iptables", "ip6tables"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("needs %s: %v", program, err)
		}
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlocked: the thread ends with its network
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			t.Logf("skipped: no network of its own: %v", err)
			return
		}
		for _, command := range [][]string{
			{"ip", "link", "set", "lo", "up"},
			{"ip", "address", "add", "10.7.7.7/32", "dev", "lo"},
			{"ip", "-6", "address", "add", "fd07::7/128", "dev", "lo"},
			{"iptables", "-t", "nat", "-A", "OUTPUT", "-p", "tcp", "--dport", "80", "-j", "REDIRECT", "--to-port", "15001"},
			{"ip6tables", "-t", "nat", "-A", "OUTPUT", "-p", "tcp", "--dport", "80", "-j", "REDIRECT", "--to-port", "15001"},
		} {
			if out, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err != nil {
				t.Errorf("%v: %v: %s", command, err, out)
				return
			}
		}
		for _, tt := range []struct{ listen, dial, want string }{
			{"0.0.0.0:15001", "10.7.7.7:80", "10.7.7.7:80"},
			{"0.0.0.0:15001", "10.7.7.7:15001", ""},
			{"[::]:15001", "[fd07::7]:80", "[fd07::7]:80"},
			{"[::]:15001", "10.7.7.7:80", "10.7.7.7:80"},
			{"[::]:15001", "[fd07::7]:15001", ""},
		} {
			got, err := meantFor(tt.listen, tt.dial)
			if err != nil {
				t.Errorf("%+v: %v", tt, err)
			} else if got != tt.want {
				t.Errorf("%+v: got %q", tt, got)
			}
		}
	}()
	<-done
	require.False(t, t.Failed())
}

// meantFor is where a connection to address was meant to go, as who listens sees it.
func meantFor(listen, address string) (string, error) {
	ln, err := net.Listen("tcp", listen)
	if err != nil {
		return "", err
	}
	defer ln.Close()
	caller, err := net.Dial("tcp", address)
	if err != nil {
		return "", err
	}
	defer caller.Close()
	nc, err := ln.Accept()
	if err != nil {
		return "", err
	}
	defer nc.Close()
	if to := original(nc); to != nil {
		return to.String(), nil
	}
	return "", nil
}
