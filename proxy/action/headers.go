package action

import (
	"fmt"

	"github.com/valyala/fasthttp"

	"github.com/fridaymesh/friday/proxy"
	"github.com/fridaymesh/friday/proxy/format"
)

// Headers are what one level of a configuration adds and removes.
type Headers struct {
	RequestAdd     []format.HeaderValue
	RequestRemove  []string
	ResponseAdd    []format.HeaderValue
	ResponseRemove []string
}

// mutations are those of all levels, in the order in which they apply.
type mutations struct{ request, response []*format.Mutation }

// newMutations compiles levels.
func newMutations(levels []Headers) (m mutations, err error) {
	for _, l := range levels {
		if len(l.RequestAdd)+len(l.RequestRemove) > 0 {
			one, err := format.NewMutation(l.RequestAdd, l.RequestRemove)
			if err != nil {
				return m, fmt.Errorf("request %w", err)
			}
			m.request = append(m.request, one)
		}
		if len(l.ResponseAdd)+len(l.ResponseRemove) > 0 {
			one, err := format.NewMutation(l.ResponseAdd, l.ResponseRemove)
			if err != nil {
				return m, fmt.Errorf("response %w", err)
			}
			m.response = append(m.response, one)
		}
	}
	return m, nil
}

// respond changes an answer's head.
func (m *mutations) respond(req *proxy.Request, h *fasthttp.ResponseHeader, pe *proxy.Error) {
	if len(m.response) == 0 {
		return
	}
	facts := &format.Facts{Request: req, Response: h, Status: h.StatusCode(), Err: pe}
	for _, one := range m.response {
		one.Apply(h, facts)
	}
}

// decorate has an error's answer changed like another.
func (m *mutations) decorate(req *proxy.Request, pe *proxy.Error) *proxy.Error {
	if len(m.response) == 0 {
		return pe
	}
	e := *pe // others may have it, too
	inner := pe.Decorate
	e.Decorate = func(h *fasthttp.ResponseHeader) {
		if inner != nil {
			inner(h)
		}
		m.respond(req, h, pe)
	}
	return &e
}
