package redirect

import (
	"fmt"
	"strings"
)

// tableName is the nftables table's, and begins the names of iptables' chains.
const tableName = "friday"

// NFTScript is the rules as `nft -f` takes them: what is put into the kernel, for
// people to read.
func (r *Rules) NFTScript() string {
	var b strings.Builder
	b.WriteString(NFTUndoScript())
	fmt.Fprintf(&b, `table inet %s {
	set ports {
		type inet_service
		flags interval
		elements = { %s }
	}

	chain prerouting {
		type nat hook prerouting priority -100; policy accept;
		fib daddr type local tcp dport @ports %scounter redirect to :%d
	}

	chain output {
		type nat hook output priority -100; policy accept;
`, tableName, join(r.Ports, ", "), when(r.Listening, "socket wildcard <= 1 "), r.To)
	for _, id := range r.Users {
		fmt.Fprintf(&b, "\t\tmeta skuid %d return\n", id)
	}
	for _, id := range r.Groups {
		fmt.Fprintf(&b, "\t\tmeta skgid %d return\n", id)
	}
	fmt.Fprintf(&b, "\t\tfib daddr type local tcp dport @ports counter redirect to :%d\n\t}\n}\n", r.To)
	return b.String()
}

// NFTUndoScript removes the rules, where there are any, as `nft -f` takes it.
func NFTUndoScript() string {
	return fmt.Sprintf("table inet %[1]s\ndelete table inet %[1]s\n", tableName)
}

func when(is bool, text string) string {
	if is {
		return text
	}
	return ""
}

// The chains of iptables.
const (
	prerouting, output           = "PREROUTING", "OUTPUT"
	fridayPrerouting, fridayOut  = "FRIDAY_PREROUTING", "FRIDAY_OUTPUT"
	mostInMultiport, portOfRange = 15, 2
)

// IPTablesScript is the rules as `iptables-restore --noflush` and ip6tables-restore
// take them. hooked says that the system's chains lead to Friday's already.
func (r *Rules) IPTablesScript(hooked bool) string {
	var b strings.Builder
	b.WriteString("*nat\n")
	fmt.Fprintf(&b, ":%s - [0:0]\n:%s - [0:0]\n", fridayPrerouting, fridayOut) // empties them
	for _, id := range r.Users {
		fmt.Fprintf(&b, "-A %s -m owner --uid-owner %d -j RETURN\n", fridayOut, id)
	}
	for _, id := range r.Groups {
		fmt.Fprintf(&b, "-A %s -m owner --gid-owner %d -j RETURN\n", fridayOut, id)
	}
	for _, ports := range multiports(r.Ports) {
		match := "-p tcp -m addrtype --dst-type LOCAL -m multiport --dports " + ports
		target := fmt.Sprintf(" -j REDIRECT --to-ports %d\n", r.To)
		b.WriteString("-A " + fridayPrerouting + " " + match + when(r.Listening, " -m socket --nowildcard") + target)
		b.WriteString("-A " + fridayOut + " " + match + target)
	}
	if !hooked {
		fmt.Fprintf(&b, "-A %s -j %s\n-A %s -j %s\n", prerouting, fridayPrerouting, output, fridayOut)
	}
	b.WriteString("COMMIT\n")
	return b.String()
}

// IPTablesUndoScript removes the rules; it fails where there are none.
func IPTablesUndoScript() string {
	return fmt.Sprintf("*nat\n-D %[1]s -j %[3]s\n-D %[2]s -j %[4]s\n-F %[3]s\n-F %[4]s\n-X %[3]s\n-X %[4]s\nCOMMIT\n",
		prerouting, output, fridayPrerouting, fridayOut)
}

// multiports are lists of ports as one rule of iptables takes them: 15, of which a
// range counts as two.
func multiports(all []Ports) (lists []string) {
	words, room := make([]string, 0, len(all)), mostInMultiport
	for _, p := range all {
		word, size := p.String(), 1
		if p.First != p.Last {
			word, size = fmt.Sprintf("%d:%d", p.First, p.Last), portOfRange
		}
		if size > room {
			lists, words, room = append(lists, strings.Join(words, ",")), words[:0], mostInMultiport
		}
		words, room = append(words, word), room-size
	}
	return append(lists, strings.Join(words, ","))
}
