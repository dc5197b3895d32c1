package upstream

import (
	"context"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A connection is known from before its dial returns, so that whoever accepts it first
// knows it too, and until it is closed.
func TestOwn(t *testing.T) {
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	to := netip.MustParseAddrPort(ln.Addr().String())
	own := NewOwn()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for range 100 {
		seen := make(chan bool, 1)
		go func() {
			nc, err := ln.Accept()
			if err != nil {
				seen <- false
				return
			}
			defer nc.Close()
			seen <- own.Has(ctx, netip.MustParseAddrPort(nc.RemoteAddr().String()), to)
			_, _ = io.Copy(io.Discard, nc)
		}()
		nc, err := own.dial(ctx, &net.Dialer{}, to.String())
		require.NoError(t, err)
		require.True(t, <-seen)
		from := netip.MustParseAddrPort(nc.LocalAddr().String())
		require.True(t, own.Has(ctx, from, to))
		require.False(t, own.Has(ctx, from, netip.MustParseAddrPort("127.0.0.1:1")), "to somewhere else")
		require.NoError(t, nc.Close())
		require.False(t, own.Has(ctx, from, to))
		_ = nc.Close()
	}
	require.Empty(t, own.open)
	require.Empty(t, own.dialing)

	stranger, err := (&net.Dialer{}).DialContext(ctx, "tcp", to.String())
	require.NoError(t, err)
	defer stranger.Close()
	require.False(t, own.Has(ctx, netip.MustParseAddrPort(stranger.LocalAddr().String()), to))
	require.False(t, (*Own)(nil).Has(ctx, to, to))
}

// Whoever asks waits for the dials that may be the one, and not for ever.
func TestOwnWaits(t *testing.T) {
	own, to := NewOwn(), netip.MustParseAddrPort("127.0.0.1:1")
	own.dialing[to] = []chan struct{}{make(chan struct{})}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.False(t, own.Has(ctx, to, to))
}

// What writes several pieces at once still does.
func TestOwnIsATCPConnection(t *testing.T) {
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	nc, err := NewOwn().dial(t.Context(), &net.Dialer{}, ln.Addr().String())
	require.NoError(t, err)
	defer nc.Close()
	peer, err := ln.Accept()
	require.NoError(t, err)
	defer peer.Close()
	pieces := net.Buffers{[]byte("a"), []byte("b")}
	_, err = pieces.WriteTo(nc)
	require.NoError(t, err)
	require.NoError(t, nc.(interface{ CloseWrite() error }).CloseWrite())
	got, err := io.ReadAll(peer)
	require.NoError(t, err)
	require.Equal(t, "ab", string(got))
}
