package batch

import (
	"bytes"
	"errors"
	"io"
	"slices"

	"github.com/valyala/fasthttp"

	"github.com/fridaymesh/friday/filters/inference"
	"github.com/fridaymesh/friday/proxy"
)

// maxAnswerBytes is the largest answer to a merged call.
const maxAnswerBytes = 64 << 20

// split answers each member with its part.
func (b *batch) split(m *merged, h *fasthttp.ResponseHeader, body []byte) error {
	head := new(fasthttp.ResponseHeader)
	h.CopyTo(head)
	dropBound(head)
	b.mu.Lock()
	defer b.mu.Unlock()
	if m.live == 0 {
		return nil
	}
	calls := make([]*inference.Call, len(m.members))
	for i, e := range m.members {
		if calls[i] = e.call; e.call == nil {
			return errors.New("a caller left in between")
		}
	}
	parts, err := inference.Split(calls, body)
	if err != nil {
		return err
	}
	for i := range m.members {
		m.answer(i, outcome{head: head, body: parts[i]})
	}
	return nil
}

// dropBound takes out what speaks of the bytes of the whole answer.
func dropBound(h *fasthttp.ResponseHeader) {
	var names [][]byte
	for name := range h.All() {
		switch string(bytes.ToLower(name)) {
		case "etag", "content-md5", "digest", "content-digest", "repr-digest":
			names = append(names, bytes.Clone(name))
		}
	}
	for _, name := range names {
		h.DelBytes(name)
	}
}

// share gives everyone the same answer.
func (b *batch) share(m *merged, h *fasthttp.ResponseHeader, body []byte) {
	head := new(fasthttp.ResponseHeader)
	h.CopyTo(head)
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range m.members {
		m.answer(i, outcome{head: head, body: body})
	}
}

func (b *batch) shareError(m *merged, err *proxy.Error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range m.members {
		own := *err
		m.answer(i, outcome{err: &own})
	}
}

// answer delivers, and forgets the member. REQUIRES: the batch's mu is held.
func (m *merged) answer(i int, out outcome) {
	e := m.members[i]
	m.members[i] = nil
	if e.left {
		return
	}
	out.items, out.attempts, out.upstream = m.items, m.req.Trace.Attempts, m.req.Trace.Upstream
	e.done, e.out = true, out
	e.ready <- struct{}{}
}

var errTooLarge = errors.New("answer too large")

// readAll reads a body into memory of its own.
func readAll(body proxy.Body) ([]byte, error) {
	n := body.Len()
	if n > maxAnswerBytes {
		return nil, errTooLarge
	}
	// One byte more than announced, so that the end is seen without growing.
	buf := make([]byte, 0, max(n+1, 4096))
	for {
		if len(buf) == cap(buf) {
			buf = slices.Grow(buf, len(buf))
		}
		n, err := body.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if len(buf) > maxAnswerBytes {
			return nil, errTooLarge
		}
		if errors.Is(err, io.EOF) {
			return buf, nil
		}
		if err != nil {
			return nil, err
		}
	}
}
