// Package format fills Envoy's format strings (command operators such as
// %REQ(X-REQUEST-ID)% or %RESPONSE_CODE%), for access logs, header mutations and local
// replies
// (https://www.envoyproxy.io/docs/envoy/latest/configuration/advanced/substitution_formatter).
// What Envoy knows and Friday never has (filter state, metadata of clusters) is empty, as
// it is in Envoy where nobody has set it; what is no command is an error.
package format

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/fridaymesh/friday/proxy"
)

// Facts are what is known of a request. Only Request must be set; what is not known
// yet is missing.
type Facts struct {
	Request  *proxy.Request
	Response *fasthttp.ResponseHeader
	Trailer  *fasthttp.ResponseHeader
	// Status is the answer's; 0: there is none yet.
	Status int
	// Err is why Friday answered itself.
	Err            *proxy.Error
	Received, Sent int64
	Duration       time.Duration
	// LocalBody is the text of Friday's own answer.
	LocalBody string
}

// Formatter is a compiled format string. It is immutable.
type Formatter struct {
	text    string
	missing string
	parts   []part
}

// part is text, or a command where value is not nil.
type part struct {
	text    string
	value   value
	longest int // of the value; 0: any
	number  bool
}

// value is what a command stands for; false: it is missing.
type value func(f *Facts) (string, bool)

// New compiles a format string; missing takes the place of values that are not there.
func New(text, missing string) (*Formatter, error) {
	f := &Formatter{text: text, missing: missing}
	rest := text
	for rest != "" {
		before, after, found := strings.Cut(rest, "%")
		if before != "" {
			f.parts = append(f.parts, part{text: before})
		}
		if !found {
			break
		}
		if strings.HasPrefix(after, "%") {
			f.parts = append(f.parts, part{text: "%"})
			rest = after[1:]
			continue
		}
		p, n, err := command(after)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", text, err)
		}
		f.parts = append(f.parts, p)
		rest = after[n:]
	}
	return f, nil
}

// Static says whether the string has no commands.
func (f *Formatter) Static() bool {
	for _, p := range f.parts {
		if p.value != nil {
			return false
		}
	}
	return true
}

// Text is what the Formatter was made of.
func (f *Formatter) Text() string { return f.text }

// Append appends the filled string.
func (f *Formatter) Append(dst []byte, facts *Facts) []byte {
	for i := range f.parts {
		p := &f.parts[i]
		if p.value == nil {
			dst = append(dst, p.text...)
			continue
		}
		dst = append(dst, p.get(facts, f.missing)...)
	}
	return dst
}

// String is the filled string.
func (f *Formatter) String(facts *Facts) string {
	if len(f.parts) == 1 && f.parts[0].value == nil {
		return f.parts[0].text
	}
	return string(f.Append(nil, facts))
}

func (p *part) get(facts *Facts, missing string) string {
	v, ok := p.value(facts)
	if !ok {
		return missing
	}
	if p.longest > 0 && len(v) > p.longest {
		v = v[:p.longest]
	}
	return v
}

// command reads NAME, NAME(argument) or either with :LENGTH, and the "%" that ends it;
// n is how much that was.
func command(s string) (p part, n int, err error) {
	end := 0
	for end < len(s) && (s[end] == '_' || 'A' <= s[end] && s[end] <= 'Z' || '0' <= s[end] && s[end] <= '9') {
		end++
	}
	name, argument, hasArgument := s[:end], "", false
	if name == "" {
		return p, 0, errors.New(`"%" that begins no command; "%%" stands for itself`)
	}
	n = end
	if n < len(s) && s[n] == '(' {
		i := closing(s[n:])
		if i < 0 {
			return p, 0, fmt.Errorf("%s: no closing parenthesis", name)
		}
		argument, hasArgument = s[n+1:n+i], true
		n += i + 1
	}
	if n < len(s) && s[n] == ':' {
		digits := n + 1
		for digits < len(s) && '0' <= s[digits] && s[digits] <= '9' {
			digits++
		}
		if p.longest, err = strconv.Atoi(s[n+1 : digits]); err != nil {
			return p, 0, fmt.Errorf("%s: no length after %q", name, ":")
		}
		n = digits
	}
	if n == len(s) || s[n] != '%' {
		return p, 0, fmt.Errorf(`%s: no closing "%%"`, name)
	}
	p.value, p.number, err = find(name, argument, hasArgument)
	return p, n + 1, err
}

// closing finds the parenthesis that ends an argument. START_TIME's may have "%" in it.
func closing(s string) int {
	for i := 1; i < len(s); i++ {
		if s[i] == ')' {
			return i
		}
	}
	return -1
}
