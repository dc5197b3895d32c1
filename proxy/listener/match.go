package listener

import (
	"math"
	"net/netip"
	"slices"
	"strings"

	"github.com/fridaymesh/friday/proxy/config"
)

// Match finds the filter chain of a connection; nil where there is none.
//
// It goes as Envoy does: one field after another, at each only those chains go on
// that match it the most closely, and there is no way back. So a chain for a port
// hides all that are for any port, also where it then does not match in something
// else
// (https://www.envoyproxy.io/docs/envoy/latest/api-v3/config/listener/v3/listener_components.proto).
func Match(l *config.ActiveListener, s *Seen) *config.ActiveChain {
	left := l.Chains
	for _, closeness := range []func(*config.ChainMatch, *Seen) int{
		byPort, byAddress, byServerName, byTransport, byProtocol, byPeer, bySourceType, bySource, bySourcePort,
	} {
		if left = closest(left, s, closeness); len(left) == 0 {
			return l.Default
		}
	}
	return left[0]
}

// other is what a field matches that does not match.
const other = -1

// closest returns the chains that match one field the most closely.
func closest(chains []*config.ActiveChain, s *Seen, closeness func(*config.ChainMatch, *Seen) int) []*config.ActiveChain {
	if len(chains) == 1 { // the usual end
		if closeness(&chains[0].Config.Match, s) == other {
			return nil
		}
		return chains
	}
	best := other
	var out []*config.ActiveChain
	for _, c := range chains {
		switch n := closeness(&c.Config.Match, s); {
		case n == other || n < best:
		case n > best:
			best, out = n, append(out[:0:0], c)
		default:
			out = append(out, c)
		}
	}
	return out
}

// exactly is 0 for a field that is empty, 1 where it is met.
func exactly(empty, met bool) int {
	switch {
	case empty:
		return 0
	case met:
		return 1
	}
	return other
}

func byPort(m *config.ChainMatch, s *Seen) int { return exactly(m.Port == 0, m.Port == s.Local.Port()) }

func byAddress(m *config.ChainMatch, s *Seen) int { return longest(m.Prefixes, s.Local.Addr()) }

// longest is by the longest of the prefixes that an address has.
func longest(prefixes []netip.Prefix, a netip.Addr) int {
	if len(prefixes) == 0 {
		return 0 // as of a prefix of no length
	}
	best := other
	for _, p := range prefixes {
		if p.Contains(a) {
			best = max(best, p.Bits())
		}
	}
	return best
}

// byServerName prefers the exact name, then the longest wildcard.
func byServerName(m *config.ChainMatch, s *Seen) int {
	best := exactly(len(m.ServerNames) == 0, false)
	for _, name := range m.ServerNames {
		suffix, wild := strings.CutPrefix(name, "*")
		switch {
		case s.ServerName == "":
		case name == s.ServerName:
			best = math.MaxInt
		case wild && len(s.ServerName) > len(suffix) && strings.HasSuffix(s.ServerName, suffix):
			best = max(best, len(suffix))
		}
	}
	return best
}

func byTransport(m *config.ChainMatch, s *Seen) int {
	return exactly(m.Transport == "", m.Transport == s.Transport)
}

// byProtocol prefers what the caller does.
func byProtocol(m *config.ChainMatch, s *Seen) int {
	if len(m.Protocols) == 0 {
		return 0
	}
	for i, p := range s.Protocols {
		if slices.Contains(m.Protocols, p) {
			return len(s.Protocols) - i
		}
	}
	return other
}

func byPeer(m *config.ChainMatch, s *Seen) int { return longest(m.Direct, s.Peer.Addr()) }

func bySourceType(m *config.ChainMatch, s *Seen) int {
	local := s.Remote.Addr().IsLoopback() || s.Remote.Addr() == s.Local.Addr()
	return exactly(m.SourceType == config.AnySource, local == (m.SourceType == config.LocalSource))
}

func bySource(m *config.ChainMatch, s *Seen) int { return longest(m.Sources, s.Remote.Addr()) }

func bySourcePort(m *config.ChainMatch, s *Seen) int {
	return exactly(len(m.SourcePorts) == 0, slices.Contains(m.SourcePorts, s.Remote.Port()))
}
