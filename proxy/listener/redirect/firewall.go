package redirect

import "fmt"

// Firewall is by what the rules are made.
type Firewall int

// The firewalls.
const (
	// Auto is nftables, or iptables where the kernel has no nftables.
	Auto Firewall = iota
	NFTables
	IPTables
)

// ParseFirewall reads auto, nftables or iptables.
func ParseFirewall(text string) (Firewall, error) {
	for b, name := range []string{"auto", "nftables", "iptables"} {
		if text == name {
			return Firewall(b), nil
		}
	}
	return 0, fmt.Errorf("%q: neither auto nor nftables nor iptables", text)
}
