package cache

import (
	"bytes"
	"context"
	"io"
	"time"

	"github.com/fridaymesh/friday/filters/inference/jsonspan"
	"github.com/fridaymesh/friday/proxy"
)

// serveWhole answers a request whose answer is kept whole: from the store, from the call
// of somebody else, which may be a stream that has begun, or by a call of its own.
func (l *lookup) serveWhole(ctx context.Context, a *asked, body []byte) (*proxy.Response, error) {
	keys := []key{wholeKey(&l.base, a)}
	ask := l.ask(a.model)
	for {
		c := l.filter.state.claim(ctx, keys, ask)
		if e := c.found[0]; e != nil {
			l.countItems(c)
			if len(c.renew) == 0 {
				return l.kept(ctx, e, hit), nil
			}
			if f, _ := l.filter.state.renewal(keys, c.renew, ask); f != nil {
				l.sendWhole(f, bytes.Clone(body))
				f.release() //nolint:contextcheck // nobody waits for it
			}
			return l.kept(ctx, e, stale), nil
		}
		if ask.known {
			return nil, l.unknown()
		}
		what := coalesced
		if c.lead != nil {
			what = miss
			l.sendWhole(c.lead, bytes.Clone(body))
		}
		f := c.seats[0].flight
		if !l.await(ctx, f) {
			c.leave(context.Cause(ctx))
			return nil, proxy.AsError(ctx, context.Cause(ctx))
		}
		out := &f.out
		if out.alone && what == coalesced {
			c.leave(nil)
			ask.anew = true
			continue
		}
		if out.failed() && c.stale != nil && c.stale[0] != nil {
			c.leave(nil)
			return l.kept(ctx, c.stale[0], stale), nil
		}
		var reel *reel
		if out.tape != nil {
			if reel = out.tape.read(ctx, func() { c.leave(nil) }); reel == nil {
				c.leave(nil)
				ask.anew = true
				continue
			}
		}
		l.countItems(c)
		if what == miss {
			l.trace(out)
		}
		resp, err := l.asItCame(ctx, out, what)
		if reel == nil {
			c.leave(nil)
			return resp, err
		}
		resp.Body = reel
		return resp, err
	}
}

// kept answers with what is kept.
func (l *lookup) kept(ctx context.Context, e *entry, what result) *proxy.Response {
	resp := proxy.NewResponse()
	e.head.CopyTo(&resp.Header)
	setAge(&resp.Header, e.ageAt(time.Now()))
	setBody(resp, e.body)
	if gap := l.filter.config.ReplayGap; gap > 0 && eventStream(&resp.Header) {
		resp.Body = newPaced(ctx, e.body, gap)
	}
	return l.done(resp, what)
}

// maxReadHere is the longest answer of a declared length that is read before it is handed
// on.
const maxReadHere = 1 << 20

// sendWhole sends the call for a whole answer.
func (l *lookup) sendWhole(f *flight, body []byte) {
	own := detach(l.req, body)
	f.launch(own, l.next, func(resp *proxy.Response, took time.Duration) {
		defer resp.Close() //nolint:errcheck // read to the end, or given up
		began := time.Now()
		out := outcome{head: copyHead(&resp.Header), trace: own.Trace}
		says := l.filter.says(&resp.Header)
		out.alone = says.alone
		keep := func(body []byte) {
			fresh := says.fresh(l.filter.config.TTL)
			if fresh == 0 || out.head.StatusCode() != 200 || !says.plain || !complete(body, &says) {
				return
			}
			kept, size := f.state.intern(keptHead(out.head, false))
			version := versionOf(body, says.events)
			f.state.learn(subject{f.cluster, f.model}, version)
			f.keep([]*entry{{
				head: kept, headBytes: size, body: clip(body), model: f.model, version: version,
				stored: time.Now(), age: says.age, fresh: fresh, took: took + time.Since(began),
			}})
		}
		if n := resp.Body.Len(); !says.events && n >= 0 && n <= maxReadHere {
			var err error
			if out.body, err = readAll(resp.Body, n); err != nil {
				f.land(outcome{err: cut(f.ctx, err), trace: own.Trace})
				return
			}
			if out.trailer = resp.Body.Trailer(); out.trailer == nil {
				keep(out.body)
			}
			f.land(out)
			return
		}
		t := newTape(resp.Body.Len())
		out.tape = t
		if out.alone {
			f.close()
		}
		f.land(out)
		end := record(f.ctx, t, resp.Body)
		trailer := resp.Body.Trailer()
		if whole, ok := t.whole(); ok && trailer == nil && end == io.EOF { //nolint:errorlint // an end that is wrapped is not a good one
			keep(whole)
		}
		f.close()
		t.finish(end, trailer)
	})
}

// record puts a body on a tape, and returns how it ended.
func record(ctx context.Context, t *tape, body proxy.Body) error {
	piece := make([]byte, 16<<10)
	for {
		n, err := body.Read(piece)
		if n > 0 {
			if full := t.append(ctx, piece[:n]); full != nil {
				return full
			}
		}
		if err != nil {
			return err
		}
	}
}

// complete says whether a 200 is a whole and good answer. Of a stream, its end has to be
// there as the API has it: that the connection ended well does not say so.
func complete(body []byte, s *says) bool {
	switch {
	case s.events:
		return goodEvents(body)
	case s.json:
		return goodJSON(body)
	}
	return false
}

// goodJSON is an object without an error.
func goodJSON(text []byte) bool {
	s := jsonspan.New(text)
	if !s.Object() {
		return false
	}
	good := true
	for span, ok := s.Member(); ok; span, ok = s.Member() {
		value := s.Value().Of(text)
		if string(span.Of(text)) == "error" && string(value) != "null" {
			good = false
		}
	}
	return good && s.End() == nil
}

// goodEvents are events of which none is an error and the last says [DONE].
func goodEvents(text []byte) bool {
	last := []byte(nil)
	for line := range bytes.Lines(text) {
		name, data, ok := bytes.Cut(bytes.TrimRight(line, "\r\n"), []byte{':'})
		data = bytes.TrimPrefix(data, []byte{' '})
		switch {
		case !ok || len(name) == 0: // a blank line, or a comment
		case string(name) == "event" && string(data) == "error":
			return false
		case string(name) == "data":
			if last = data; string(data) != "[DONE]" && !goodJSON(data) {
				return false
			}
		}
	}
	return string(last) == "[DONE]" && (bytes.HasSuffix(text, []byte("\n\n")) || bytes.HasSuffix(text, []byte("\r\n\r\n")))
}
