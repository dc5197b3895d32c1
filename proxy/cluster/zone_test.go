package cluster_test

import (
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/dns/dnsmessage"
)

// zone is a DNS server.
type zone struct {
	addr  netip.AddrPort
	asked atomic.Int64

	mu      sync.Mutex
	names   map[string][]netip.Addr
	failing bool
	quiet   chan struct{} // not nil while it does not answer
}

func newZone(t *testing.T) *zone {
	t.Helper()
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	require.NoError(t, err)
	z := &zone{addr: conn.LocalAddr().(*net.UDPAddr).AddrPort(), names: map[string][]netip.Addr{}}
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			z.hold()
			if answer := z.answer(buf[:n]); answer != nil {
				_, _ = conn.WriteToUDPAddrPort(answer, from)
			}
		}
	}()
	t.Cleanup(func() {
		// Who still asks gets an answer: a lookup cannot be called back.
		require.NoError(t, conn.SetReadDeadline(time.Now().Add(300*time.Millisecond)))
		<-done
		require.NoError(t, conn.Close())
	})
	return z
}

func (z *zone) set(name string, addresses ...string) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.names[name] = nil
	for _, a := range addresses {
		z.names[name] = append(z.names[name], netip.MustParseAddr(a))
	}
}

func (z *zone) fail(failing bool) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.failing = failing
}

// mute has it answer only once the function that it returns is called.
func (z *zone) mute() (speak func()) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.quiet = make(chan struct{})
	return sync.OnceFunc(func() { close(z.quiet) })
}

// hold waits while it is mute.
func (z *zone) hold() {
	z.mu.Lock()
	quiet := z.quiet
	z.mu.Unlock()
	if quiet != nil {
		<-quiet
	}
}

func (z *zone) answer(query []byte) []byte {
	z.asked.Add(1)
	var m dnsmessage.Message
	if m.Unpack(query) != nil || len(m.Questions) != 1 {
		return nil
	}
	z.mu.Lock()
	defer z.mu.Unlock()
	q := m.Questions[0]
	m.Header.Response, m.Header.Authoritative = true, true
	m.Additionals = nil
	addresses := z.names[q.Name.String()]
	switch {
	case z.failing:
		m.Header.RCode = dnsmessage.RCodeServerFailure
	case len(addresses) == 0:
		m.Header.RCode = dnsmessage.RCodeNameError
	}
	for _, a := range addresses {
		if q.Type == dnsmessage.TypeA && a.Is4() && !z.failing {
			m.Answers = append(m.Answers, dnsmessage.Resource{
				Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class, TTL: 1}, Body: &dnsmessage.AResource{A: a.As4()},
			})
		}
	}
	packed, err := m.Pack()
	if err != nil {
		return nil
	}
	return packed
}
