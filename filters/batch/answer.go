package batch

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"time"

	"github.com/valyala/fasthttp"
	"go.uber.org/zap"

	"github.com/fridaymesh/friday/filters/inference"
	"github.com/fridaymesh/friday/proxy"
)

// maxAnswerBytes is the largest answer to a merged call.
const maxAnswerBytes = 64 << 20

// split answers each member with its part; counts are the items' tokens, if known.
func (b *batch) split(m *merged, whole outcome, counts []int) error {
	drop(whole.head, bound)
	sized, err := inference.TellsJSON(whole.head, whole.body)
	if err != nil {
		return err
	}
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
	parts, exact, err := inference.SplitExact(calls, whole.body, counts)
	if err != nil {
		return err
	}
	whole.usage = b.told(m, calls, whole.body, exact)
	for i := range m.members {
		part := whole
		part.body, part.good, part.sized = parts[i], true, sized
		m.answer(i, part)
	}
	return nil
}

// sharedHead copies the head of an answer, as far as it may go to every member. A
// cookie is somebody's, and nobody can say whose: it goes to none of several, and
// the model is not batched for a while, so that each gets its own. The same holds
// for ids of a request, which are those of the member whose head was sent.
func (b *batch) sharedHead(m *merged, h *fasthttp.ResponseHeader) *fasthttp.ResponseHeader {
	head := new(fasthttp.ResponseHeader)
	h.CopyTo(head)
	if len(m.members) == 1 {
		return head
	}
	drop(head, requestID)
	if drop(head, cookie) {
		b.group.state.log.Warn("the answer to a merged call sets a cookie: the model is not batched for a while",
			zap.String("cluster", m.req.Cluster), zap.String("model", m.req.Trace.Model))
		b.group.state.metrics.BatchFallback.WithLabelValues(b.group.model.key.cluster, "cookie").Inc()
		b.group.model.distrust(time.Now())
	}
	return head
}

// bound is a header that speaks of the bytes of the whole answer.
func bound(name string) bool {
	switch name {
	case "etag", "content-md5", "digest", "content-digest", "repr-digest":
		return true
	}
	return false
}

func requestID(name string) bool { return name == "x-request-id" || name == "x-correlation-id" }

func cookie(name string) bool { return name == "set-cookie" }

// drop takes out the headers that which is true of, by their names in lower case,
// and says whether there were any.
func drop(h *fasthttp.ResponseHeader, which func(name string) bool) bool {
	var names [][]byte
	for name := range h.All() {
		if which(string(bytes.ToLower(name))) {
			names = append(names, bytes.Clone(name))
		}
	}
	for _, name := range names {
		h.DelBytes(name)
	}
	return len(names) > 0
}

// sharedTrailer copies a trailer, nil where there is none, as sharedHead does a head:
// without what speaks of the whole answer or is somebody's, where it goes to several.
func sharedTrailer(m *merged, t *fasthttp.ResponseHeader) (trailer *fasthttp.ResponseHeader) {
	for name, value := range proxy.TrailerFields(t) {
		lower := string(bytes.ToLower(name))
		if len(m.members) == 1 || !bound(lower) && !requestID(lower) && !cookie(lower) {
			trailer = proxy.AddTrailer(trailer, string(name), string(value))
		}
	}
	return trailer
}

// share gives everyone the same answer.
func (b *batch) share(m *merged, whole outcome) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range m.members {
		m.answer(i, whole)
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
	out.items, out.attempts, out.upstream, out.call = m.items, m.req.Trace.Attempts, m.req.Trace.Upstream, m.span
	e.done, e.out = true, out
	e.ready <- struct{}{}
}

var errTooLarge = errors.New("answer too large")

// readAll reads a body of so many bytes at the most into memory of its own.
func readAll(body proxy.Body, most int64) ([]byte, error) {
	n := body.Len()
	if n > most {
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
		if int64(len(buf)) > most {
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
