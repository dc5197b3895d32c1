package router

import (
	"fmt"

	"github.com/valyala/fasthttp"
)

// Headers are conditions on a request's headers for others than a table: filters, retry
// policies, access logs. All must hold; of none, none fails.
type Headers struct{ all []headerMatcher }

// NewHeaders compiles conditions. An error begins with the index.
func NewHeaders(all []HeaderMatch) (*Headers, error) {
	h := &Headers{}
	for i, m := range all {
		c, err := compileHeader(m)
		if err != nil {
			return nil, fmt.Errorf("[%d]%w", i, err)
		}
		h.all = append(h.all, c)
	}
	return h, nil
}

// Match says whether all conditions hold. It uses h's scratch memory, as [Table.Match].
func (h *Headers) Match(head *fasthttp.RequestHeader) bool {
	if h == nil || len(h.all) == 0 {
		return true
	}
	r := newRequest(head, head.RequestURI())
	for i := range h.all {
		if !h.all[i].holds(&r) {
			return false
		}
	}
	return true
}

// ResponseHeaders are conditions on an answer's headers, where ":status" may be named.
type ResponseHeaders struct {
	all []HeaderMatch
}

// NewResponseHeaders compiles conditions.
func NewResponseHeaders(all []HeaderMatch) (*ResponseHeaders, error) {
	h := &ResponseHeaders{}
	for i, m := range all {
		var err error
		if m.Value, err = compileString(m.Value, m.Present); err != nil {
			return nil, fmt.Errorf("[%d]%w", i, err)
		}
		h.all = append(h.all, m)
	}
	return h, nil
}

// Any says whether one of the conditions holds; value is the answer's headers by name.
func (h *ResponseHeaders) Any(value func(name string) (string, bool)) bool {
	if h == nil {
		return false
	}
	for _, m := range h.all {
		v, ok := value(m.Name)
		c := headerMatcher{HeaderMatch: m}
		if c.judge([]byte(v), ok) {
			return true
		}
	}
	return false
}

// NewString makes a StringMatch ready to match; its error begins with the field.
func NewString(m StringMatch) (*StringMatch, error) { return compileString(&m, false) }

// Match compares. m comes from [NewString].
func (m *StringMatch) Match(value []byte) bool { return m.matches(value) }

// Path is a request's path without the query, as a table sees it.
func Path(h *fasthttp.RequestHeader) []byte {
	r := newRequest(h, h.RequestURI())
	return r.path
}
