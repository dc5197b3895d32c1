package redirect

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Ports are the ports from First to Last.
type Ports struct{ First, Last uint16 }

func (p Ports) String() string {
	if p.First == p.Last {
		return strconv.Itoa(int(p.First))
	}
	return fmt.Sprintf("%d-%d", p.First, p.Last)
}

// Rules are which connections are redirected, and where to. Only connections to an
// address of this machine are, never what it forwards.
type Rules struct {
	// Ports are those whose connections are redirected; at least one.
	Ports []Ports
	// To is the port that they are redirected to, which must not be one of Ports.
	To uint16
	// Users and Groups are whose own connections are left alone: those of Friday's user
	// must be, for else it would call itself.
	Users, Groups []uint32
	// Listening redirects what comes from other machines only where somebody listens at
	// the address and port that it is for; else it is refused, as it would be without
	// Friday. So a probe that only connects still tells whether the server is there.
	Listening bool
}

// maxPorts bounds the list of ports: who wants more has forgotten a range.
const maxPorts = 1000

// ParsePorts reads ports and ranges of them with commas in between: 8000,8080-8082.
// They come sorted, and those that touch as one.
func ParsePorts(text string) ([]Ports, error) {
	var all []Ports
	for word := range strings.SplitSeq(text, ",") {
		word = strings.TrimSpace(word)
		first, last, isRange := strings.Cut(word, "-")
		p := Ports{}
		var err error
		if p.First, err = parsePort(first); err != nil {
			return nil, err
		}
		if p.Last = p.First; isRange {
			if p.Last, err = parsePort(last); err != nil {
				return nil, err
			}
		}
		if p.Last < p.First {
			return nil, fmt.Errorf("%q: ends before it begins", word)
		}
		if all = append(all, p); len(all) > maxPorts {
			return nil, fmt.Errorf("more than %d ports and ranges", maxPorts)
		}
	}
	return merge(all), nil
}

func parsePort(text string) (uint16, error) {
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil || n == 0 {
		return 0, fmt.Errorf("%q: not a port of 1 to 65535", text)
	}
	return uint16(n), nil
}

// merge sorts ports and makes one of those that touch.
func merge(all []Ports) []Ports {
	slices.SortFunc(all, func(a, b Ports) int { return cmp.Compare(a.First, b.First) })
	out := all[:0]
	for _, p := range all {
		if n := len(out); n > 0 && int(p.First) <= int(out[n-1].Last)+1 {
			out[n-1].Last = max(out[n-1].Last, p.Last)
			continue
		}
		out = append(out, p)
	}
	return out
}

// Check says what is wrong with the rules.
func (r *Rules) Check() error {
	switch {
	case len(r.Ports) == 0:
		return errors.New("no port to redirect")
	case r.To == 0:
		return errors.New("no port to redirect to")
	case len(r.Users)+len(r.Groups) == 0:
		return errors.New("nobody is left alone, so that Friday would call itself")
	}
	for _, p := range r.Ports {
		if p.First <= r.To && r.To <= p.Last {
			return fmt.Errorf("port %d is the one to redirect to: it cannot be redirected itself", r.To)
		}
	}
	return nil
}

// String is the rules in words.
func (r *Rules) String() string {
	alone := make([]string, 0, len(r.Users)+len(r.Groups))
	for _, id := range r.Users {
		alone = append(alone, fmt.Sprint("uid ", id))
	}
	for _, id := range r.Groups {
		alone = append(alone, fmt.Sprint("gid ", id))
	}
	return fmt.Sprintf("connections to TCP ports %s go to port %d, but for those of %s", join(r.Ports, ", "), r.To, strings.Join(alone, ", "))
}

func join[T any](all []T, by string) string {
	words := make([]string, len(all))
	for i, v := range all {
		words[i] = fmt.Sprint(v)
	}
	return strings.Join(words, by)
}
