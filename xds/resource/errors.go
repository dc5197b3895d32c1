package resource

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// FieldError is what is wrong with one field of one resource. Its text is a line
// of the NACK.
type FieldError struct {
	// Resource is the kind and the quoted name: listener "inference".
	Resource string
	// Path from the resource, such as filter_chains[0].filters[0].typed_config;
	// empty for the resource itself.
	Path string
	// Value as text; empty where there is none to speak of.
	Value string
	// Reason without path and value.
	Reason string
	// Err is the cause, where there is one.
	Err error
}

func (e *FieldError) Error() string {
	var b strings.Builder
	for _, s := range []string{e.Resource, e.Path, e.Value} {
		if s != "" {
			b.WriteString(s)
			b.WriteString(": ")
		}
	}
	b.WriteString(e.Reason)
	return b.String()
}

// Unwrap returns the cause.
func (e *FieldError) Unwrap() error { return e.Err }

// maxProblems bounds the lines of one resource's error.
const maxProblems = 40

// problems collects what is wrong with one resource.
type problems struct {
	resource string
	errs     []error
	more     int
	// refused are the paths that were refused whole: what stands under them is
	// not looked at again.
	refused map[string]bool
	// aside are the filters that are recognised and do nothing here, each with its path
	// and why.
	aside []string
}

func newProblems(kind, name string) *problems {
	return &problems{resource: fmt.Sprintf("%s %q", kind, name), refused: map[string]bool{}}
}

func (p *problems) add(path, value, reason string) {
	p.keep(&FieldError{Resource: p.resource, Path: path, Value: value, Reason: reason})
}

// addf adds a reason without a value.
func (p *problems) addf(path, format string, args ...any) {
	p.add(path, "", fmt.Sprintf(format, args...))
}

// cause adds each line of err, which stands for one field each.
func (p *problems) cause(path string, err error) {
	if joined, ok := err.(interface{ Unwrap() []error }); ok { // what errors.Join made
		for _, e := range joined.Unwrap() {
			p.cause(path, e)
		}
		return
	}
	p.keep(&FieldError{Resource: p.resource, Path: path, Reason: err.Error(), Err: err})
}

func (p *problems) keep(e *FieldError) {
	if len(p.errs) == maxProblems {
		p.more++
		return
	}
	p.errs = append(p.errs, e)
}

// leave notes a filter that does nothing here.
func (p *problems) leave(path, name, why string) {
	p.aside = append(p.aside, path+": "+strconv.Quote(name)+": "+why)
}

// refuse adds a reason and remembers the path.
func (p *problems) refuse(path, value, reason string) {
	p.refused[path] = true
	p.add(path, value, reason)
}

// under tells whether path or something above it has been refused.
func (p *problems) under(path string) bool {
	for {
		if p.refused[path] {
			return true
		}
		i := strings.LastIndexAny(path, ".[")
		if i < 0 {
			return false
		}
		path = path[:i]
	}
}

// err joins what has been collected; nil where nothing is wrong.
func (p *problems) err() error {
	if p.more > 0 {
		return errors.Join(append(p.errs, fmt.Errorf("%s: and %d more", p.resource, p.more))...)
	}
	return errors.Join(p.errs...)
}
