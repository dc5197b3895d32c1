package action

import (
	"math/bits"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/fridaymesh/friday/proxy"
)

// HashPolicy makes a part of the hash that consistent load balancing goes by: exactly one
// of Header, Cookie, SourceIP and Query is set.
type HashPolicy struct {
	Header string
	// Regex, where not nil, changes the header's value first.
	Regex    *Substitution
	Cookie   *HashCookie
	SourceIP bool
	Query    string
	// Terminal ends the list where this policy made a part.
	Terminal bool
}

// HashCookie is a cookie to hash.
type HashCookie struct {
	Name string
	// TTL, where not nil, has the cookie made where the caller has none; 0: for the
	// caller's session.
	TTL        *time.Duration
	Path       string
	Attributes [][2]string
}

// Hash is the hash that policies make of req, false where none of them does.
func Hash(policies []HashPolicy, req *proxy.Request) (uint64, bool) {
	probe := *req
	probe.Hashed = false
	hash(policies, &probe)
	return probe.Hash, probe.Hashed
}

// hash sets req.Hash, and returns the cookies to set.
func hash(policies []HashPolicy, req *proxy.Request) (cookies []string) {
	var sum uint64
	hashed := false
	for i := range policies {
		p := &policies[i]
		part, ok, cookie := p.part(req)
		if cookie != "" {
			cookies = append(cookies, cookie)
		}
		if !ok {
			continue
		}
		// A policy that comes twice must not cancel itself out.
		sum = bits.RotateLeft64(sum, 1) ^ part
		hashed = true
		if p.Terminal {
			break
		}
	}
	if hashed {
		req.Hash, req.Hashed = sum, true
	}
	return cookies
}

func (p *HashPolicy) part(req *proxy.Request) (part uint64, ok bool, cookie string) {
	switch {
	case p.Cookie != nil:
		return p.Cookie.part(req)
	case p.SourceIP:
		host, _, err := net.SplitHostPort(req.Remote.String())
		return xxhash.Sum64String(host), err == nil, ""
	case p.Query != "":
		_, query, _ := strings.Cut(string(req.Header.RequestURI()), "?")
		for pair := range strings.SplitSeq(query, "&") {
			if k, v, _ := strings.Cut(pair, "="); k == p.Query {
				return xxhash.Sum64String(v), true, ""
			}
		}
		return 0, false, ""
	}
	values := proxy.FieldValues(req.Header, p.Header)
	if strings.EqualFold(p.Header, ":path") {
		values = []string{string(req.Header.RequestURI())}
	}
	if len(values) == 0 {
		return 0, false, ""
	}
	if p.Regex != nil {
		for i := range values {
			values[i] = p.Regex.Apply(values[i])
		}
	}
	slices.Sort(values) // the order of lines is the caller's whim
	return xxhash.Sum64String(strings.Join(values, "")), true, ""
}

func (c *HashCookie) part(req *proxy.Request) (part uint64, ok bool, set string) {
	for _, line := range proxy.FieldValues(req.Header, "cookie") {
		for pair := range strings.SplitSeq(line, ";") {
			if k, v, found := strings.Cut(strings.TrimSpace(pair), "="); found && k == c.Name {
				return xxhash.Sum64String(strings.Trim(v, `"`)), true, ""
			}
		}
	}
	if c.TTL == nil {
		return 0, false, ""
	}
	value := strconv.FormatUint(xxhash.Sum64String(req.Local.String()+req.Remote.String()), 16)
	set = c.Name + `="` + value + `"`
	if *c.TTL > 0 {
		set += "; Max-Age=" + strconv.FormatInt(int64(*c.TTL/time.Second), 10)
	}
	if c.Path != "" {
		set += "; Path=" + c.Path
	}
	for _, a := range c.Attributes {
		set += "; " + a[0]
		if a[1] != "" {
			set += "=" + a[1]
		}
	}
	set += "; HttpOnly"
	return xxhash.Sum64String(value), true, set
}
