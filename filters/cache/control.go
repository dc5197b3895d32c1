package cache

import (
	"bytes"
	"math"
	"strconv"
	"time"
)

// control is what a Cache-Control says (RFC 9111 section 5.2).
type control struct {
	noStore, noCache, private, onlyIfCached bool
	// maxAge and sMaxAge are negative where they are not there.
	maxAge, sMaxAge time.Duration
}

func noControl() control { return control{maxAge: -1, sMaxAge: -1} }

// add reads one field's value. What is not understood is skipped, an age that cannot be
// read is 0.
func (c *control) add(value []byte) {
	for len(value) > 0 {
		var directive []byte
		directive, value = cutDirective(value)
		name, argument, _ := bytes.Cut(directive, []byte{'='})
		argument = bytes.Trim(bytes.TrimSpace(argument), `"`)
		switch string(bytes.ToLower(bytes.TrimSpace(name))) {
		case "no-store":
			c.noStore = true
		case "no-cache":
			c.noCache = true
		case "private":
			c.private = true
		case "only-if-cached":
			c.onlyIfCached = true
		case "max-age":
			c.maxAge = seconds(argument)
		case "s-maxage":
			c.sMaxAge = seconds(argument)
		}
	}
}

// cutDirective cuts at the first comma that is not inside of quotes.
func cutDirective(value []byte) (directive, rest []byte) {
	quoted := false
	for i, b := range value {
		switch {
		case b == '"':
			quoted = !quoted
		case b == ',' && !quoted:
			return value[:i], value[i+1:]
		}
	}
	return value, nil
}

func seconds(text []byte) time.Duration {
	n, err := strconv.ParseUint(string(text), 10, 63)
	switch {
	case err != nil:
		return 0
	case n > math.MaxInt32:
		n = math.MaxInt32
	}
	return time.Duration(n) * time.Second // #nosec G115 -- bounded
}

// fresh is how long an answer that says so, and is so old already, may be given again,
// at most so long; 0: not at all. In a stream of events no-cache does not count:
// servers write it so that nobody holds events back, and the HTML standard tells them
// to.
func (c *control) fresh(events bool, age, most time.Duration) time.Duration {
	if c.noStore || c.private || c.noCache && !events {
		return 0
	}
	said := c.maxAge
	if c.sMaxAge >= 0 {
		said = c.sMaxAge
	}
	if said >= 0 {
		most = min(most, said-age)
	}
	return max(most, 0)
}
