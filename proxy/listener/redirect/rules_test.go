package redirect

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParsePorts(t *testing.T) {
	for text, want := range map[string]string{
		"8000":                 "8000",
		"8000, 8001":           "8000-8001",
		"8080-8082,8000":       "8000, 8080-8082",
		"1-65535,7":            "1-65535",
		"8000-8010,8005-8020":  "8000-8020",
		"65535,65534,8000":     "8000, 65534-65535",
		"8000,8002,8001":       "8000-8002",
		"8000-8000,9000":       "8000, 9000",
		"8000-8001, 8003-8004": "8000-8001, 8003-8004",
	} {
		got, err := ParsePorts(text)
		require.NoError(t, err, text)
		require.Equal(t, want, join(got, ", "), text)
	}
	for text, want := range map[string]string{
		"":            `"": not a port of 1 to 65535`,
		"0":           `"0": not a port of 1 to 65535`,
		"65536":       `"65536": not a port of 1 to 65535`,
		"8000,":       `"": not a port of 1 to 65535`,
		"http":        `"http": not a port of 1 to 65535`,
		"-1":          `"": not a port of 1 to 65535`,
		"9-8":         `"9-8": ends before it begins`,
		"8000-8001-2": `"8001-2": not a port of 1 to 65535`,
		strings.TrimSuffix(strings.Repeat("1,", maxPorts+1), ","): "more than 1000 ports and ranges",
	} {
		_, err := ParsePorts(text)
		require.EqualError(t, err, want)
	}
}

// What is read can be written and read again, whatever it is, and is in order.
func FuzzParsePorts(f *testing.F) {
	for _, text := range []string{"8000", "8000,8080-8082", "1-65535", " 7 , 9", "", "9-8"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := ParsePorts(text)
		if err != nil {
			return
		}
		for i, p := range got {
			require.LessOrEqual(t, p.First, p.Last)
			if i > 0 {
				require.Greater(t, int(p.First), int(got[i-1].Last)+1)
			}
		}
		again, err := ParsePorts(join(got, ","))
		require.NoError(t, err)
		require.Equal(t, got, again)
		for _, list := range multiports(got) {
			require.LessOrEqual(t, strings.Count(list, ",")+strings.Count(list, ":")+1, mostInMultiport)
		}
	})
}

func TestCheck(t *testing.T) {
	ports := []Ports{{8000, 8000}}
	for want, r := range map[string]Rules{
		"no port to redirect":                                                 {To: 1, Users: []uint32{1}},
		"no port to redirect to":                                              {Ports: ports, Users: []uint32{1}},
		"nobody is left alone, so that Friday would call itself":              {Ports: ports, To: 1},
		"port 8000 is the one to redirect to: it cannot be redirected itself": {Ports: ports, To: 8000, Users: []uint32{1}},
		"port 8005 is the one to redirect to: it cannot be redirected itself": {Ports: []Ports{{8000, 8010}}, To: 8005, Users: []uint32{1}},
		"": {Ports: ports, To: 19080, Groups: []uint32{1}},
	} {
		err := r.Check()
		if want == "" {
			require.NoError(t, err)
			continue
		}
		require.EqualError(t, err, want)
	}
}

func TestParseFirewall(t *testing.T) {
	for text, want := range map[string]Firewall{"auto": Auto, "nftables": NFTables, "iptables": IPTables} {
		got, err := ParseFirewall(text)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	_, err := ParseFirewall("ipfw")
	require.EqualError(t, err, `"ipfw": neither auto nor nftables nor iptables`)
}

// all are rules with everything that there is to say.
func all() *Rules {
	return &Rules{Ports: []Ports{{8000, 8000}, {8080, 8082}}, To: 19080, Users: []uint32{65532}, Groups: []uint32{7}, Listening: true}
}

func TestScripts(t *testing.T) {
	r := all()
	require.Equal(t, "connections to TCP ports 8000, 8080-8082 go to port 19080, but for those of uid 65532, gid 7", r.String())
	require.Equal(t, `table inet friday
delete table inet friday
table inet friday {
	set ports {
		type inet_service
		flags interval
		elements = { 8000, 8080-8082 }
	}

	chain prerouting {
		type nat hook prerouting priority -100; policy accept;
		fib daddr type local tcp dport @ports socket wildcard <= 1 counter redirect to :19080
	}

	chain output {
		type nat hook output priority -100; policy accept;
		meta skuid 65532 return
		meta skgid 7 return
		fib daddr type local tcp dport @ports counter redirect to :19080
	}
}
`, r.NFTScript())
	require.Equal(t, `*nat
:FRIDAY_PREROUTING - [0:0]
:FRIDAY_OUTPUT - [0:0]
-A FRIDAY_OUTPUT -m owner --uid-owner 65532 -j RETURN
-A FRIDAY_OUTPUT -m owner --gid-owner 7 -j RETURN
-A FRIDAY_PREROUTING -p tcp -m addrtype --dst-type LOCAL -m multiport --dports 8000,8080:8082 -m socket --nowildcard -j REDIRECT --to-ports 19080
-A FRIDAY_OUTPUT -p tcp -m addrtype --dst-type LOCAL -m multiport --dports 8000,8080:8082 -j REDIRECT --to-ports 19080
-A PREROUTING -j FRIDAY_PREROUTING
-A OUTPUT -j FRIDAY_OUTPUT
COMMIT
`, r.IPTablesScript(false))
	require.NotContains(t, r.IPTablesScript(true), "-A PREROUTING")
	r.Listening = false
	require.NotContains(t, r.NFTScript()+r.IPTablesScript(false), "socket")
}

// iptables takes 15 ports in a rule, of which a range counts as two.
func TestMultiports(t *testing.T) {
	var ports []Ports
	for i := range uint16(20) {
		ports = append(ports, Ports{10 * (i + 1), 10 * (i + 1)})
	}
	require.Equal(t, []string{"10,20,30,40,50,60,70,80,90,100,110,120,130,140,150", "160,170,180,190,200"}, multiports(ports))
	ports[14].Last++
	require.Equal(t, []string{"10,20,30,40,50,60,70,80,90,100,110,120,130,140", "150:151,160,170,180,190,200"}, multiports(ports))
}
