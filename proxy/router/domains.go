package router

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// domains finds a virtual host by the Host header, with Envoy's order of search
// (config.route.v3.VirtualHost.domains): exact, "*.suffix" from the longest,
// "prefix.*" from the longest, "*". Hosts are indexes; -1 is none.
type domains struct {
	ignorePort bool

	exact    map[string]int
	suffixes wildcards
	prefixes wildcards
	all      int // of "*", counted from 1; 0 where there is none
}

// wildcards are the fixed parts of wildcard domains, from the longest on.
type wildcards []wildcard

type wildcard struct {
	length int
	hosts  map[string]int
}

func (w *wildcards) add(fixed string, host int) bool {
	i := slices.IndexFunc(*w, func(c wildcard) bool { return c.length == len(fixed) })
	if i < 0 {
		i = len(*w)
		*w = append(*w, wildcard{len(fixed), map[string]int{}})
	}
	if _, there := (*w)[i].hosts[fixed]; there {
		return false
	}
	(*w)[i].hosts[fixed] = host
	return true
}

var errDuplicate = errors.New("duplicate domain")

func (d *domains) add(domain string, host int) error {
	fixed := lower(domain)
	suffix, prefix := strings.HasPrefix(fixed, "*"), strings.HasSuffix(fixed, "*")
	added := false
	switch {
	case fixed == "*":
		added = d.all == 0
		d.all = host + 1
	case fixed == "":
		return errors.New(`"": must not be empty`)
	case strings.ContainsFunc(fixed, func(c rune) bool { return c <= ' ' || c == 0x7f || c == '/' }):
		return fmt.Errorf("%q: has a character that no host has", domain)
	case strings.Count(fixed, "*") > 1, !suffix && !prefix && strings.Contains(fixed, "*"):
		return fmt.Errorf(`%q: one "*" may stand at the beginning or at the end`, domain)
	case suffix:
		added = d.suffixes.add(fixed[1:], host)
	case prefix:
		added = d.prefixes.add(fixed[:len(fixed)-1], host)
	default:
		if d.exact == nil {
			d.exact = map[string]int{}
		}
		if _, there := d.exact[fixed]; !there {
			d.exact[fixed], added = host, true
		}
	}
	if !added {
		return fmt.Errorf("%q: %w", domain, errDuplicate)
	}
	return nil
}

func (d *domains) finish() {
	longestFirst := func(a, b wildcard) int { return b.length - a.length }
	slices.SortFunc(d.suffixes, longestFirst)
	slices.SortFunc(d.prefixes, longestFirst)
}

// only returns the host of "*" where no other domain exists, else -1.
func (d *domains) only() int {
	if d.exact != nil || d.suffixes != nil || d.prefixes != nil {
		return -1
	}
	return d.all - 1
}

func (d *domains) find(authority []byte) int {
	if d.exact == nil && d.suffixes == nil && d.prefixes == nil {
		return d.all - 1
	}
	if d.ignorePort {
		authority = withoutPort(authority)
	}
	// A DNS name has at most 253 bytes: what is longer is legal in the header and
	// allocates.
	var memory [256]byte
	name := lowered(memory[:0], authority)
	if i, ok := d.exact[string(name)]; ok {
		return i
	}
	// A wildcard stands for at least one byte: "*.a.com" is not ".a.com".
	for _, w := range d.suffixes {
		if w.length < len(name) {
			if i, ok := w.hosts[string(name[len(name)-w.length:])]; ok {
				return i
			}
		}
	}
	for _, w := range d.prefixes {
		if w.length < len(name) {
			if i, ok := w.hosts[string(name[:w.length])]; ok {
				return i
			}
		}
	}
	return d.all - 1
}

// withoutPort cuts ":port" off; colons inside of brackets belong to an IPv6
// address.
func withoutPort(authority []byte) []byte {
	colon := bytes.LastIndexByte(authority, ':')
	if colon < 0 || bytes.LastIndexByte(authority, ']') > colon {
		return authority
	}
	return authority[:colon]
}
