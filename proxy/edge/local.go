package edge

import (
	"github.com/fridaymesh/friday/proxy"
	"github.com/fridaymesh/friday/proxy/format"
)

// Local is how the listener's own answers look.
type Local struct {
	// Mappers are tried in order; the first whose When says yes changes the answer.
	Mappers []Mapper
	// Format, where not nil, makes the body of all but those whose Mapper has one.
	Format *format.BodyFormat
}

// Mapper changes some of the listener's own answers.
type Mapper struct {
	When func(*format.Facts) bool
	// Status and Body take the place of the answer's, where they are set.
	Status int
	Body   *string
	Format *format.BodyFormat
	Add    *format.Mutation
}

// Reply makes the answer to an error.
func (e *Edge) Reply(req *proxy.Request, pe *proxy.Error) *proxy.Response {
	resp := pe.Response()
	if e == nil {
		return resp
	}
	if e.Local != nil {
		e.Local.apply(req, pe, resp)
	}
	e.Leave(req, resp)
	return resp
}

func (l *Local) apply(req *proxy.Request, pe *proxy.Error, resp *proxy.Response) {
	facts := &format.Facts{
		Request: req, Response: &resp.Header, Status: pe.Status, Err: pe, LocalBody: pe.Message,
	}
	made := l.Format
	for i := range l.Mappers {
		m := &l.Mappers[i]
		if !m.When(facts) {
			continue
		}
		if m.Add != nil {
			m.Add.Apply(&resp.Header, facts)
		}
		if m.Status != 0 {
			facts.Status = m.Status
			resp.Header.SetStatusCode(m.Status)
		}
		if m.Body != nil {
			facts.LocalBody = *m.Body
		}
		if m.Format != nil {
			made = m.Format
		}
		break
	}
	body, contentType := []byte(facts.LocalBody), "text/plain"
	if made != nil {
		body, contentType = made.Make(facts)
	}
	if len(body) > 0 {
		resp.Header.SetContentType(contentType)
		resp.Body = proxy.NewBytesBody(body)
	}
}
