package listener

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/proxy/config"
)

func prefixes(all ...string) (out []netip.Prefix) {
	for _, s := range all {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

// TestMatch: the order is Envoy's, and there is no way back.
func TestMatch(t *testing.T) {
	chains := map[string]config.ChainMatch{
		"port":            {Port: 8080, Transport: "tls"},
		"address":         {Prefixes: prefixes("10.0.0.0/8")},
		"longer address":  {Prefixes: prefixes("192.168.0.0/16", "10.1.0.0/16"), ServerNames: []string{"a.test"}},
		"name":            {ServerNames: []string{"a.test", "b.test"}},
		"wildcard":        {ServerNames: []string{"*.test"}},
		"longer wildcard": {ServerNames: []string{"*.a.test"}, Protocols: []string{"h2"}},
		"tls":             {Transport: "tls"},
		"tls istio":       {Transport: "tls", Protocols: []string{"istio", "istio-http/1.1"}},
		"tls h2":          {Transport: "tls", Protocols: []string{"h2"}},
		"raw":             {Transport: "raw_buffer"},
		"raw http":        {Transport: "raw_buffer", Protocols: []string{"http/1.1", "h2c"}},
		"source":          {Transport: "tls", Protocols: []string{"src"}, Sources: prefixes("10.9.0.0/16")},
		"source port":     {Transport: "tls", Protocols: []string{"src"}, Sources: prefixes("10.9.0.0/16"), SourcePorts: []uint16{7, 8}},
		"local":           {Transport: "tls", Protocols: []string{"src"}, SourceType: config.LocalSource},
		"peer":            {Transport: "tls", Protocols: []string{"src"}, Direct: prefixes("10.8.0.0/16")},
		"external":        {Transport: "tls", Protocols: []string{"ext"}, SourceType: config.ExternalSource},
	}
	l := &config.ActiveListener{Config: &config.Listener{}, Default: &config.ActiveChain{Config: &config.FilterChain{Name: "default"}}}
	for name, m := range chains {
		l.Chains = append(l.Chains, &config.ActiveChain{Config: &config.FilterChain{Name: name, Match: m}})
	}
	addr := netip.MustParseAddrPort
	for name, tt := range map[string]struct {
		seen Seen
		want string
	}{
		"nothing known":                       {Seen{Transport: "raw_buffer"}, "raw"},
		"HTTP":                                {Seen{Transport: "raw_buffer", Protocols: []string{"http/1.1"}}, "raw http"},
		"HTTP/1.0 is not listed":              {Seen{Transport: "raw_buffer", Protocols: []string{"http/1.0"}}, "raw"},
		"TLS":                                 {Seen{Transport: "tls"}, "tls"},
		"the caller likes h2 better":          {Seen{Transport: "tls", Protocols: []string{"h2", "istio"}}, "tls h2"},
		"the caller likes istio better":       {Seen{Transport: "tls", Protocols: []string{"x", "istio", "h2"}}, "tls istio"},
		"a port":                              {Seen{Local: addr("1.1.1.1:8080"), Transport: "tls"}, "port"},
		"a port hides those of any":           {Seen{Local: addr("1.1.1.1:8080"), Transport: "raw_buffer"}, "default"},
		"an address":                          {Seen{Local: addr("10.2.0.1:1"), Transport: "raw_buffer"}, "address"},
		"a longer prefix hides the shorter":   {Seen{Local: addr("10.1.0.1:1"), Transport: "raw_buffer"}, "default"},
		"a longer prefix, and its name":       {Seen{Local: addr("10.1.0.1:1"), Transport: "tls", ServerName: "a.test"}, "longer address"},
		"a name":                              {Seen{Transport: "tls", ServerName: "b.test"}, "name"},
		"a wildcard":                          {Seen{Transport: "tls", ServerName: "c.test"}, "wildcard"},
		"a wildcard of several labels":        {Seen{Transport: "tls", ServerName: "x.c.test"}, "wildcard"},
		"a longer wildcard":                   {Seen{Transport: "tls", ServerName: "x.a.test", Protocols: []string{"h2"}}, "longer wildcard"},
		"a longer wildcard hides the shorter": {Seen{Transport: "tls", ServerName: "x.a.test"}, "default"},
		"a name that nobody has":              {Seen{Transport: "tls", ServerName: "test"}, "tls"},
		"a peer":                              {Seen{Transport: "tls", Protocols: []string{"src"}, Remote: addr("10.8.1.1:1"), Peer: addr("10.8.1.1:1")}, "peer"},
		"this machine":                        {Seen{Transport: "tls", Protocols: []string{"src"}, Remote: addr("127.0.0.2:1"), Peer: addr("127.0.0.2:1")}, "local"},
		"the same address":                    {Seen{Transport: "tls", Protocols: []string{"src"}, Local: addr("9.9.9.9:2"), Remote: addr("9.9.9.9:1")}, "local"},
		"another machine":                     {Seen{Transport: "tls", Protocols: []string{"ext"}, Local: addr("9.9.9.9:2"), Remote: addr("9.9.9.8:1")}, "external"},
		"not another machine":                 {Seen{Transport: "tls", Protocols: []string{"ext"}, Remote: addr("127.0.0.2:1")}, "default"},
		"a source":                            {Seen{Transport: "tls", Protocols: []string{"src"}, Remote: addr("10.9.1.1:1")}, "source"},
		"a source's port":                     {Seen{Transport: "tls", Protocols: []string{"src"}, Remote: addr("10.9.1.1:8")}, "source port"},
		"a source that nobody has":            {Seen{Transport: "tls", Protocols: []string{"src"}, Remote: addr("9.9.1.1:8")}, "default"},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, tt.want, Match(l, &tt.seen).Config.Name)
		})
	}
	l.Default = nil
	require.Nil(t, Match(l, &Seen{Transport: "tls", ServerName: "x.a.test"}))
}
