package redirect

import "fmt"

// Backend is by what the rules are made.
type Backend int

// The backends.
const (
	// Auto is nftables, or iptables where the kernel has no nftables.
	Auto Backend = iota
	NFTables
	IPTables
)

// ParseBackend reads auto, nftables or iptables.
func ParseBackend(text string) (Backend, error) {
	for b, name := range []string{"auto", "nftables", "iptables"} {
		if text == name {
			return Backend(b), nil
		}
	}
	return 0, fmt.Errorf("%q: neither auto nor nftables nor iptables", text)
}
